//! From a request that may pass to the service's own request, and the call through the mesh.

use base::error::{OrInternal, PAYLOAD_TOO_LARGE};
use base::{Body, Code, Request, Response, Result, header};
use common::Outbound;
use http::header::{CONTENT_LENGTH, COOKIE, Entry, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::Limited;
use mesh::Cause;

use crate::edge::Rule;
use crate::keys::Pass;
use crate::origin::{Client, Origins};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The request that the service gets.
pub(crate) fn prepare(
    mut request: Request,
    rule: &Rule,
    pass: &Pass,
    client: Client,
    origins: &Origins,
) -> Result<Request> {
    let path = request.uri().path().to_owned();
    let prefix = &path[..path.len() - rule.service_path(&path).trim_start_matches('/').len()];
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    let target = format!("http://{}.mesh{}{query}", rule.service, rule.service_path(&path));
    *request.uri_mut() = target.parse().or_internal()?;

    override_method(&mut request);
    let headers = request.headers_mut();
    header::strip_own(headers);
    check_trace(headers);
    drop_console_cookie(headers);
    let prefix = HeaderValue::from_str(prefix.trim_end_matches('/')).or_internal()?;
    set_forwarded(headers, &client, prefix)?;
    headers.remove(HOST);
    headers.insert(header::PROJECT, HeaderValue::from_str(pass.project.as_str()).or_internal()?);
    headers.insert(header::ORIGIN, HeaderValue::from_str(&origins.public(&client)).or_internal()?);
    if let Some(ip) = client.ip {
        headers.insert(header::CLIENT_IP, HeaderValue::from_str(&ip.to_string()).or_internal()?);
    }
    match rule.max_body_bytes {
        None => Ok(request),
        Some(limit) => limit_body(request, limit),
    }
}

/// Calls the service. A missing answer becomes ours: 502, 503 or 504, with `Retry-After`.
pub(crate) async fn send(outbound: &Outbound, request: Request) -> Result<Response> {
    outbound.send(request).await.map_err(|error| {
        let cause = error.source.as_ref().and_then(|source| source.downcast_ref::<Cause>());
        let status = cause.map_or(StatusCode::SERVICE_UNAVAILABLE, |cause| cause.status());
        let code = Code::dynamic(status.as_u16(), "upstream_unavailable");
        let retry = HeaderValue::from_static("1");
        code.error("the service does not answer").caused_by(error).with_header(RETRY_AFTER, retry)
    })
}

/// `X-HTTP-Method-Override` on a POST, applied here once: nothing behind the gateway looks at it.
fn override_method(request: &mut Request) {
    let Some(wanted) = request.headers_mut().remove(METHOD_OVERRIDE) else { return };
    if request.method() != Method::POST {
        return;
    }
    match wanted.as_bytes() {
        // a GET with a body: what it asks for is in the body
        b"GET" => *request.method_mut() = query(),
        b"PUT" => *request.method_mut() = Method::PUT,
        b"PATCH" => *request.method_mut() = Method::PATCH,
        b"DELETE" => *request.method_mut() = Method::DELETE,
        _ => {}
    }
}

/// `QUERY` (draft-ietf-httpbis-safe-method-w-body).
fn query() -> Method {
    Method::from_bytes(b"QUERY").expect("it is a method's name")
}

/// Takes the console's cookie out: browsers send it to every port of the host, and it is none of a service's business.
fn drop_console_cookie(headers: &mut HeaderMap) {
    let is_console = |pair: &[u8]| {
        let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
        name.trim_ascii() == header::CONSOLE_COOKIE.as_bytes()
    };
    let Entry::Occupied(cookies) = headers.entry(COOKIE) else { return };
    let (_, cookies) = cookies.remove_entry_mult();
    let cookies: Vec<HeaderValue> = cookies.collect();
    for cookies in cookies {
        let pairs = cookies.as_bytes().split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let kept: Vec<&[u8]> = pairs.filter(|pair| !is_console(pair)).collect();
        if let Ok(kept) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
            && !kept.is_empty()
        {
            headers.append(COOKIE, kept);
        }
    }
}

/// The client's trace goes on as it is; a malformed one goes no further (W3C Trace Context §3.2).
///
/// None is made up in its place: a trace begins where somebody records it, and a service can then tell that its client
/// sent none. What ties one request's records together is the request id.
fn check_trace(headers: &mut HeaderMap) {
    let good = |value: &HeaderValue| {
        let parts: Vec<&[u8]> = value.as_bytes().split(|b| *b == b'-').collect();
        let hex = |part: &[u8], length| {
            part.len() == length && part.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        };
        matches!(parts[..], [version, trace, parent, flags]
            if hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2)
                && trace.iter().any(|b| *b != b'0') && parent.iter().any(|b| *b != b'0'))
    };
    if !headers.get(TRACEPARENT).is_some_and(good) {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
}

/// What services may want to know of the outside; whatever the client sent under these names is gone.
fn set_forwarded(headers: &mut HeaderMap, client: &Client, prefix: HeaderValue) -> Result<()> {
    for name in [FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PORT, FORWARDED_PROTO, FORWARDED_PREFIX] {
        headers.remove(name);
    }
    headers.remove(http::header::FORWARDED);
    if let Some(ip) = client.ip {
        headers.insert(FORWARDED_FOR, HeaderValue::from_str(&ip.to_string()).or_internal()?);
    }
    if let Some(host) = &client.host {
        headers.insert(FORWARDED_HOST, HeaderValue::from_str(host.host()).or_internal()?);
        let default = if client.scheme == "https" { 443 } else { 80 };
        headers.insert(FORWARDED_PORT, HeaderValue::from(host.port_u16().unwrap_or(default)));
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(client.scheme));
    headers.insert(FORWARDED_PREFIX, prefix);
    Ok(())
}

/// Refuses a body that says it is too large, and cuts off one that turns out to be.
fn limit_body(request: Request, limit: u64) -> Result<Request> {
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit) {
        return Err(PAYLOAD_TOO_LARGE.error(format!("the body is larger than {limit} bytes")));
    }
    let limit = usize::try_from(limit).or_internal()?;
    Ok(request.map(|body| Body::new(Limited::new(body, limit))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consoles_cookie_goes_and_others_stay() {
        let after = |sent: &[&str]| {
            let mut headers = HeaderMap::new();
            for cookies in sent {
                headers.append(COOKIE, HeaderValue::from_str(cookies).unwrap());
            }
            drop_console_cookie(&mut headers);
            headers.get_all(COOKIE).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<String>>()
        };

        assert_eq!(after(&["a=1; meshbase_console=secret;b=2"]), ["a=1; b=2"]);
        assert_eq!(after(&["meshbase_console=secret", "a=meshbase_console=1"]), ["a=meshbase_console=1"]);
        assert_eq!(after(&["a=1; meshbase_console = secret"]), ["a=1"]);
        assert!(after(&["meshbase_console=secret"]).is_empty());
        assert!(after(&[]).is_empty());
    }
}
