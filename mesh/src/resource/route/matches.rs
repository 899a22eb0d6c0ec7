//! Which requests are meant.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Template;
use crate::resource::text::methods;

/// Which requests are meant. What is not said matches everything; at most one of the path forms may be given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// The host that was asked for, as the client wrote it: exact, or `*.` and a suffix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The beginning of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The whole path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// The whole path with `{name}` for any one segment and a last `{*name}` for any rest.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// The methods; any if empty.
    #[schemars(with = "Vec<String>")]
    #[serde(skip_serializing_if = "Vec::is_empty", with = "methods")]
    pub methods: Vec<Method>,
    /// Headers and their values; `*` for any value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Query parameters and their values, as decoded; `*` for any value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
}

impl Match {
    /// Whether every request is meant.
    pub fn is_everything(&self) -> bool {
        *self == Match::default()
    }
}

/// A short name: the path form, or `*`.
impl std::fmt::Display for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.exact.as_deref().or(self.template.as_ref().map(Template::as_str));
        match (path, &self.prefix) {
            (Some(path), _) => f.write_str(path),
            (None, Some(prefix)) => write!(f, "{prefix}*"),
            (None, None) => f.write_str("*"),
        }
    }
}
