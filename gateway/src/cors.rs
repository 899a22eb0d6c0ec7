//! CORS, here and nowhere else: whatever a service sent is replaced.
//!
//! Any origin may call, and never with credentials: callers prove themselves by headers, not by cookies.

use base::{Body, Request, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

const METHODS: HeaderValue = HeaderValue::from_static("GET,QUERY,POST,PUT,PATCH,DELETE,OPTIONS,HEAD");
const ANY: HeaderValue = HeaderValue::from_static("*");
/// How long a browser keeps a preflight's answer, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// What a browser asked before its real request.
pub(crate) struct Asked {
    method: bool,
    headers: Option<HeaderValue>,
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Asked {
        Asked {
            method: request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD),
            headers: request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
        }
    }

    /// Whether an `OPTIONS` with these headers is a preflight rather than a question for the service.
    pub(crate) fn is_preflight(&self) -> bool {
        self.method
    }
}

/// Answers a preflight. The asked headers are echoed, because `*` does not cover `authorization`.
pub(crate) fn preflight(asked: &Asked) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.headers.clone().unwrap_or(ANY));
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    response
}

/// Lets any origin read the answer.
pub(crate) fn allow(headers: &mut HeaderMap) {
    headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANY);
}
