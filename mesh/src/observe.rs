//! Every decision of the mesh as an event, and the one place they go to. No stage logs or counts by itself.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::classify::Class;
use crate::outbound::Cause;

/// Something the mesh did or decided.
#[derive(Clone, Debug)]
pub enum Event {
    /// An answer's head arrived at the caller's side.
    Answered {
        /// The caller's service.
        source: String,
        /// The called service.
        destination: String,
        /// The status.
        status: StatusCode,
        /// What it says about the endpoint.
        class: Class,
        /// From the call to the head of the answer.
        duration: Duration,
    },
    /// No answer came.
    Failed {
        /// The caller's service.
        source: String,
        /// The called service, or the host that was asked for.
        destination: String,
        /// Why.
        cause: Cause,
    },
    /// The callee's policy did not let the caller in.
    Denied {
        /// The caller's SPIFFE id.
        peer: String,
        /// The service that refused.
        destination: String,
    },
    /// A connection left HTTP and has ended.
    UpgradeEnded {
        /// The called service.
        destination: String,
        /// How long it lived.
        duration: Duration,
    },
}

/// Takes events. Called on the request's path: it must not block.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event) + Send + Sync>);

impl Observer {
    /// An observer that calls `sink` for each event.
    pub fn new(sink: impl Fn(&Event) + Send + Sync + 'static) -> Observer {
        Observer(Arc::new(sink))
    }

    /// Forgets every event.
    pub fn none() -> Observer {
        Observer::new(|_| {})
    }

    /// Hands over one event.
    pub fn observe(&self, event: &Event) {
        (self.0)(event);
    }
}
