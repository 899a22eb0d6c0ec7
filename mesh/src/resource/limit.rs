//! What the inbound side holds callers to.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Match, millis};

/// A rate, a concurrency, or both, for each value of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What it is called in answers, metrics and events.
    pub name: String,
    /// The requests that count; all otherwise.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// What the requests are counted by.
    pub per: LimitKey,
    /// How many in a period; they may come at once.
    #[serde(default)]
    pub requests: Option<u32>,
    /// The period.
    #[schemars(with = "u64")]
    #[serde(default = "one_second", with = "millis", rename = "period_ms")]
    pub period: Duration,
    /// How many may be under way at once.
    #[serde(default)]
    pub concurrent: Option<usize>,
}

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LimitKey {
    /// Each calling identity by itself.
    Identity,
    /// Each route by itself.
    Route,
    /// Each project by itself.
    Project,
    /// Each value of a header by itself; requests without it share one.
    Header(String),
    /// All together.
    All,
}

/// Adaptive concurrency: how much is let in follows from how long answers take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shed {
    /// The limit at the start.
    pub initial: usize,
    /// It never goes below this,
    pub min: usize,
    /// nor beyond this.
    pub max: usize,
}

impl Default for Shed {
    fn default() -> Shed {
        Shed { initial: 100, min: 4, max: 2_000 }
    }
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}
