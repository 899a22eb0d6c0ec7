//! Which events a tap shows.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use serde::{Deserialize, Deserializer, de};

use crate::observe::{Event, Exchange};

/// What must hold of an event; what is not said always holds. An event without the fact that is asked for, such as the
/// status of an ejection, does not pass.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The called service.
    pub service: Option<String>,
    /// The calling service.
    pub source: Option<String>,
    /// The route, by name.
    pub route: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The answer's status: `404`, or `5xx`.
    pub status: Option<Status>,
    /// What the path begins with.
    pub path: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// Only what went wrong.
    pub failures: bool,
    /// The part of what passes that is shown, in percent.
    pub percent: Percent,
}

/// One status or a hundred of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// This one.
    One(StatusCode),
    /// All that begin with this digit.
    Hundred(u16),
}

/// A part of the events, evenly spread.
#[derive(Debug)]
pub struct Percent {
    /// In ten-thousandths.
    share: u64,
    /// What has passed and was not shown yet, in the same.
    due: AtomicU64,
}

const WHOLE: u64 = 10_000;

/// What filters ask of an event.
#[derive(Default)]
struct Facts<'a> {
    destination: Option<&'a str>,
    source: Option<&'a str>,
    route: Option<&'a str>,
    method: Option<&'a str>,
    path: Option<&'a str>,
    project: Option<&'a [u8]>,
    status: Option<StatusCode>,
}

impl Filter {
    /// Whether `event` is to be shown.
    pub(super) fn passes(&self, event: &Event) -> bool {
        if self.failures && !is_failure(event) {
            return false;
        }
        let facts = Facts::of(event);
        let path =
            self.path.as_deref().is_none_or(|start| facts.path.is_some_and(|path| path.starts_with(start)));
        let status = self.status.is_none_or(|wanted| facts.status.is_some_and(|status| wanted.holds(status)));
        let project = self.project.as_ref().is_none_or(|wanted| facts.project == Some(wanted.as_bytes()));
        is(&self.service, facts.destination)
            && is(&self.source, facts.source)
            && is(&self.route, facts.route)
            && is(&self.method, facts.method)
            && path
            && status
            && project
            && self.percent.takes()
    }
}

fn is(wanted: &Option<String>, fact: Option<&str>) -> bool {
    wanted.as_deref().is_none_or(|wanted| fact == Some(wanted))
}

impl<'a> Facts<'a> {
    fn of(event: &'a Event) -> Facts<'a> {
        let none = Facts::default();
        match event {
            Event::Ended(exchange) => Facts::of_exchange(exchange),
            Event::Attempted { source, destination, .. } => {
                Facts { source: Some(source), destination: Some(destination), ..none }
            }
            Event::Retried { destination, route }
            | Event::Hedged { destination, route }
            | Event::FellBack { destination, route, .. }
            | Event::FaultInjected { destination, route } => {
                Facts { destination: Some(destination), route: Some(route), ..none }
            }
            Event::BreakerOpened { destination, project, .. }
            | Event::BreakerClosed { destination, project } => {
                Facts { destination: Some(destination), project: Some(project.as_bytes()), ..none }
            }
            Event::Denied { peer, service, method, path, .. } => Facts {
                source: Some(peer.service()),
                destination: Some(service),
                method: Some(method.as_str()),
                path: Some(path),
                ..none
            },
            Event::Cut { peer, service, .. } => {
                Facts { source: Some(peer.service()), destination: Some(service), ..none }
            }
            Event::ConnectionFailed { source, destination, .. } => {
                Facts { source: Some(source), destination: Some(destination), ..none }
            }
            Event::EgressDenied { source, .. } => Facts { source: Some(source), ..none },
            Event::RetryRefused { destination, .. }
            | Event::Ejected { destination, .. }
            | Event::Restored { destination, .. }
            | Event::HealthChanged { destination, .. }
            | Event::Mirrored { destination }
            | Event::EndpointsChanged { destination, .. }
            | Event::DiscoveryFailed { destination, .. }
            | Event::ConnectionEnded { destination, .. }
            | Event::Refused { service: destination, .. }
            | Event::Shed { service: destination, .. }
            | Event::Limited { service: destination, .. }
            | Event::HandshakeFailed { service: destination, .. }
            | Event::ControlLost { service: destination, .. }
            | Event::CertificateRejected { service: destination, .. } => {
                Facts { destination: Some(destination), ..none }
            }
            Event::CertificateLoaded { identity, .. } => {
                Facts { destination: Some(identity.service()), ..none }
            }
            Event::ConfigApplied { .. } | Event::ConfigRejected { .. } => none,
        }
    }

    fn of_exchange(exchange: &'a Exchange) -> Facts<'a> {
        Facts {
            destination: Some(&exchange.destination),
            source: Some(&exchange.source),
            route: Some(&exchange.route),
            method: Some(exchange.method.as_str()),
            path: Some(exchange.uri.path()),
            project: exchange.project.as_ref().map(|project| project.as_bytes()),
            status: Some(exchange.status),
        }
    }
}

/// Whether something went wrong, for a request or in the mesh.
fn is_failure(event: &Event) -> bool {
    match event {
        Event::Ended(exchange) => exchange.is_failure(),
        Event::Attempted { outcome, .. } => {
            outcome.map_or(true, |class| class != crate::classify::Class::Answer)
        }
        other => other.is_trouble(),
    }
}

impl Status {
    fn holds(self, status: StatusCode) -> bool {
        match self {
            Status::One(one) => one == status,
            Status::Hundred(digit) => status.as_u16() / 100 == digit,
        }
    }
}

impl Percent {
    /// `percent` of 0 to 100; two decimals count.
    pub fn new(percent: f64) -> Result<Percent, String> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("percent is {percent}, not between 0 and 100"));
        }
        Ok(Percent { share: (percent * 100.0).round() as u64, due: AtomicU64::new(0) })
    }

    /// Whether it is this event's turn.
    fn takes(&self) -> bool {
        let before = self.due.fetch_add(self.share, Ordering::Relaxed);
        before / WHOLE != (before + self.share) / WHOLE
    }
}

