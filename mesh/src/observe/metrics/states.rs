//! What is counted of endpoints, certificates, the configuration, and of what could not be told.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Unit;
use tokio::time::Instant;

use super::family::{Counters, Family, Gauges, Limit};
use super::table::Label::{Name, Text, Word};
use crate::observe::{self, Event};

/// The families of what the mesh is like.
#[derive(Debug)]
pub(super) struct States {
    ejections: Counters<2>,
    restorations: Counters<1>,
    health_changes: Counters<2>,
    breaker_changes: Counters<2>,
    discovery_failures: Counters<1>,
    handshake_failures: Counters<2>,
    certificates_rejected: Counters<1>,
    cuts: Counters<2>,
    control_losses: Counters<1>,
    endpoints: Gauges<1>,
    certificate_expiry: Gauges<1>,
    concurrency: Gauges<3>,
    adaptive_limit: Gauges<1>,
    config_version: Mutex<Option<observe::Name>>,
    config_rejections: Counter,
    pub(super) spans_dropped: Counter,
    pub(super) access_lines_lost: Counter,
}

impl States {
    pub(super) fn new(new: Limit) -> States {
        let (by_reason, by_health) = (["destination", "reason"], ["destination", "health"]);
        let (by_state, by_side) = (["destination", "state"], ["side", "destination"]);
        States {
            ejections: new.counters("ejections", by_reason, "Endpoints left out"),
            restorations: new.counters(
                "restorations",
                ["destination"],
                "Ejected endpoints that take part again",
            ),
            health_changes: new.counters("health_changes", by_health, "Endpoints that probes think anew of"),
            breaker_changes: new.counters(
                "tenant_breaker_changes",
                by_state,
                "Breakers of a project that moved",
            ),
            discovery_failures: new.counters(
                "discovery_failures",
                ["destination"],
                "Discoveries that failed or found nothing",
            ),
            handshake_failures: new.counters("handshake_failures", by_side, "Connections that were not made"),
            certificates_rejected: new.counters(
                "certificates_rejected",
                ["service"],
                "Certificates that could not be taken",
            ),
            cuts: new.counters("cuts", by_reason, "Live connections and streams that were cut"),
            control_losses: new.counters(
                "control_losses",
                ["service"],
                "Streams to the control plane that broke off or did not begin",
            ),
            endpoints: new.gauges("endpoints", None, ["destination"], "Endpoints of a service"),
            certificate_expiry: new.gauges(
                "certificate_expiry_timestamp",
                Some(Unit::Seconds),
                ["service"],
                "When the certificate in force expires",
            ),
            concurrency: new.gauges(
                "concurrency",
                None,
                ["destination", "source", "state"],
                "Requests that are running at a service or waiting for a place there",
            ),
            adaptive_limit: new.gauges(
                "adaptive_limit",
                None,
                ["destination"],
                "Requests that a service is let have at once, as its answers' times have it",
            ),
            config_version: Mutex::default(),
            config_rejections: Counter::default(),
            spans_dropped: Counter::default(),
            access_lines_lost: Counter::default(),
        }
    }

    /// Counts what becomes of endpoints, connections, certificates and the configuration.
    pub(super) fn observe(&self, event: &Event) {
        match event {
            Event::Ejected { destination, reason, .. } => {
                self.ejections.inc([Name(destination), Word(reason.name())]);
            }
            Event::Restored { destination, .. } => self.restorations.inc([Name(destination)]),
            Event::HealthChanged { destination, healthy, .. } => {
                let health = if *healthy { "healthy" } else { "unhealthy" };
                self.health_changes.inc([Name(destination), Word(health)]);
            }
            Event::BreakerOpened { destination, .. } => {
                self.breaker_changes.inc([Name(destination), Word("open")]);
            }
            Event::BreakerClosed { destination, .. } => {
                self.breaker_changes.inc([Name(destination), Word("closed")]);
            }
            Event::EndpointsChanged { destination, count } => {
                self.endpoints.set([Name(destination)], gauge(*count));
            }
            Event::DiscoveryFailed { destination, .. } => self.discovery_failures.inc([Name(destination)]),
            Event::HandshakeFailed { side, service, .. } => {
                self.handshake_failures.inc([Word(side.name()), Name(service)]);
            }
            Event::CertificateLoaded { identity, expires_at } => {
                self.certificate_expiry.set([Text(identity.service())], expires_at.unix_timestamp());
            }
            Event::ControlLost { service, .. } => self.control_losses.inc([Name(service)]),
            Event::CertificateRejected { service, .. } => self.certificates_rejected.inc([Name(service)]),
            Event::Cut { service, reason, .. } => self.cuts.inc([Name(service), Word(reason.name())]),
            Event::ConfigApplied { version } => {
                *self.config_version.lock().expect("no holder of this lock panics") = Some(version.clone());
            }
            Event::ConfigRejected { .. } => {
                self.config_rejections.inc();
            }
            _ => {}
        }
    }

    /// Takes down how much one caller has under way to a service, and how much waits.
    pub(super) fn set_concurrency(&self, names: [&observe::Name; 2], [running, waiting]: [usize; 2]) {
        for (state, count) in [("running", running), ("waiting", waiting)] {
            self.concurrency.set([Name(names[0]), Name(names[1]), Word(state)], gauge(count));
        }
    }

    /// Takes down how much a service is let have at once.
    pub(super) fn set_adaptive_limit(&self, service: &observe::Name, limit: usize) {
        self.adaptive_limit.set([Name(service)], gauge(limit));
    }

    pub(super) fn expire(&self, now: Instant, idle: Duration) {
        self.plain().iter().for_each(|family| family.expire(now, idle));
    }

    pub(super) fn retain_services(&self, in_force: impl Fn(&str) -> bool) {
        self.endpoints.retain(&in_force);
        self.certificate_expiry.retain(&in_force);
        self.concurrency.retain(&in_force);
        self.adaptive_limit.retain(&in_force);
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.plain().iter().try_for_each(|family| family.encode(encoder))?;
        self.encode_config(encoder)
    }

    /// The families by label set.
    fn plain(&self) -> [&dyn Family; 13] {
        [
            &self.ejections,
            &self.restorations,
            &self.health_changes,
            &self.breaker_changes,
            &self.discovery_failures,
            &self.handshake_failures,
            &self.certificates_rejected,
            &self.cuts,
            &self.control_losses,
            &self.endpoints,
            &self.certificate_expiry,
            &self.concurrency,
            &self.adaptive_limit,
        ]
    }

    fn encode_config(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let version = self.config_version.lock().expect("no holder of this lock panics").clone();
        if let Some(version) = version {
            let help = "The configuration in force";
            let mut info = encoder.encode_descriptor("config_info", help, None, MetricType::Gauge)?;
            info.encode_family(&[("version", &*version)])?.encode_gauge(&1_i64)?;
        }
        for (name, help, counter) in [
            ("config_rejections", "Configurations that were refused", &self.config_rejections),
            ("spans_dropped", "Spans that could not be exported", &self.spans_dropped),
            ("access_lines_lost", "Lines of the access log that were lost", &self.access_lines_lost),
        ] {
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
