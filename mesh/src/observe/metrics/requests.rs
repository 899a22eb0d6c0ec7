//! What is counted of requests and connections.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use tokio::time::Instant;

use super::family::{About, Counters, Family, Histogram, Limit, counters, histograms};
use super::table::Label::{Name, Text, Word};
use super::table::Table;
use crate::classify::Class;
use crate::observe::event::class_name;
use crate::observe::{Event, Exchange};

/// In the place of a cause where there is none.
const NONE: &str = "-";

/// What is counted of exchanges, in one series so that one look-up finds all of it.
#[derive(Debug, Default)]
struct Exchanges {
    requests: AtomicU64,
    failures: AtomicU64,
    head: Histogram,
    total: Histogram,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
}

/// What is counted of connections that are not HTTP.
#[derive(Debug, Default)]
struct Connections {
    ended: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// The families of what requests meet.
#[derive(Debug)]
pub(super) struct Requests {
    exchanges: Table<6, Exchanges>,
    connections: Table<2, Connections>,
    attempts: Counters<4>,
    retries: Counters<2>,
    retries_refused: Counters<2>,
    hedges: Counters<2>,
    shed: Counters<3>,
    refused: Counters<3>,
    connections_failed: Counters<4>,
    limited: Counters<2>,
    denied: Counters<3>,
    egress_denied: Counters<1>,
    fallbacks: Counters<3>,
    faults_injected: Counters<2>,
    mirrored: Counters<1>,
}

impl Requests {
    pub(super) fn new(new: Limit) -> Requests {
        let (by_route, by_reason) = (["destination", "route"], ["destination", "reason"]);
        let by_kind = ["destination", "route", "kind"];
        let by_side = ["side", "destination", "reason"];
        let by_mode = ["destination", "source", "mode"];
        let of_attempt = ["source", "destination", "endpoint", "outcome"];
        Requests {
            exchanges: Table::new(new.0),
            connections: Table::new(new.0),
            attempts: new.counters("attempts", of_attempt, "Attempts by what they say of the endpoint"),
            retries: new.counters("retries", by_route, "Attempts that followed another one"),
            retries_refused: new.counters("retries_refused", by_reason, "Failed attempts that none followed"),
            hedges: new.counters("hedges", by_route, "Second attempts beside a slow one"),
            shed: new.counters("shed", by_side, "Requests refused for want of a place"),
            refused: new.counters("refused", by_side, "Requests and connections refused at a door"),
            connections_failed: new.counters(
                "connections_failed",
                ["side", "source", "destination", "cause"],
                "Connections for bytes that were not joined",
            ),
            limited: new.counters("limited", ["destination", "limit"], "Requests over a limit"),
            denied: new.counters("denied", by_mode, "Requests that policy is against"),
            egress_denied: new.counters(
                "egress_denied",
                ["source"],
                "Requests for hosts that are not allowed",
            ),
            fallbacks: new.counters("fallbacks", by_kind, "Answers in the place of the service's"),
            faults_injected: new.counters(
                "faults_injected",
                by_route,
                "Requests that met trouble on purpose",
            ),
            mirrored: new.counters("mirrored", ["destination"], "Copies sent"),
        }
    }

    /// Counts what a request meets.
    pub(super) fn observe(&self, event: &Event) {
        match event {
            Event::Ended(exchange) => self.ended(exchange),
            Event::Attempted { source, destination, endpoint, outcome, .. } => {
                let outcome = outcome.map_or_else(|cause| cause.name(), class_name);
                self.attempts.inc([Name(source), Name(destination), Name(endpoint), Word(outcome)]);
            }
            Event::Retried { destination, route } => self.retries.inc([Name(destination), Name(route)]),
            Event::RetryRefused { destination, reason } => {
                self.retries_refused.inc([Name(destination), Word(reason.name())]);
            }
            Event::Hedged { destination, route } => self.hedges.inc([Name(destination), Name(route)]),
            Event::Shed { side, service, reason } => {
                self.shed.inc([Word(side.name()), Name(service), Word(reason.name())]);
            }
            Event::Refused { side, service, reason } => {
                self.refused.inc([Word(side.name()), Name(service), Word(reason.name())]);
            }
            Event::ConnectionFailed { side, source, destination, cause } => {
                let labels = [Word(side.name()), Name(source), Name(destination), Word(cause.name())];
                self.connections_failed.inc(labels);
            }
            Event::Limited { service, limit } => self.limited.inc([Name(service), Name(limit)]),
            Event::Denied { peer, service, dry_run, .. } => {
                let mode = if *dry_run { "dry_run" } else { "enforced" };
                self.denied.inc([Name(service), Text(peer.service()), Word(mode)]);
            }
            Event::EgressDenied { source, .. } => self.egress_denied.inc([Name(source)]),
            Event::FellBack { destination, route, kind } => {
                self.fallbacks.inc([Name(destination), Name(route), Word(kind.name())]);
            }
            Event::FaultInjected { destination, route } => {
                self.faults_injected.inc([Name(destination), Name(route)]);
            }
            Event::Mirrored { destination } => self.mirrored.inc([Name(destination)]),
            Event::ConnectionEnded { side, destination, sent, received, .. } => {
                self.connections.on([Word(side.name()), Name(destination)], |connections| {
                    connections.ended.fetch_add(1, Ordering::Relaxed);
                    connections.sent.fetch_add(*sent, Ordering::Relaxed);
                    connections.received.fetch_add(*received, Ordering::Relaxed);
                });
            }
            _ => {}
        }
    }

