//! What protects a service, its endpoints, and its projects from each other.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::millis;

/// When a faulty endpoint is left out. Never the last one, never more than half.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ejection {
    /// Faults in a row that eject; zero for never.
    pub consecutive_faults: u32,
    /// The success rate below which an endpoint is ejected (0 to 1); zero for never.
    pub success_rate: f64,
    /// The window of the success rate.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "window_ms")]
    pub window: Duration,
    /// Requests in the window before its rate counts.
    pub min_requests: u32,
    /// How long the first ejection lasts; each further one twice as long, with jitter.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "base_ms")]
    pub base: Duration,
    /// The longest one.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "max_ms")]
    pub max: Duration,
}

/// How much may be under way at once from one proxy to a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Concurrency {
    /// Connections to one endpoint, whatever they carry: at rest, upgraded, and bytes alone too.
    pub connections: usize,
    /// Requests to the whole service.
    pub requests: usize,
    /// Requests that wait for one of those places.
    pub pending: usize,
    /// The longest wait.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "wait_ms")]
    pub wait: Duration,
    /// The part of requests and pending that one project may have (0 to 1).
    pub project_share: f64,
}

/// How many retries and hedges there may be, as a part of the requests of the last seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryBudget {
    /// Retries per request (0 to 1).
    pub ratio: f64,
    /// Retries per second that there may be anyhow.
    pub per_second: u32,
    /// How far back it looks.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "window_ms")]
    pub window: Duration,
}

/// When one project's calls are refused at once for its own trouble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantBreaker {
    /// Tenant faults in a row that open it; zero for never.
    pub consecutive_faults: u32,
    /// How long it stays open the first time; each further time twice as long, with jitter.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "base_ms")]
    pub base: Duration,
    /// The longest time.
    #[schemars(with = "u64")]
    #[serde(with = "millis", rename = "max_ms")]
    pub max: Duration,
}

impl Default for Ejection {
    fn default() -> Ejection {
        Ejection {
            consecutive_faults: 5,
            success_rate: 0.8,
            window: Duration::from_secs(10),
            min_requests: 20,
            base: Duration::from_secs(5),
            max: Duration::from_secs(300),
        }
    }
}

impl Default for Concurrency {
    fn default() -> Concurrency {
        Concurrency {
            connections: 10_000,
            requests: 10_000,
            pending: 10_000,
            wait: Duration::from_secs(3),
            project_share: 0.5,
        }
    }
}

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget { ratio: 0.2, per_second: 10, window: Duration::from_secs(10) }
    }
}

impl Default for TenantBreaker {
    fn default() -> TenantBreaker {
        TenantBreaker {
            consecutive_faults: 5,
            base: Duration::from_millis(500),
            max: Duration::from_secs(30),
        }
    }
}
