//! A proxy's side of the control plane: how it joins, keeps its identity, takes what is pushed, and is found by others.
//!
//! Each workload has a stream of its own to the control plane, over mutual TLS: what is said on it is said by that
//! identity. Lines of JSON go both ways ([`FromProxy`], [`FromControl`]). What is pushed are [resources](Resource) by
//! key, each with a version; a push is taken or, resource by resource, rejected with the reason, and the last good one
//! stays in force. Everything is kept on disk, so that a proxy starts, and goes on, while no control plane is there.
//!
//! Source for the terms: the xDS transport protocol (incremental, ACK and NACK).

mod agent;
mod client;
mod directory;
mod held;
mod identify;
mod join;
mod push;
mod renew;
mod state;
mod stream;
mod tally;
mod taps;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use agent::{Agents, Bootstrap};
pub use held::Globals;
pub use join::{JoinToken, Joined, NotAToken, Request as CertificateRequest, root_name};
pub use stream::LineBuffer;
pub use taps::{TAP_LIFE, filter as tap_filter, is_own};

/// The name of the control plane's own identity: `spiffe://<trust domain>/control`.
pub const CONTROL: &str = "control";
/// Where a workload without an identity asks for one, on the door without client certificates.
pub const JOIN_PATH: &str = "/v1/join";
/// Where a workload asks for its next certificate.
pub const RENEW_PATH: &str = "/v1/renew";
/// Where the stream begins.
pub const STREAM_PATH: &str = "/v1/stream";
/// Each side says something at least this often,
pub const ALIVE_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
/// and is given up after a silence of this length.
pub const SILENCE: std::time::Duration = std::time::Duration::from_secs(15);
/// The longest line that the control plane says, in bytes,
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;
/// and that a proxy says.
pub const MAX_SAID_BYTES: usize = 4 * 1024 * 1024;

/// The key of the callers' assertions and of who is denied.
pub const MESH: &str = "mesh";
/// The key of the hosts that the workload may call outside of the mesh.
pub const EGRESS: &str = "egress";
/// The key of what is recorded.
pub const TELEMETRY: &str = "telemetry";
/// The key of the roots of our trust domain, as PEM.
pub const ROOTS: &str = "roots";
/// What the keys of services begin with.
pub const SERVICE: &str = "service/";
/// What the keys of endpoint sets begin with.
pub const ENDPOINTS: &str = "endpoints/";

/// What a proxy says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromProxy {
    /// The first line.
    Hello {
        /// The process: a restarted one is another.
        instance: String,
        /// The versions of what it holds: only what differs is pushed.
        versions: BTreeMap<String, String>,
    },
    /// Everything of a push is in force.
    Ack {
        /// The push.
        nonce: u64,
    },
    /// A part of a push is not in force; the rest is.
    Nack {
        /// The push.
        nonce: u64,
        /// Key → why.
        rejected: BTreeMap<String, String>,
    },
    /// The services whose endpoints it needs, all of them.
    Needs {
        /// By name.
        services: BTreeSet<String>,
    },
    /// It can be called, or its place in the world changed.
    Serves(Presence),
    /// It cannot be called any more.
    Leaves,
    /// What it saw since it last told.
    Saw(Summary),
    /// What passed a tap's filter, as the admin socket's `/tap` shows it.
    Tapped {
        /// The tap.
        tap: u64,
        /// One event each.
        lines: Vec<Value>,
    },
    /// Nothing new.
    Alive,
}

/// What the control plane says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromControl {
    /// Resources that changed.
    Push {
        /// What an answer names.
        nonce: u64,
        /// New, or in another version.
        set: BTreeMap<String, Resource>,
        /// Gone.
        removed: BTreeSet<String>,
        /// Whether, with it, the proxy has everything that it should have now.
        complete: bool,
    },
    /// It is not found by others any more: what it asked for by leaving.
    Left,
    /// What passes this filter is to be shown.
    Tap {
        /// What `Tapped` names.
        tap: u64,
        /// As the query of the admin socket's `/tap`.
        filter: String,
    },
    /// Nobody looks any more.
    Untap {
        /// The tap.
        tap: u64,
    },
    /// Nothing new.
    Alive,
}

/// One pushed thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// A hash of its content.
    pub version: String,
    /// By its key: `service/…` is a [`crate::resource::Service`], `endpoints/…` a list of [`Endpoint`].
    pub body: Value,
}

/// Where a workload is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// Where peers connect, `ip:port`.
    pub address: String,
    /// The zone it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its share beside the others'.
    pub weight: u32,
}

/// One endpoint of a service.
pub type Endpoint = Presence;

/// What a proxy saw of calls in a stretch of time, one entry for each edge of the service graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How long the stretch was, in milliseconds.
    pub millis: u64,
    /// The edges that had calls.
    pub edges: Vec<Edge>,
    /// Requests and connections that the workload's program has now; without a program, its calls under way.
    pub running: usize,
    /// Its calls that wait for a place now, by the service that they are for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waiting: BTreeMap<String, usize>,
}

/// Calls from the workload to one service by one route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Who told: `outbound` at the caller, `inbound` at the callee.
    pub side: String,
    /// The caller.
    pub source: String,
    /// The called service.
    pub destination: String,
    /// The route.
    pub route: String,
    /// Calls that ended.
    pub requests: u64,
    /// Those that the service failed.
    pub failures: u64,
    /// How many took at most 1, 2, 4, … milliseconds: bucket `n` up to 2ⁿ, the last one everything above.
    pub latency: Vec<u64>,
}
