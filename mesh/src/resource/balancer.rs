//! How an endpoint is chosen.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::millis;

/// How an endpoint is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Balancer {
    /// The rule.
    pub kind: BalancerKind,
    /// What the ring hash looks at; only for `ring_hash`, which needs it.
    pub hash: Option<HashKey>,
    /// Whether endpoints of the proxy's own zone come first, others only when those fail.
    pub prefer_zone: bool,
    /// How long a new endpoint's share grows until it is whole; zero for at once.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "slow_start_ms")]
    pub slow_start: Duration,
    /// If less than this part of the endpoints is healthy, health is not believed (0 to 1).
    pub panic_threshold: f64,
}

/// The rules of choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalancerKind {
    /// The less loaded of two random ones; load is peak-EWMA latency × requests in flight.
    #[default]
    PeakEwma,
    /// The one of two random ones with fewer requests in flight.
    LeastRequest,
    /// One after the other, by weight.
    RoundRobin,
    /// Any, by weight.
    Random,
    /// By the hash of something in the request, so that the same goes to the same.
    RingHash,
}

/// Something in a request that is hashed: for the ring, and for whom a canary is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HashKey {
    /// A header's value.
    Header(String),
    /// A cookie's value.
    Cookie(String),
    /// The project.
    Project,
    /// The calling service.
    Identity,
    /// The path.
    Path,
}

impl Default for Balancer {
    fn default() -> Balancer {
        Balancer {
            kind: BalancerKind::PeakEwma,
            hash: None,
            prefer_zone: true,
            slow_start: Duration::ZERO,
            panic_threshold: 0.5,
        }
    }
}
