//! Exchanges as spans, in the JSON form of OTLP.
//!
//! Attributes follow OpenTelemetry's semantic conventions for HTTP; what is our own is under `meshbase.`.
//! Source: opentelemetry-proto `trace.proto` in proto3 JSON with ids in hexadecimal and enumerations as numbers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::Method;
use serde::{Serialize, Serializer};

use super::Finished;
use crate::observe::json::{host, id};
use crate::observe::trace::Hex;
use crate::observe::{Exchange, Side};

const KIND_SERVER: u8 = 2;
const KIND_CLIENT: u8 = 3;
const STATUS_ERROR: u8 = 2;
/// Of `flags`: bit 0 is W3C's sampled, bits 8 and 9 say that the parent is known to be remote.
const FLAG_SAMPLED: u32 = 1;
const FLAG_REMOTE_PARENT: u32 = 0x300;

/// The methods that the conventions know; all others are `_OTHER`.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: Vec<ResourceSpans<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: [Attribute<'a>; 1],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Span<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: Hex<'a>,
    span_id: Hex<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<Hex<'a>>,
    flags: u32,
    name: Cow<'a, str>,
    kind: u8,
    start_time_unix_nano: Number,
    end_time_unix_nano: Number,
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: Value<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Value<'a> {
    StringValue(Cow<'a, str>),
    IntValue(Number),
}

/// A 64-bit number: proto3 JSON writes them as strings.
struct Number(i128);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An `ExportTraceServiceRequest`: spans by the service that tells of them.
pub(super) fn request(finished: &[Finished]) -> Bytes {
    let mut by_service: BTreeMap<&str, Vec<Span<'_>>> = BTreeMap::new();
    for each in finished {
        if let Some(span) = span(each) {
            by_service.entry(teller(&each.exchange)).or_default().push(span);
        }
    }
    let resource_spans = by_service.into_iter().map(|(service, spans)| ResourceSpans {
        resource: Resource { attributes: [text("service.name", service)] },
        scope_spans: [ScopeSpans {
            scope: Scope { name: "meshbase.mesh", version: env!("CARGO_PKG_VERSION") },
            spans,
        }],
    });
    let request = Request { resource_spans: resource_spans.collect() };
    serde_json::to_vec(&request).expect("text and numbers are JSON").into()
}

/// The service on whose side the exchange was seen.
fn teller(exchange: &Exchange) -> &str {
    match exchange.side {
        Side::Outbound => &exchange.source,
        Side::Inbound => &exchange.destination,
    }
}

fn span(Finished { exchange, ended_at }: &Finished) -> Option<Span<'_>> {
    let trace = exchange.trace.as_ref()?;
    let end = ended_at.unix_timestamp_nanos();
    let remote = exchange.side == Side::Inbound && trace.parent.is_some();
    Some(Span {
        trace_id: Hex(&trace.id),
        span_id: Hex(&trace.span),
        parent_span_id: trace.parent.as_ref().map(|parent| Hex(parent)),
        flags: FLAG_SAMPLED | if remote { FLAG_REMOTE_PARENT } else { 0 },
        name: name(exchange),
        kind: if exchange.side == Side::Inbound { KIND_SERVER } else { KIND_CLIENT },
        start_time_unix_nano: Number(end - exchange.total.as_nanos() as i128),
        end_time_unix_nano: Number(end),
        attributes: attributes(exchange),
        status: status(exchange),
    })
}

/// `{method} {route}`: few names, whatever callers ask for.
fn name(exchange: &Exchange) -> Cow<'_, str> {
    let method = if METHODS.contains(&exchange.method) { exchange.method.as_str() } else { "HTTP" };
    match &*exchange.route {
        "-" => Cow::Borrowed(method),
        route => Cow::Owned(format!("{method} {route}")),
    }
}

/// A server's span fails by 5xx, a client's by 4xx too.
fn status(exchange: &Exchange) -> Option<Status> {
    let first = if exchange.side == Side::Inbound { 500 } else { 400 };
    let failed = exchange.status.as_u16() >= first || exchange.is_failure();
    failed.then(|| Status { code: STATUS_ERROR, message: exchange.cause.map(|cause| cause.to_string()) })
}

fn attributes(exchange: &Exchange) -> Vec<Attribute<'_>> {
    let mut attributes = Vec::with_capacity(20);
    let mut add = |attribute| attributes.push(attribute);
    if METHODS.contains(&exchange.method) {
        add(text("http.request.method", exchange.method.as_str()));
    } else {
        add(text("http.request.method", "_OTHER"));
        add(text("http.request.method_original", exchange.method.as_str()));
    }
    add(number("http.response.status_code", exchange.status.as_u16()));
    add(number("http.request.body.size", exchange.request_bytes));
    add(number("http.response.body.size", exchange.response_bytes));
    match exchange.side {
        Side::Outbound => client_attributes(exchange, &mut add),
        Side::Inbound => server_attributes(exchange, &mut add),
    }
    if let Some(status) = exchange.grpc_status {
        add(number("rpc.grpc.status_code", status));
    }
    if let Some(cause) = exchange.cause {
        add(text("error.type", cause.name()));
    } else if self::status(exchange).is_some() {
        add(owned("error.type", exchange.status.as_str().to_owned()));
    }
    add(text("meshbase.route", &exchange.route));
    add(number("meshbase.attempts", exchange.attempts));
    if let Some(request) = &exchange.request_id {
        add(owned("meshbase.request_id", id(request)));
    }
    if let Some(project) = &exchange.project {
        add(owned("meshbase.project", id(project)));
    }
    attributes
}

fn client_attributes<'a>(exchange: &'a Exchange, add: &mut impl FnMut(Attribute<'a>)) {
    let uri = &exchange.uri;
    let scheme = uri.scheme_str().unwrap_or("http");
    let server = uri.host().unwrap_or(&exchange.destination);
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    add(text("server.address", server));
    add(number("server.port", port));
    // neither a user nor a query: both may be secrets
    let authority = host(uri).unwrap_or_else(|| exchange.destination.to_string());
    add(owned("url.full", format!("{scheme}://{authority}{}", uri.path())));
    add(text("peer.service", &exchange.destination));
    let Some(endpoint) = exchange.endpoint.as_deref() else { return };
    match endpoint.parse::<SocketAddr>() {
        Ok(address) => {
            add(owned("network.peer.address", address.ip().to_string()));
            add(number("network.peer.port", address.port()));
        }
        Err(_) => add(text("network.peer.address", endpoint)),
    }
}

fn server_attributes<'a>(exchange: &'a Exchange, add: &mut impl FnMut(Attribute<'a>)) {
    let uri = &exchange.uri;
    add(text("url.scheme", uri.scheme_str().unwrap_or("http")));
    add(text("url.path", uri.path()));
    if let Some(server) = uri.host() {
        add(text("server.address", server));
    }
    if &*exchange.route != "-" {
        add(text("http.route", &exchange.route));
    }
    add(text("peer.service", &exchange.source));
}

fn text<'a>(key: &'static str, value: &'a str) -> Attribute<'a> {
    Attribute { key, value: Value::StringValue(Cow::Borrowed(value)) }
}

fn owned<'a>(key: &'static str, value: String) -> Attribute<'a> {
    Attribute { key, value: Value::StringValue(Cow::Owned(value)) }
}

fn number<'a>(key: &'static str, value: impl Into<i128>) -> Attribute<'a> {
    Attribute { key, value: Value::IntValue(Number(value.into())) }
}
