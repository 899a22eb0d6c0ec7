//! Events as JSON, for people and programs that watch.
//!
//! Queries and user parts of addresses may hold secrets, so they are never shown. What a caller chose is cut to a
//! length that no log minds.

use std::time::Duration;

use base::Timestamp;
use http::{HeaderValue, Uri};
use serde::Serialize;
use serde_json::{Value, json};

use super::event::class_name;
use super::trace::{Hex, Trace};
use super::{Event, Exchange};
use crate::cause::Cause;

/// Longest path, host or detail shown, in bytes.
const MAX_TEXT: usize = 1_024;
/// Longest request id or project shown, in bytes.
const MAX_ID: usize = 128;

/// An exchange as it is shown. Fields that have no value are absent.
#[derive(Serialize)]
pub(super) struct ExchangeLine<'a> {
    /// `outbound` (told by the caller's proxy) or `inbound`.
    side: &'static str,
    /// The calling service.
    source: &'a str,
    /// The called service.
    destination: &'a str,
    /// The route's name.
    route: &'a str,
    method: &'a str,
    /// The host and port that were asked for, if the request's target named them.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Without the query.
    path: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u16>,
    /// `answer`, `fault` or `overload`; absent if no endpoint answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    /// Why no endpoint answered, or why the answer broke off.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// The endpoint that answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    attempts: u32,
    /// Milliseconds from the request's arrival to the head of the answer.
    head_ms: f64,
    /// Milliseconds from the request's arrival to the end of the answer.
    total_ms: f64,
    request_bytes: u64,
    response_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Hex<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<Hex<'a>>,
}

impl<'a> From<&'a Exchange> for ExchangeLine<'a> {
    fn from(exchange: &'a Exchange) -> ExchangeLine<'a> {
        let trace: Option<&Trace> = exchange.trace.as_ref();
        ExchangeLine {
            side: exchange.side.name(),
            source: &exchange.source,
            destination: &exchange.destination,
            route: &exchange.route,
            method: exchange.method.as_str(),
            host: host(&exchange.uri),
            path: cut(exchange.uri.path(), MAX_TEXT),
            status: exchange.status.as_u16(),
            grpc_status: exchange.grpc_status,
            class: exchange.class.map(class_name),
            cause: exchange.cause.map(Cause::name),
            endpoint: exchange.endpoint.as_deref(),
            attempts: exchange.attempts,
            head_ms: millis(exchange.head),
            total_ms: millis(exchange.total),
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
            request_id: exchange.request_id.as_ref().map(id),
            project: exchange.project.as_ref().map(id),
            trace_id: trace.map(|trace| Hex(&trace.id)),
            span_id: trace.map(|trace| Hex(&trace.span)),
        }
    }
}

/// `event` and the event's fields. Times are milliseconds, moments are in RFC 3339.
pub fn to_json(event: &Event) -> Value {
    let mut fields = match event {
        Event::Ended(exchange) => {
            serde_json::to_value(ExchangeLine::from(exchange)).expect("text and finite numbers are JSON")
        }
        other => request_fields(other).or_else(|| state_fields(other)).unwrap_or_else(|| json!({})),
    };
    let mut shown = serde_json::Map::from_iter([("event".to_owned(), json!(event.name()))]);
    if let Some(fields) = fields.as_object_mut() {
        shown.append(fields);
    }
    Value::Object(shown)
}

/// What happened to a request.
fn request_fields(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Attempted { source, destination, endpoint, outcome, duration } => json!({
            "source": **source,
            "destination": **destination,
            "endpoint": **endpoint,
            "outcome": outcome.map_or_else(Cause::name, class_name),
            "duration_ms": millis(*duration),
        }),
        Event::Retried { destination, route }
        | Event::Hedged { destination, route }
        | Event::FaultInjected { destination, route } => {
            json!({ "destination": **destination, "route": **route })
        }
        Event::RetryRefused { destination, reason } => {
            json!({ "destination": **destination, "reason": reason.name() })
        }
        Event::Shed { side, service, reason } | Event::Refused { side, service, reason } => {
            json!({ "side": side.name(), "destination": **service, "reason": reason.name() })
        }
        Event::ConnectionFailed { side, source, destination, cause } => json!({
            "side": side.name(),
            "source": **source,
            "destination": **destination,
            "cause": cause.name(),
        }),
        Event::Limited { service, limit } => json!({ "destination": **service, "limit": **limit }),
        Event::Denied { peer, service, method, path, dry_run } => json!({
            "source": peer.service(),
            "peer": peer.to_string(),
            "destination": **service,
            "method": method.as_str(),
            "path": cut(path.split('?').next().unwrap_or_default(), MAX_TEXT),
            "dry_run": dry_run,
        }),
        Event::EgressDenied { source, host, detail } => {
            json!({ "source": **source, "host": cut(host, MAX_TEXT), "detail": cut(detail, MAX_TEXT) })
        }
        Event::FellBack { destination, route, kind } => {
            json!({ "destination": **destination, "route": **route, "kind": kind.name() })
        }
        Event::Mirrored { destination } => json!({ "destination": **destination }),
        Event::ConnectionEnded { side, destination, sent, received, duration } => json!({
            "side": side.name(),
            "destination": **destination,
            "sent": sent,
            "received": received,
            "duration_ms": millis(*duration),
        }),
        _ => return None,
    })
}

