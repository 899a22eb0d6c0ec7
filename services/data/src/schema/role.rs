//! What roles bring along: `ALTER ROLE … SET …`.

use serde::Serialize;

/// A role's own settings, which hold in each of its transactions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Role {
    /// Name and value, those of the role in this database after (and so over) those of the role anywhere.
    pub(crate) settings: Vec<(String, String)>,
    /// `default_transaction_isolation`, which must be known when the transaction begins.
    pub(crate) isolation: Option<Isolation>,
}

/// A transaction's isolation level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) enum Isolation {
    /// PostgreSQL's default.
    #[default]
    ReadCommitted,
    /// One snapshot for the whole transaction.
    RepeatableRead,
    /// As if one after the other.
    Serializable,
}

impl Isolation {
    /// The level that a setting's value names, if it is one.
    pub(crate) fn parse(value: &str) -> Option<Isolation> {
        match value.to_ascii_lowercase().as_str() {
            "read committed" | "read uncommitted" => Some(Isolation::ReadCommitted),
            "repeatable read" => Some(Isolation::RepeatableRead),
            "serializable" => Some(Isolation::Serializable),
            _ => None,
        }
    }
}

/// The setting that names a role's or function's isolation level.
pub(crate) const ISOLATION_SETTING: &str = "default_transaction_isolation";

impl Role {
    /// Splits the isolation level from the other settings.
    pub(crate) fn of(settings: Vec<(String, String)>) -> Role {
        let (isolation, settings): (Vec<_>, Vec<_>) =
            settings.into_iter().partition(|(name, _)| name == ISOLATION_SETTING);
        Role { settings, isolation: isolation.last().and_then(|(_, value)| Isolation::parse(value)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_isolation_level_is_not_an_ordinary_setting() {
        let role = Role::of(vec![
            ("statement_timeout".to_owned(), "3s".to_owned()),
            (ISOLATION_SETTING.to_owned(), "SERIALIZABLE".to_owned()),
        ]);

        assert_eq!(role.isolation, Some(Isolation::Serializable));
        assert_eq!(role.settings.len(), 1);
    }
}
