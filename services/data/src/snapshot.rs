//! A project as its database is now: what it offers, and the settings that it adds to those of its document.

use base::error::chain;

use crate::given::{Given, IN_DATABASE};
use crate::plan_cache::PlanCache;
use crate::role_claim::RoleClaim;
use crate::schema::SchemaCache;
use crate::schema::load::{Catalog, assemble};
use crate::settings::Settings;

/// What a request is planned by. Loaded whole, never changed; only its cache of plans fills.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) schema: SchemaCache,
    pub(crate) settings: Settings,
    pub(crate) role_claim: RoleClaim,
    /// Reads that were planned by it.
    pub(crate) plans: PlanCache,
}

impl Snapshot {
    /// What a catalog makes of a project.
    ///
    /// Errors: a catalog that is not what PostgreSQL writes.
    pub(crate) fn of(
        catalog: &Catalog,
        settings: &Settings,
        generation: u64,
    ) -> Result<Snapshot, serde_json::Error> {
        let schema = assemble(generation, catalog)?;
        let (settings, role_claim) = settled(settings, &catalog.options);
        Ok(Snapshot { schema, settings, role_claim, plans: PlanCache::default() })
    }
}

/// The project's settings with those of its database before them. An option that cannot be is left out, alone: the others
/// may be what keeps the project closed.
pub(crate) fn settled(settings: &Settings, in_database: &[(String, String)]) -> (Settings, RoleClaim) {
    let mut settled = settings.clone();
    for (name, value) in in_database.iter().filter(|_| settings.in_database) {
        let name = name.replace('_', "-");
        if !IN_DATABASE.contains(&name.as_str()) {
            tracing::warn!(option = name, "this option is not followed where a database sets it");
            continue;
        }
        match Given([(name, value.clone())].into()).over(settled.clone()) {
            Ok(with) => settled = with,
            Err(why) => tracing::warn!(why, "an option in the database cannot be, and is not followed"),
        }
    }
    let role_claim = RoleClaim::parse(&settled.role_claim).unwrap_or_else(|why| {
        let error: base::error::Source = why.into();
        tracing::warn!(error = %chain(&*error), "the role claim is the usual one");
        RoleClaim::default()
    });
    (settled, role_claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_adds_to_the_settings_but_cannot_break_them() {
        let own = Settings { max_rows: Some(7), ..Settings::default() };
        let settled =
            |name: &str, value: &str| super::settled(&own, &[(name.to_owned(), value.to_owned())]).0;

        assert_eq!(settled("db_max_rows", "3").max_rows, Some(3));
        assert!(settled("db_plan_enabled", "true").plan_enabled);
        assert_eq!(settled("db_max_rows", "many"), own);
        for never in ["jwt_secret", "db_config", "jwt_cache_max_entries", "app.settings.a_b"] {
            assert_eq!(settled(never, "false"), own, "{never}");
        }

        let both = [("db_pre_request", "auth.check"), ("db_max_rows", "10k")];
        let both = both.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(super::settled(&own, &both).0.pre_request.as_deref(), Some("auth.check"));
        let alone = Settings { in_database: false, ..own.clone() };
        assert_eq!(super::settled(&alone, &both).0, alone);
    }
}