    fn ended(&self, exchange: &Exchange) {
        let labels = [
            Word(exchange.side.name()),
            Name(&exchange.source),
            Name(&exchange.destination),
            Name(&exchange.route),
            Word(class(exchange)),
            Word(exchange.cause.map_or(NONE, |cause| cause.name())),
        ];
        self.exchanges.on(labels, |exchanges| {
            exchanges.requests.fetch_add(1, Ordering::Relaxed);
            exchanges.failures.fetch_add(u64::from(exchange.is_failure()), Ordering::Relaxed);
            exchanges.head.observe(exchange.head);
            exchanges.total.observe(exchange.total);
            exchanges.request_bytes.fetch_add(exchange.request_bytes, Ordering::Relaxed);
            exchanges.response_bytes.fetch_add(exchange.response_bytes, Ordering::Relaxed);
        });
    }

    pub(super) fn expire(&self, now: Instant, idle: Duration) {
        self.exchanges.expire(now, idle);
        self.connections.expire(now, idle);
        self.plain().iter().for_each(|family| family.expire(now, idle));
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_exchanges(encoder)?;
        self.encode_connections(encoder)?;
        self.plain().iter().try_for_each(|family| family.encode(encoder))
    }

    /// The families of one number per series.
    fn plain(&self) -> [&dyn Family; 13] {
        [
            &self.attempts,
            &self.retries,
            &self.retries_refused,
            &self.hedges,
            &self.shed,
            &self.refused,
            &self.connections_failed,
            &self.limited,
            &self.denied,
            &self.egress_denied,
            &self.fallbacks,
            &self.faults_injected,
            &self.mirrored,
        ]
    }

    fn encode_exchanges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let labels = ["side", "source", "destination", "route", "class", "cause"];
        let about = |name, help| About { name, unit: None, help, labels };
        let seconds = |name, help| About { name, unit: Some(Unit::Seconds), help, labels };
        let bytes = |name, help| About { name, unit: Some(Unit::Bytes), help, labels };
        let table = &self.exchanges;
        let count =
            |of: fn(&Exchanges) -> &AtomicU64| move |each: &Exchanges| of(each).load(Ordering::Relaxed);

        counters(encoder, &about("requests", "Requests that are over"), table, count(|each| &each.requests))?;
        let failures = about("request_failures", "Requests that the service failed");
        counters(encoder, &failures, table, count(|each| &each.failures))?;
        let head = seconds("request_duration", "From the request's arrival to the head of the answer");
        histograms(encoder, &head, table, |each| &each.head)?;
        let total = seconds("request_end_duration", "From the request's arrival to the end of the answer");
        histograms(encoder, &total, table, |each| &each.total)?;
        let request = bytes("request_body", "Bytes of requests' bodies");
        counters(encoder, &request, table, count(|each| &each.request_bytes))?;
        let response = bytes("response_body", "Bytes of answers' bodies");
        counters(encoder, &response, table, count(|each| &each.response_bytes))
    }

    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let about = |name, unit, help| About { name, unit, help, labels: ["side", "destination"] };
        let table = &self.connections;
        let count =
            |of: fn(&Connections) -> &AtomicU64| move |each: &Connections| of(each).load(Ordering::Relaxed);

        let ended = about("connections_ended", None, "Connections other than HTTP that are over");
        counters(encoder, &ended, table, count(|each| &each.ended))?;
        let sent = about("connection_sent", Some(Unit::Bytes), "Bytes from callers on such connections");
        counters(encoder, &sent, table, count(|each| &each.sent))?;
        let received =
            about("connection_received", Some(Unit::Bytes), "Bytes to callers on such connections");
        counters(encoder, &received, table, count(|each| &each.received))
    }
}

/// The endpoint's trouble if it has some, the hundred of the status otherwise.
fn class(exchange: &Exchange) -> &'static str {
    match (exchange.class, exchange.status.as_u16() / 100) {
        (Some(class @ (Class::EndpointFault | Class::Overload)), _) => class_name(class),
        (_, 1) => "1xx",
        (_, 2) => "2xx",
        (_, 3) => "3xx",
        (_, 4) => "4xx",
        (_, 5) => "5xx",
        _ => "other",
    }
}
