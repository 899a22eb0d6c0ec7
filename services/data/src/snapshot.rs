//! A project as its database is now: what it offers, and the settings that it adds to those of its document.

use base::error::chain;

use crate::given::Given;
use crate::role_claim::RoleClaim;
use crate::schema::SchemaCache;
use crate::schema::load::{Catalog, assemble};
use crate::settings::Settings;

/// What a request is planned by. Loaded whole, never changed.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) schema: SchemaCache,
    pub(crate) settings: Settings,
    pub(crate) role_claim: RoleClaim,
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
        Ok(Snapshot { schema, settings, role_claim })
    }
}

/// The project's settings with those of its database before them; options that cannot be are as if they were not there.
pub(crate) fn settled(settings: &Settings, in_database: &[(String, String)]) -> (Settings, RoleClaim) {
    let options = in_database.iter().map(|(name, value)| (name.replace('_', "-"), value.clone()));
    let given = Given(options.filter(|(name, _)| is_followed(name)).collect());
    let settings = given.over(settings.clone()).unwrap_or_else(|why| {
        tracing::warn!(why, "the settings in the database cannot be, and are not followed");
        settings.clone()
    });
    let role_claim = RoleClaim::parse(&settings.role_claim).unwrap_or_else(|why| {
        let error: base::error::Source = why.into();
        tracing::warn!(error = %chain(&*error), "the role claim is the usual one");
        RoleClaim::default()
    });
    (settings, role_claim)
}

fn is_followed(name: &str) -> bool {
    let followed = Given::is_of_project(name);
    if !followed {
        tracing::warn!(option = name, "this option is not followed where a database sets it");
    }
    followed
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
        assert_eq!(settled("jwt_secret", "x"), own);
    }
}
