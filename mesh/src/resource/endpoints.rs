//! Where a service's endpoints are and how they are looked after.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::millis;

/// Where the endpoints of a service are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Discovery {
    /// A list that does not change.
    Static(Vec<StaticEndpoint>),
    /// A name that is looked up again and again.
    Dns {
        /// The name.
        name: String,
        /// The port; SRV records bring their own.
        #[serde(default)]
        port: u16,
        /// Which records.
        #[serde(default)]
        record: DnsRecord,
        /// Longest time between two look-ups; a record's time to live may ask for an earlier one.
        #[schemars(with = "u64")]
        #[serde(default = "five_seconds", with = "millis", rename = "refresh_ms")]
        refresh: Duration,
    },
    /// A Service of the cluster that the proxy runs in: its EndpointSlices are watched.
    Kubernetes {
        /// The Service.
        service: String,
        /// Its namespace; the proxy's own if there is none.
        #[serde(default)]
        namespace: Option<String>,
        /// The name of its port; needed if it has several.
        #[serde(default)]
        port: Option<String>,
    },
}

/// One endpoint of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticEndpoint {
    /// `host:port` as an IP address, or `unix:PATH`.
    pub address: String,
    /// Where it is, for the preference of near ones.
    #[serde(default)]
    pub zone: Option<String>,
    /// Its share beside the others'; 0 for none at all.
    #[serde(default = "one")]
    pub weight: u32,
}

/// The records that hold a service's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DnsRecord {
    /// A and AAAA.
    #[default]
    Host,
    /// SRV, with ports, weights and priorities (RFC 2782).
    Srv,
}

/// What is between two proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Mutual TLS 1.3 with SPIFFE identities: the endpoint is a proxy of ours.
    #[default]
    Mutual,
    /// Nothing: the endpoint is the program itself.
    Off,
}

/// Probes of endpoints that nobody else looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// The path that answers 2xx; absent, a TCP connection is enough.
    #[serde(default)]
    pub path: Option<String>,
    /// Time between two probes of one endpoint.
    #[schemars(with = "u64")]
    #[serde(default = "five_seconds", with = "millis", rename = "interval_ms")]
    pub interval: Duration,
    /// Longest time for one.
    #[schemars(with = "u64")]
    #[serde(default = "one_second", with = "millis", rename = "timeout_ms")]
    pub timeout: Duration,
    /// Good probes in a row that make an endpoint healthy.
    #[serde(default = "one")]
    pub healthy: u32,
    /// Failed probes in a row that make it unhealthy.
    #[serde(default = "two")]
    pub unhealthy: u32,
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}
