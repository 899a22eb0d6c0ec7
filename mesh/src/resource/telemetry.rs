//! What is recorded of requests.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a proxy records beside its metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Whether each request is a line of JSON on standard output.
    pub access_log: bool,
    /// Where spans go.
    pub otlp: Option<Otlp>,
}

/// A collector of spans that speaks OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Its base URL, such as `http://127.0.0.1:4318`; `/v1/traces` is added.
    pub endpoint: String,
    /// The part of the traces begun here that is recorded (0 to 1). A trace that came with a decision keeps it.
    #[serde(default = "one")]
    pub sample: f64,
    /// Headers of each export, such as a token.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

fn one() -> f64 {
    1.0
}
