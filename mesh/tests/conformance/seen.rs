//! What an observer sees of a world, in a form that two worlds can share.
//!
//! Left out, because it differs by nature: addresses, durations and bytes; what connections, certificates, discovery
//! and configurations report (there are none of the first three in one process, and one plane instead of several).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh::Cause;
use mesh::classify::Class;
use mesh::observe::{Event, Exchange, Observer};
use tokio::sync::watch;

/// How long an event may come after what it tells of.
const PATIENCE: Duration = Duration::from_secs(5);

/// The events of one world.
#[derive(Clone)]
pub(crate) struct Seen(Arc<Inner>);

struct Inner {
    events: Mutex<Vec<Event>>,
    changed: watch::Sender<()>,
}

impl Seen {
    pub(crate) fn new() -> Seen {
        Seen(Arc::new(Inner { events: Mutex::default(), changed: watch::Sender::new(()) }))
    }

    pub(crate) fn observer(&self) -> Observer {
        let seen = self.0.clone();
        Observer::new(move |event| {
            seen.events.lock().unwrap().push(event.clone());
            seen.changed.send_replace(());
        })
    }

    /// The events as lines, sorted: in which order the two sides of an exchange end is nobody's promise.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.0.events.lock().unwrap().iter().filter_map(line).collect();
        lines.sort_unstable();
        lines
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let events = self.0.events.lock().unwrap();
        let exchange = |event: &Event| match event {
            Event::Ended(exchange) => Some(exchange.clone()),
            _ => None,
        };
        events.iter().filter_map(exchange).collect()
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.0.events.lock().unwrap().iter().filter(|event| event.name() == name).count()
    }

    /// Waits for `condition` as events come, and says whether it came true in time.
    pub(crate) async fn until(&self, condition: impl Fn(&Seen) -> bool) -> bool {
        let mut changes = self.0.changed.subscribe();
        let came = async {
            while !condition(self) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, came).await.is_ok()
    }
}

/// The lines that a case expects: one for each event, `3x` before what comes several times.
///
/// `exchange gateway>echo * 200` is short for the three of an exchange in which nothing happens.
pub(crate) fn expected(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (count, line) = match line.split_once("x ") {
            Some((count, rest)) if count.bytes().all(|byte| byte.is_ascii_digit()) => (count, rest),
            _ => ("1", line),
        };
        for _ in 0..count.parse().unwrap() {
            match line.strip_prefix("exchange ") {
                None => lines.push(line.to_owned()),
                Some(exchange) => lines.extend(plain(exchange)),
            }
        }
    }
    lines.sort_unstable();
    lines
}

fn plain(exchange: &str) -> [String; 3] {
    let callee = exchange.split(['>', ' ']).nth(1).unwrap();
    [
        format!("attempt {callee} answer"),
        format!("inbound {exchange} answer"),
        format!("outbound {exchange} answer"),
    ]
}

/// Lines that come several times, told once.
pub(crate) fn folded(lines: &[String]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    lines.iter().for_each(|line| *counts.entry(line).or_default() += 1);
    let line = |(line, count): (&&str, &usize)| match count {
        1 => format!("{line}\n"),
        count => format!("{count}x {line}\n"),
    };
    counts.iter().map(line).collect()
}

fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Ended(exchange) => ended(exchange),
        Event::Attempted { destination, outcome, .. } => {
            let outcome = match outcome {
                Ok(class) => class_name(*class),
                Err(cause) => cause.name(),
            };
            format!("attempt {destination} {outcome}")
        }
        Event::Retried { destination, route } => format!("retried {destination} {route}"),
        Event::RetryRefused { destination, reason } => {
            format!("not retried {destination} {}", reason.name())
        }
        Event::Hedged { destination, route } => format!("hedged {destination} {route}"),
        Event::Ejected { destination, reason, .. } => format!("ejected {destination} {}", reason.name()),
        Event::BreakerOpened { destination, project, .. } => {
            format!("breaker opened {destination} {project}")
        }
        Event::BreakerClosed { destination, project } => format!("breaker closed {destination} {project}"),
        Event::Shed { side, service, reason } => {
            format!("shed {} {service} {}", side.name(), reason.name())
        }
        Event::Refused { side, service, reason } => {
            format!("refused {} {service} {}", side.name(), reason.name())
        }
        Event::Limited { service, limit } => format!("limited {service} {limit}"),
        Event::Denied { peer, service, method, path, dry_run } => {
            let dry_run = if *dry_run { " in a dry run" } else { "" };
            format!("denied {}>{service} {method} {path}{dry_run}", peer.service())
        }
        Event::EgressDenied { source, host, .. } => format!("egress denied {source}>{host}"),
        Event::FellBack { destination, route, kind } => {
            format!("fell back {destination} {route} {}", kind.name())
        }
        Event::FaultInjected { destination, route } => format!("fault injected {destination} {route}"),
        Event::Mirrored { destination } => format!("mirrored {destination}"),
        Event::Cut { peer, service, reason } => format!("cut {}>{service} {}", peer.service(), reason.name()),
        Event::Restored { .. }
        | Event::HealthChanged { .. }
        | Event::EndpointsChanged { .. }
        | Event::DiscoveryFailed { .. }
        | Event::HandshakeFailed { .. }
        | Event::CertificateLoaded { .. }
        | Event::CertificateRejected { .. }
        | Event::ConnectionEnded { .. }
        | Event::ConnectionFailed { .. }
        | Event::ControlLost { .. }
        | Event::ConfigApplied { .. }
        | Event::ConfigRejected { .. } => return None,
    })
}

/// `outbound gateway>echo * 503 fault reset grpc=14 tries=2`: what is not there is left out.
fn ended(exchange: &Exchange) -> String {
    let Exchange { side, source, destination, route, status, .. } = exchange;
    let mut line = format!("{} {source}>{destination} {route} {}", side.name(), status.as_u16());
    let words = [exchange.class.map(class_name), exchange.cause.map(Cause::name)];
    words.into_iter().flatten().for_each(|word| line.extend([" ", word]));
    exchange.grpc_status.into_iter().for_each(|status| line.push_str(&format!(" grpc={status}")));
    if exchange.attempts > 1 {
        line.push_str(&format!(" tries={}", exchange.attempts));
    }
    line
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::EndpointFault => "fault",
        Class::Overload => "overload",
        Class::Answer => "answer",
    }
}
