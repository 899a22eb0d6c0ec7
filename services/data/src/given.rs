//! PostgREST's options as somebody gave them: by name, each value as text. The drop-in reads them from its file and its
//! variables, every project from its database.

use std::collections::BTreeMap;

use crate::role_claim::RoleClaim;
use crate::settings::{OpenApiMode, Settings, TransactionEnd};

/// Set as `app.settings.<name>` in each transaction.
const APP_SETTINGS: &str = "app.settings.";

/// The options that become settings of a project, of which these are not for its database: `app.settings.*`, and
/// [`OUTSIDE`].
pub(crate) const IN_DATABASE: [&str; 17] = [
    "db-aggregates-enabled",
    "db-anon-role",
    "db-extra-search-path",
    "db-hoisted-tx-settings",
    "db-max-rows",
    "db-plan-enabled",
    "db-pre-request",
    "db-root-spec",
    "db-schemas",
    "db-tx-end",
    "jwt-aud",
    "jwt-role-claim-key",
    "openapi-mode",
    "openapi-security-active",
    "openapi-server-proxy-uri",
    "server-timing-enabled",
    "url-use-legacy-target-names",
];

/// What decides about the database's options, and what must be known before them.
const OUTSIDE: [&str; 3] = ["db-config", "db-pre-config", "jwt-cache-max-entries"];

/// Values by option.
pub(crate) struct Given(pub(crate) BTreeMap<String, String>);

impl Given {
    /// Whether the option becomes a setting of the project.
    pub(crate) fn is_of_project(key: &str) -> bool {
        IN_DATABASE.contains(&key) || OUTSIDE.contains(&key) || key.starts_with(APP_SETTINGS)
    }

    /// A value that is not empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A number.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, String> {
        let Some(text) = self.text(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("{key}: {text} is no number that it may be"))
    }

    /// A truth value.
    pub(crate) fn truth(&self, key: &str) -> Result<Option<bool>, String> {
        match self.text(key).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true" | "yes" | "on" | "1") => Ok(Some(true)),
            Some("false" | "no" | "off" | "0") => Ok(Some(false)),
            Some(other) => Err(format!("{key}: {other} is neither true nor false")),
        }
    }

    /// A list with commas; of nothing if it is there and empty.
    pub(crate) fn list(&self, key: &str) -> Option<Vec<String>> {
        let text = self.0.get(key)?;
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Some(parts.map(str::to_owned).collect())
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, String> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(format!("{key}: there is no {text}")),
        }
    }

    /// A text that may be set to nothing.
    fn optional(&self, key: &str, otherwise: Option<String>) -> Option<String> {
        if self.0.contains_key(key) { self.text(key).map(str::to_owned) } else { otherwise }
    }

    /// The settings with what was given in the place of what they say.
    ///
    /// Errors: which option cannot be, and why.
    pub(crate) fn over(&self, settings: Settings) -> Result<Settings, String> {
        let tx_ends = [
            ("commit", TransactionEnd::Commit),
            ("commit-allow-override", TransactionEnd::CommitAllowOverride),
            ("rollback", TransactionEnd::Rollback),
            ("rollback-allow-override", TransactionEnd::RollbackAllowOverride),
        ];
        let modes = [
            ("follow-privileges", OpenApiMode::FollowPrivileges),
            ("ignore-privileges", OpenApiMode::IgnorePrivileges),
            ("disabled", OpenApiMode::Disabled),
        ];
        let role_claim = self.text("jwt-role-claim-key").map_or(settings.role_claim, str::to_owned);
        RoleClaim::parse(&role_claim).map_err(|why| format!("jwt-role-claim-key: {why}"))?;
        let truth = |key, otherwise| Ok::<_, String>(self.truth(key)?.unwrap_or(otherwise));
        // a function of the first schema, however it is named
        let root_function = self.optional("db-root-spec", settings.root_function);
        let root_function = root_function.map(|name| name.rsplit('.').next().unwrap_or(&name).to_owned());
        let mut app_settings = settings.app_settings;
        app_settings.extend(self.0.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(APP_SETTINGS)?;
            Some((name.to_owned(), value.clone()))
        }));
        Ok(Settings {
            schemas: self.list("db-schemas").filter(|all| !all.is_empty()).unwrap_or(settings.schemas),
            extra_search_path: self.list("db-extra-search-path").unwrap_or(settings.extra_search_path),
            max_rows: if self.0.contains_key("db-max-rows") {
                self.number("db-max-rows")?
            } else {
                settings.max_rows
            },
            anon_role: self.optional("db-anon-role", settings.anon_role),
            jwt_aud: self.optional("jwt-aud", settings.jwt_aud),
            role_claim,
            jwt_cache_max_entries: self
                .number("jwt-cache-max-entries")?
                .unwrap_or(settings.jwt_cache_max_entries),
            aggregates_enabled: truth("db-aggregates-enabled", settings.aggregates_enabled)?,
            plan_enabled: truth("db-plan-enabled", settings.plan_enabled)?,
            server_timing_enabled: truth("server-timing-enabled", settings.server_timing_enabled)?,
            legacy_target_names: truth("url-use-legacy-target-names", settings.legacy_target_names)?,
            openapi_mode: self.word("openapi-mode", &modes)?.unwrap_or(settings.openapi_mode),
            openapi_security_active: truth("openapi-security-active", settings.openapi_security_active)?,
            openapi_url: self.optional("openapi-server-proxy-uri", settings.openapi_url),
            root_function,
            in_database: truth("db-config", settings.in_database)?,
            pre_config: self.optional("db-pre-config", settings.pre_config),
            pre_request: self.optional("db-pre-request", settings.pre_request),
            tx_end: self.word("db-tx-end", &tx_ends)?.unwrap_or(settings.tx_end),
            hoisted_tx_settings: self.list("db-hoisted-tx-settings").unwrap_or(settings.hoisted_tx_settings),
            app_settings,
            ..settings
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(options: &[(&str, &str)]) -> Result<Settings, String> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Given(options.collect()).over(Settings::default())
    }

    #[test]
    fn what_is_not_given_stays() {
        assert_eq!(given(&[]), Ok(Settings::default()));
        let changed = given(&[("db-max-rows", ""), ("db-plan-enabled", "on"), ("db-anon-role", "")]).unwrap();

        assert_eq!((changed.max_rows, changed.plan_enabled, changed.anon_role), (None, true, None));
        assert_eq!(changed.schemas, Settings::default().schemas);
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (key, value) in [
            ("db-tx-end", "never"),
            ("db-max-rows", "-1"),
            ("openapi-mode", "x"),
            ("jwt-role-claim-key", "a b"),
        ] {
            let refused = given(&[(key, value)]).err().unwrap_or_default();
            assert!(refused.starts_with(key), "{refused}");
        }
    }
}
