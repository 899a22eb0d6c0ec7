//! Who may call what, inside the mesh and out of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Match;

/// Lets some callers do some things. What no policy allows is denied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Services of this trust domain, or whole SPIFFE ids.
    pub from: Vec<String>,
    /// What they may do; everything if it says nothing.
    #[serde(default, rename = "match")]
    pub matches: Match,
}

/// A host outside of the mesh that may be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// The services that may call it.
    pub from: Vec<String>,
    /// The host: exact, or `*.` and a suffix of at least two labels.
    pub host: String,
    /// The ports.
    #[serde(default = "https")]
    pub ports: Vec<u16>,
    /// Whether the name may lead to a private or loopback address.
    #[serde(default)]
    pub private: bool,
}

fn https() -> Vec<u16> {
    vec![443]
}
