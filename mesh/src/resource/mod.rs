//! The mesh's configuration as types: what `defaults.yaml` and a lone proxy's `mesh.yaml` hold, and what a control
//! plane pushes.
//!
//! These are the words of the person who writes them; `snapshot` turns them into what a request meets.

mod balancer;
mod check;
mod endpoints;
mod limit;
mod locate;
mod millis;
mod policy;
mod protection;
mod read;
mod route;
mod sidecar;
mod telemetry;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

pub use balancer::{Balancer, BalancerKind, HashKey};
pub use endpoints::{Discovery, DnsRecord, HealthCheck, StaticEndpoint, Tls};
pub use limit::{Limit, LimitKey, Shed};
pub use policy::{Egress, Policy};
pub use protection::{Concurrency, Ejection, RetryBudget, TenantBreaker};
pub use read::INVALID_MESH;
pub use route::{
    Backend, Edit, Fallback, Fault, Hedge, Kind, Match, Mirror, Redirect, Retry, Rewrite, Route, Split,
    Stale, Template,
};
pub use sidecar::{Control, Listen, OutboundListener, Ready, Sidecar, Workload};
pub use telemetry::{Otlp, Telemetry};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mesh {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Caller → the headers of our own that it may assert. Every other one is stripped when it arrives.
    #[serde(default)]
    pub asserts: BTreeMap<String, Vec<String>>,
    /// SPIFFE ids that nobody talks to any more: their connections are cut.
    #[serde(default)]
    pub denied: BTreeSet<String>,
    /// The hosts outside of the mesh that may be called; none otherwise.
    #[serde(default)]
    pub egress: Vec<Egress>,
    /// What is recorded.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Every service by name.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// What one proxy does; only in a lone proxy's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Sidecar>,
}

/// One service: how to reach it, who may call it, and how its routes behave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What the program speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whether proxies meet over mutual TLS.
    #[serde(default)]
    pub tls: Tls,
    /// Where its endpoints are. Absent if it is in this process or a registry knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// How an endpoint is chosen.
    #[serde(default)]
    pub balancer: Balancer,
    /// Probes of this proxy's own, where nobody else looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// When a faulty endpoint is left out.
    #[serde(default)]
    pub ejection: Ejection,
    /// How much may be under way at once.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// How many retries and hedges there may be.
    #[serde(default)]
    pub retry_budget: RetryBudget,
    /// When one project's calls are refused for its own trouble.
    #[serde(default)]
    pub tenant_breaker: TenantBreaker,
    /// Whether the inbound side adapts how much it lets in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shed: Option<Shed>,
    /// Rates and concurrencies that the inbound side holds callers to.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// The callers that may call everything; a short form of a policy.
    #[serde(default)]
    pub callers: Vec<String>,
    /// Who else may call what. Nobody else may call anything.
    #[serde(default)]
    pub policies: Vec<Policy>,
    /// Whether what policy denies is let in and only reported.
    #[serde(default)]
    pub dry_run: bool,
    /// The first match wins; the last one matches everything. A service without routes only calls others.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// What a program speaks. Declared, never detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1, with upgrades.
    #[default]
    Http1,
    /// HTTP/2 without negotiation (h2c), gRPC too.
    Http2,
    /// Bytes.
    Tcp,
}
