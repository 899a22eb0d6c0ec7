//! Where requests go instead: shares, copies, redirects, other paths, and trouble on purpose.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::{HashKey, millis};

/// Services that share the requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The services and their shares; one of them may be the service itself.
    pub to: Vec<Backend>,
    /// What decides; the dice otherwise. The same value always goes to the same service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<HashKey>,
}

/// One service of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its name.
    pub service: String,
    /// Its share beside the others'.
    pub weight: u32,
}

/// A copy of the requests to another service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Its name.
    pub service: String,
    /// The part of the requests that is copied (0 to 100).
    #[serde(default = "hundred")]
    pub percent: f64,
}

/// An answer that sends the caller elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "temporary")]
    pub status: u16,
    /// Where to: a URL, or a path.
    pub location: String,
}

/// Another path or host for the service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rewrite {
    /// What stands in the place of the matched prefix, or of the whole path if the route matches no prefix.
    pub path: Option<String>,
    /// The host that the service sees.
    pub host: Option<String>,
}

/// Trouble on purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The part of the requests that it meets (0 to 100).
    #[serde(default = "hundred")]
    pub percent: f64,
    /// A header that a request must have, and its value (`*` for any).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A wait before everything else.
    #[schemars(with = "Option<u64>")]
    #[serde(
        default,
        with = "millis::optional",
        rename = "delay_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub delay: Option<Duration>,
    /// A status in the place of the service's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<u16>,
}

fn hundred() -> f64 {
    100.0
}

fn temporary() -> u16 {
    302
}
