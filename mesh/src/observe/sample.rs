//! One event of each kind, for tests. What a caller chose is recognisable in it.

use std::time::Duration;

use base::Timestamp;
use http::{HeaderValue, Method, StatusCode};

use super::trace::Trace;
use super::{Event, Exchange, FallbackKind, Name, Reason, Side};
use crate::cause::Cause;
use crate::classify::Class;
use crate::identity::Identity;

/// A good answer of `data` to `gateway`. Its query and user part are secrets.
pub(crate) fn exchange() -> Exchange {
    Exchange {
        side: Side::Outbound,
        source: "gateway".into(),
        destination: "data".into(),
        route: "/rest/v1/*".into(),
        method: Method::GET,
        uri: "http://me:hunter2@data.mesh:8080/rest/v1/people?token=hunter2".parse().unwrap(),
        status: StatusCode::OK,
        grpc_status: None,
        class: Some(Class::Answer),
        cause: None,
        endpoint: Some("10.0.0.1:9443".into()),
        attempts: 1,
        head: Duration::from_micros(1_500),
        total: Duration::from_millis(2),
        request_bytes: 0,
        response_bytes: 42,
        request_id: Some(HeaderValue::from_static("req-1")),
        project: Some(HeaderValue::from_static("acme")),
        trace: Some(Trace::begin(|| 7, true).child(9)),
    }
}

/// Every kind of event.
pub(crate) fn everything() -> Vec<Event> {
    let destination: Name = "data".into();
    let data = || destination.clone();
    let (endpoint, route) = (|| Name::from("10.0.0.1:9443"), || Name::from("/rest/v1/*"));
    let peer = || Identity::new("mesh", "gateway");
    let (text, second) = (|| "what happened".to_owned(), Duration::from_secs(1));
    vec![
        Event::Ended(exchange()),
        Event::Attempted {
            source: "gateway".into(),
            destination: data(),
            endpoint: endpoint(),
            outcome: Err(Cause::Reset),
            duration: second,
        },
        Event::Retried { destination: data(), route: route() },
        Event::RetryRefused { destination: data(), reason: Reason::Budget },
        Event::Hedged { destination: data(), route: route() },
        Event::Ejected {
            destination: data(),
            endpoint: endpoint(),
            reason: Reason::ConsecutiveFaults,
            duration: second,
        },
        Event::Restored { destination: data(), endpoint: endpoint() },
        Event::HealthChanged { destination: data(), endpoint: endpoint(), healthy: false, detail: text() },
        Event::BreakerOpened { destination: data(), project: "acme".to_owned(), duration: second },
        Event::BreakerClosed { destination: data(), project: "acme".to_owned() },
        Event::Shed { side: Side::Inbound, service: data(), reason: Reason::Full },
        Event::Limited { service: data(), limit: "per-project".into() },
        Event::Denied {
            peer: peer(),
            service: data(),
            method: Method::POST,
            path: "/rest/v1/people?token=hunter2".to_owned(),
            dry_run: false,
        },
        Event::EgressDenied { source: data(), host: "evil.example:443".to_owned(), detail: text() },
        Event::FellBack { destination: data(), route: route(), kind: FallbackKind::Stale },
        Event::FaultInjected { destination: data(), route: route() },
        Event::Mirrored { destination: data() },
        Event::EndpointsChanged { destination: data(), count: 3 },
        Event::DiscoveryFailed { destination: data(), detail: text() },
        Event::HandshakeFailed {
            side: Side::Inbound,
            service: data(),
            peer: "10.9.9.9:1".to_owned(),
            detail: text(),
        },
        Event::CertificateLoaded { identity: peer(), expires_at: Timestamp::UNIX_EPOCH + second },
        Event::CertificateRejected { service: data(), detail: text() },
        Event::Refused { side: Side::Inbound, service: data(), reason: Reason::Misdirected },
        Event::ConnectionFailed {
            side: Side::Outbound,
            source: "gateway".into(),
            destination: data(),
            cause: Cause::Unreachable,
        },
        Event::Cut { peer: peer(), service: data(), reason: Reason::Policy },
        Event::ConnectionEnded {
            side: Side::Inbound,
            destination: data(),
            sent: 1,
            received: 2,
            duration: second,
        },
        Event::ControlLost { service: data(), detail: text() },
        Event::ConfigApplied { version: "v1".into() },
        Event::ConfigRejected { detail: text() },
    ]
}
