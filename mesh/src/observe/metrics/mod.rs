//! The mesh's events as numbers, for Prometheus.
//!
//! No label is a host, a path, a project or anything else that a caller chooses: names of services, routes, limits and
//! endpoints come from the configuration, discovery and certificates, the rest are words of ours. Each family is
//! bounded all the same.

mod family;
#[cfg(test)]
mod parser;
mod requests;
mod states;
mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::{Event, Name, Observer};
use family::Limit;
use requests::Requests;
use states::States;

/// Label sets of a family that are told apart; see [`Metrics::with_limit`].
const LIMIT: usize = 2_000;
/// How long a series stays that nothing is counted on.
const IDLE: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Families {
    requests: Requests,
    states: States,
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.requests.encode(&mut encoder)?;
        self.states.encode(&mut encoder)
    }
}

/// The numbers of one process. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

impl Metrics {
    /// Nothing counted yet; at most 2,000 label sets per family.
    pub fn new() -> Metrics {
        Metrics::with_limit(LIMIT)
    }

    /// The same with at most `limit` label sets per family; further ones are counted under the names `other`.
    pub fn with_limit(limit: usize) -> Metrics {
        let limit = Limit(limit);
        Metrics(Arc::new(Families { requests: Requests::new(limit), states: States::new(limit) }))
    }

    /// An observer that counts here.
    pub fn observer(&self) -> Observer {
        let metrics = self.clone();
        Observer::new(move |event| metrics.observe(event))
    }

    /// Counts one event. For labels seen before: one hash, one shared lock, a few atomic additions.
    pub fn observe(&self, event: &Event) {
        self.0.requests.observe(event);
        self.0.states.observe(event);
    }

    /// The OpenMetrics text, which Prometheus' own text format can be joined with if `# EOF` comes last.
    pub fn render(&self) -> String {
        let mut registry = Registry::with_prefix("meshbase_mesh");
        registry.register_collector(Box::new(Arc::clone(&self.0)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes all text");
        text
    }

    /// Drops counters that nothing was counted on for ten minutes. To be called about once a minute: idleness is
    /// measured from one call to another. Gauges are states and stay.
    pub fn expire(&self, now: Instant) {
        self.0.requests.expire(now, IDLE);
        self.0.states.expire(now, IDLE);
    }

    /// Drops the gauges of services that `in_force` does not know (any more), after a change of configuration.
    pub fn retain_services(&self, in_force: impl Fn(&str) -> bool) {
        self.0.states.retain_services(in_force);
    }

    /// Takes down how many requests of `source` are running at `destination` and how many wait for a place there: a state
    /// that somebody looks up, not an event.
    pub fn set_concurrency(&self, destination: &Name, source: &Name, running: usize, waiting: usize) {
        self.0.states.set_concurrency([destination, source], [running, waiting]);
    }

    /// Takes down how many requests a service is let have at once.
    pub fn set_adaptive_limit(&self, service: &Name, limit: usize) {
        self.0.states.set_adaptive_limit(service, limit);
    }

    /// Counts spans that could not be exported.
    pub fn spans_dropped(&self) -> Counter {
        self.0.states.spans_dropped.clone()
    }

    /// Counts lines of the access log that were lost.
    pub fn access_lines_lost(&self) -> Counter {
        self.0.states.access_lines_lost.clone()
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

#[cfg(test)]
mod tests;
