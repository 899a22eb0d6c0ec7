//! A part of a service's requests, what kind of exchange they are, and what is done with them.

mod attempts;
mod edit;
mod fallback;
mod matches;
mod template;
mod traffic;
mod written;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use attempts::{Hedge, Retry};
pub use edit::Edit;
pub use fallback::{Fallback, Stale};
pub use matches::Match;
pub use template::Template;
pub use traffic::{Backend, Fault, Mirror, Redirect, Rewrite, Split};
use written::Written;

/// A part of a service's requests.
///
/// Routes attach to a service, never to a public path: those are the gateway's edge table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(with = "Written")]
#[serde(try_from = "Written", into = "Written")]
pub struct Route {
    /// What it is called in metrics and events; its path otherwise.
    pub name: String,
    /// The requests that it is for.
    pub matches: Match,
    /// The kind of exchange and its times.
    pub kind: Kind,
    /// Whether every request may be sent twice; otherwise its method says so (RFC 9110 §9.2.2).
    pub idempotent: Option<bool>,
    /// Whether it lasts for as long as somebody listens: what is under way there is no work that an autoscaler is told of.
    pub watch: bool,
    /// What is tried again.
    pub retry: Retry,
    /// A second attempt beside a slow first one.
    pub hedge: Option<Hedge>,
    /// Several services in the place of this one.
    pub split: Option<Split>,
    /// A copy to another service, whose answer nobody waits for.
    pub mirror: Option<Mirror>,
    /// An answer that sends the caller elsewhere.
    pub redirect: Option<Redirect>,
    /// Another path or host for the service.
    pub rewrite: Option<Rewrite>,
    /// Changes to the request's headers.
    pub request_headers: Edit,
    /// Changes to the answer's headers.
    pub response_headers: Edit,
    /// Trouble on purpose.
    pub fault: Option<Fault>,
    /// What to answer when the service cannot, tried in order.
    pub fallback: Vec<Fallback>,
}

/// What an exchange looks like in time, and with it which of its timeouts make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One request, one answer, both small: a deadline for the whole.
    Unary {
        /// From the request's arrival to the last byte of the answer.
        deadline: Duration,
    },
    /// Bodies of any length, never buffered: no total, but neither side may stall.
    Stream {
        /// From the end of the request's body to the head of the answer.
        response: Duration,
        /// Longest pause within a body, per direction.
        idle: Duration,
    },
    /// A connection that leaves HTTP, such as a WebSocket.
    Upgrade {
        /// From the request to the answer `101`.
        response: Duration,
        /// Longest time without a byte in either direction.
        idle: Duration,
        /// Longest life.
        life: Duration,
    },
    /// Bytes both ways.
    Tcp {
        /// Longest time without a byte in either direction.
        idle: Duration,
    },
}

impl Kind {
    /// As it is written.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Unary { .. } => "unary",
            Kind::Stream { .. } => "stream",
            Kind::Upgrade { .. } => "upgrade",
            Kind::Tcp { .. } => "tcp",
        }
    }

    /// Its times by the keys that they are written under.
    pub(crate) fn times(&self) -> Vec<(&'static str, Duration)> {
        match *self {
            Kind::Unary { deadline } => vec![("deadline_ms", deadline)],
            Kind::Stream { response, idle } => vec![("response_ms", response), ("idle_ms", idle)],
            Kind::Upgrade { response, idle, life } => {
                vec![("response_ms", response), ("idle_ms", idle), ("life_ms", life)]
            }
            Kind::Tcp { idle } => vec![("idle_ms", idle)],
        }
    }
}