impl Default for Percent {
    fn default() -> Percent {
        Percent { share: WHOLE, due: AtomicU64::new(0) }
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Status, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hundred = text.strip_suffix("xx").and_then(|digit| digit.parse().ok());
        if let Some(digit) = hundred.filter(|digit| (1..=5).contains(digit)) {
            return Ok(Status::Hundred(digit));
        }
        text.parse()
            .map(Status::One)
            .map_err(|_| de::Error::custom(format!("{text:?} is no status; 404 or 5xx is")))
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Percent, D::Error> {
        Percent::new(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample::{everything, exchange};
    use super::*;

    fn filter(json: &str) -> Filter {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_word_tells_exchanges_apart() {
        let ended = Event::Ended(exchange());
        for (good, bad) in [
            (r#"{"service":"data"}"#, r#"{"service":"auth"}"#),
            (r#"{"source":"gateway"}"#, r#"{"source":"data"}"#),
            (r#"{"route":"/rest/v1/*"}"#, r#"{"route":"/rest/v1/"}"#),
            (r#"{"method":"GET"}"#, r#"{"method":"POST"}"#),
            (r#"{"status":"200"}"#, r#"{"status":"201"}"#),
            (r#"{"status":"2xx"}"#, r#"{"status":"5xx"}"#),
            (r#"{"path":"/rest/v1/p"}"#, r#"{"path":"/rest/v1/x"}"#),
            (r#"{"project":"acme"}"#, r#"{"project":"acm"}"#),
            (r#"{"failures":false}"#, r#"{"failures":true}"#),
            (r#"{"percent":100}"#, r#"{"percent":0}"#),
            (r#"{"service":"data","status":"2xx"}"#, r#"{"service":"data","status":"4xx"}"#),
        ] {
            assert!(filter(good).passes(&ended), "{good}");
            assert!(!filter(bad).passes(&ended), "{bad}");
        }
    }

    #[test]
    fn an_event_without_the_fact_does_not_pass() {
        let passing = |json: &str| {
            let filter = filter(json);
            everything().iter().filter(|event| filter.passes(event)).map(Event::name).collect::<Vec<_>>()
        };

        assert_eq!(passing(r#"{"status":"200"}"#), ["ended"]);
        assert_eq!(passing(r#"{"path":"/"}"#), ["ended", "denied"]);
        assert_eq!(passing(r#"{"project":"acme"}"#), ["ended", "breaker_opened", "breaker_closed"]);
    }

    #[test]
    fn a_part_is_shown_evenly() {
        let filter = filter(r#"{"percent":12.5}"#);

        let shown: Vec<bool> = (0..800).map(|_| filter.passes(&Event::Ended(exchange()))).collect();

        assert_eq!(shown.iter().filter(|shown| **shown).count(), 100);
        assert!(shown.chunks(8).all(|eight| eight.iter().filter(|shown| **shown).count() == 1));
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        for bad in
            [r#"{"status":"6xx"}"#, r#"{"status":"abc"}"#, r#"{"percent":101}"#, r#"{"servce":"data"}"#]
        {
            assert!(serde_json::from_str::<Filter>(bad).is_err(), "{bad}");
        }
    }
}
