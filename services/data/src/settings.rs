//! What a project decides about its API: the data section of its document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::request::preferences::TransactionPreference;

/// A project's settings. Names are those of `[api]` in a Supabase project's `config.toml`, then PostgREST's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Schemas that the API shows; the first is the default. `Accept-Profile` and `Content-Profile` choose another.
    pub schemas: Vec<String>,
    /// Schemas searched after the request's own, for functions, types and operators.
    pub extra_search_path: Vec<String>,
    /// Most rows of one answer, and of each embedded list; none for no limit.
    pub max_rows: Option<u64>,
    /// The role of callers without a token; none if there may be no such callers.
    pub anon_role: Option<String>,
    /// Whom tokens must be for, if they say it; anybody if none.
    pub jwt_aud: Option<String>,
    /// Where in a token its role is, as a JSONPath (RFC 9535).
    pub role_claim: String,
    /// Whether `select` may aggregate.
    pub aggregates_enabled: bool,
    /// Whether `Accept: application/vnd.pgrst.plan` shows how PostgreSQL would go about a request.
    pub plan_enabled: bool,
    /// Whether `Server-Timing` says how long each stage of a request took.
    pub server_timing_enabled: bool,
    /// Whether filters, orders and limits may name an embedded relation that has an alias.
    pub legacy_target_names: bool,
    /// Verified tokens that are remembered, those that were used last; one over a KiB counts for several.
    pub jwt_cache_max_entries: u64,
    /// Whether the root describes the schema, and to whom what.
    pub openapi_mode: OpenApiMode,
    /// Whether the description says that a token is wanted.
    pub openapi_security_active: bool,
    /// Where the description says that the API is; where the gateway was asked if none.
    pub openapi_url: Option<String>,
    /// A function of the first schema that answers at the root instead.
    pub root_function: Option<String>,
    /// Whether the database may hold settings too, which then come before these.
    pub in_database: bool,
    /// A function, as `schema.name`, that sets `pgrst.*` before they are read.
    pub pre_config: Option<String>,
    /// A function, as `schema.name`, that runs in each transaction before its statement.
    pub pre_request: Option<String>,
    /// How transactions end, and whether `Prefer: tx=` may decide otherwise.
    pub tx_end: TransactionEnd,
    /// Settings of functions (`ALTER FUNCTION … SET`) that hold for the whole transaction of a call.
    pub hoisted_tx_settings: Vec<String>,
    /// How often the database is asked whether its schema has changed, for those that do not notify. In seconds.
    pub schema_poll_seconds: u64,
    /// Set as `app.settings.<name>` in each transaction.
    pub app_settings: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Settings {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Settings {
            schemas: owned(&["public", "graphql_public"]),
            extra_search_path: owned(&["public", "extensions"]),
            max_rows: Some(1000),
            anon_role: Some("anon".to_owned()),
            jwt_aud: None,
            role_claim: "$.role".to_owned(),
            aggregates_enabled: false,
            plan_enabled: false,
            server_timing_enabled: false,
            legacy_target_names: true,
            jwt_cache_max_entries: 1000,
            openapi_mode: OpenApiMode::default(),
            openapi_security_active: false,
            openapi_url: None,
            root_function: None,
            in_database: true,
            pre_config: None,
            pre_request: None,
            tx_end: TransactionEnd::default(),
            hoisted_tx_settings: owned(&[
                "statement_timeout",
                "plan_filter.statement_cost_limit",
                "default_transaction_isolation",
            ]),
            schema_poll_seconds: 30,
            app_settings: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Whether a transaction ends without effect: as its caller prefers, if it may, else as the project decides.
    pub(crate) fn rolls_back(&self, preferred: Option<TransactionPreference>) -> bool {
        match preferred {
            Some(preferred) => preferred == TransactionPreference::Rollback,
            None => self.tx_end.rolls_back(),
        }
    }
}

/// What the root describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenApiMode {
    /// What the caller may use.
    #[default]
    FollowPrivileges,
    /// Everything.
    IgnorePrivileges,
    /// Nothing.
    Disabled,
}

/// How a transaction ends when nothing failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionEnd {
    /// Commit, always.
    Commit,
    /// Commit unless the request prefers `tx=rollback`.
    #[default]
    CommitAllowOverride,
    /// Roll back, always.
    Rollback,
    /// Roll back unless the request prefers `tx=commit`.
    RollbackAllowOverride,
}

impl TransactionEnd {
    /// Whether `Prefer: tx=` counts.
    pub(crate) fn may_be_overridden(self) -> bool {
        matches!(self, TransactionEnd::CommitAllowOverride | TransactionEnd::RollbackAllowOverride)
    }

    /// Whether a transaction without a preference is rolled back.
    pub(crate) fn rolls_back(self) -> bool {
        matches!(self, TransactionEnd::Rollback | TransactionEnd::RollbackAllowOverride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_takes_its_default() {
        let settings: Settings =
            serde_json::from_str(r#"{"schemas":["api"],"tx_end":"rollback-allow-override"}"#).unwrap();

        assert_eq!(settings.schemas, ["api"]);
        assert_eq!(settings.max_rows, Some(1000));
        assert!(settings.tx_end.rolls_back() && settings.tx_end.may_be_overridden());
    }
}
