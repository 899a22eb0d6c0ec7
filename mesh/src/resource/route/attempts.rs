//! More than one attempt at a request.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::millis;

/// What is tried again, within the deadline and the service's retry budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts beyond the first; zero for none.
    pub attempts: u32,
    /// Longest time for one attempt to begin its answer.
    #[schemars(with = "Option<u64>")]
    #[serde(with = "millis::optional", rename = "per_try_ms", skip_serializing_if = "Option::is_none")]
    pub per_try: Option<Duration>,
    /// The pause before the second attempt; each further one twice as long, with full jitter.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "backoff_ms")]
    pub backoff: Duration,
}

/// A second attempt beside a slow first one, for idempotent requests, paid from the retry budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hedge {
    /// When the second attempt starts.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "after_ms")]
    pub after: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { attempts: 2, per_try: None, backoff: Duration::from_millis(25) }
    }
}