/// What became of endpoints, connections, certificates and the configuration.
fn state_fields(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Ejected { destination, endpoint, reason, duration } => json!({
            "destination": **destination,
            "endpoint": **endpoint,
            "reason": reason.name(),
            "duration_ms": millis(*duration),
        }),
        Event::Restored { destination, endpoint } => {
            json!({ "destination": **destination, "endpoint": **endpoint })
        }
        Event::HealthChanged { destination, endpoint, healthy, detail } => json!({
            "destination": **destination,
            "endpoint": **endpoint,
            "healthy": healthy,
            "detail": cut(detail, MAX_TEXT),
        }),
        Event::BreakerOpened { destination, project, duration } => json!({
            "destination": **destination,
            "project": cut(project, MAX_ID),
            "duration_ms": millis(*duration),
        }),
        Event::BreakerClosed { destination, project } => {
            json!({ "destination": **destination, "project": cut(project, MAX_ID) })
        }
        Event::EndpointsChanged { destination, count } => {
            json!({ "destination": **destination, "count": count })
        }
        Event::DiscoveryFailed { destination, detail } => {
            json!({ "destination": **destination, "detail": cut(detail, MAX_TEXT) })
        }
        Event::HandshakeFailed { side, service, peer, detail } => json!({
            "side": side.name(),
            "destination": **service,
            "peer": cut(peer, MAX_ID),
            "detail": cut(detail, MAX_TEXT),
        }),
        Event::CertificateLoaded { identity, expires_at } => {
            json!({ "identity": identity.to_string(), "expires_at": rfc3339(*expires_at) })
        }
        Event::CertificateRejected { service, detail } | Event::ControlLost { service, detail } => {
            json!({ "destination": **service, "detail": cut(detail, MAX_TEXT) })
        }
        Event::Cut { peer, service, reason } => json!({
            "source": peer.service(),
            "peer": peer.to_string(),
            "destination": **service,
            "reason": reason.name(),
        }),
        Event::ConfigApplied { version } => json!({ "version": **version }),
        Event::ConfigRejected { detail } => json!({ "detail": cut(detail, MAX_TEXT) }),
        _ => return None,
    })
}

/// The host and port of a request's target, without a user.
pub(super) fn host(uri: &Uri) -> Option<String> {
    let host = cut(uri.host()?, MAX_TEXT);
    Some(match uri.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// A header's value, which need not be text.
pub(super) fn id(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_ID)]).into_owned()
}

/// At most `max` bytes of `text`, whole characters.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// A moment to the millisecond.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second, millis) = (at.hour(), at.minute(), at.second(), at.millisecond());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::super::sample::{everything, exchange};
    use super::*;

    #[test]
    fn no_event_shows_a_query_or_a_user() {
        for event in everything() {
            let shown = to_json(&event);
            assert!(!shown.to_string().contains("hunter2"), "{shown}");
            assert_eq!(shown["event"], event.name());
            assert!(shown.as_object().unwrap().len() > 1, "{shown} says nothing");
        }
    }

    #[test]
    fn an_exchange_shows_what_has_a_value() {
        let shown = to_json(&Event::Ended(Exchange { endpoint: None, ..exchange() }));

        let expected = json!({
            "event": "ended",
            "side": "outbound",
            "source": "gateway",
            "destination": "data",
            "route": "/rest/v1/*",
            "method": "GET",
            "host": "data.mesh:8080",
            "path": "/rest/v1/people",
            "status": 200,
            "class": "answer",
            "attempts": 1,
            "head_ms": 1.5,
            "total_ms": 2.0,
            "request_bytes": 0,
            "response_bytes": 42,
            "request_id": "req-1",
            "project": "acme",
            "trace_id": "00000000000000070000000000000007",
            "span_id": "0000000000000009",
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_a_caller_chose_is_cut() {
        let mut long = exchange();
        long.uri = format!("/{}", "é".repeat(4_000)).replace('é', "%C3").parse().unwrap();
        long.request_id = Some(HeaderValue::from_bytes(&[0xff; 4_000]).unwrap());

        let shown = to_json(&Event::Ended(long));

        assert_eq!(shown["path"].as_str().unwrap().len(), MAX_TEXT);
        assert_eq!(shown["request_id"].as_str().unwrap().chars().count(), MAX_ID);
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
        assert_eq!(cut("a", 9), "a");
    }

    #[test]
    fn a_moment_is_written_as_rfc_3339() {
        let at = Timestamp::UNIX_EPOCH + Duration::from_millis(951_782_400_007);

        assert_eq!(rfc3339(at), "2000-02-29T00:00:00.007Z");
    }
}
