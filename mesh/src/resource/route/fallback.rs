//! What to answer when the service cannot.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::{millis, text::names};

/// What to answer when the service cannot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Fallback {
    /// A given answer.
    Static {
        /// Its status.
        status: u16,
        /// Its headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Its body.
        #[serde(default)]
        body: String,
    },
    /// The last good answer to the same request of the same caller.
    Stale(Stale),
    /// Another service.
    Service(String),
}

/// A bounded memory of good answers to `GET`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stale {
    /// The oldest answer that is still better than none.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "max_age_ms")]
    pub max_age: Duration,
    /// Bytes of all answers of the route.
    pub max_bytes: usize,
    /// Further request headers that tell answers apart. Those that say who asks always do.
    #[schemars(with = "Vec<String>")]
    #[serde(with = "names")]
    pub vary: Vec<HeaderName>,
}

impl Default for Stale {
    fn default() -> Stale {
        Stale { max_age: Duration::from_secs(300), max_bytes: 4 * 1024 * 1024, vary: Vec::new() }
    }
}
