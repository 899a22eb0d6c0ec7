//! Cross-origin requests as PostgREST answers them. Where a gateway is, it does this for all services.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Server, Transfer-Encoding, \
     Range-Unit",
);
/// A day. In seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins whose pages may read answers, with credentials; every page without, if none is named.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(pub(super) Vec<String>);

/// Answers preflights, and says on every other answer who may read it.
pub(super) async fn answer(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let is_options = request.method() == Method::OPTIONS;
    let is_preflight = is_options && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if is_preflight && let Some(origin) = &origin {
        let mut response = Response::default();
        origins.allow(response.headers_mut(), origin);
        preflight(response.headers_mut(), request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS));
        return response;
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    match &origin {
        Some(origin) => {
            origins.allow(headers, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        None if is_options => drop(headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY)),
        None => {}
    }
    response
}

fn preflight(headers: &mut HeaderMap, asked: Option<&HeaderValue>) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    let asked = asked.and_then(|asked| asked.to_str().ok()).unwrap_or_default();
    let asked = asked.split(',').map(str::trim).filter(|name| !name.is_empty());
    let allowed: Vec<&str> = std::iter::once("Authorization")
        .chain(asked)
        .chain(["Accept", "Accept-Language", "Content-Language"])
        .collect();
    if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
}

impl Origins {
    fn allow(&self, headers: &mut HeaderMap, origin: &HeaderValue) {
        if self.0.is_empty() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            return;
        }
        headers.append(VARY, HeaderValue::from_name(ORIGIN));
        if self.0.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use base::Body;
    use tower::ServiceExt;

    use super::*;

    async fn asked(allowed: &[&str], method: &str, headers: &[(&str, &str)]) -> HeaderMap {
        let origins = Origins(allowed.iter().map(|&origin| origin.to_owned()).collect());
        let router = Router::new().fallback(async || "inside").layer(from_fn_with_state(origins, answer));
        let mut request = http::Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap().headers().clone()
    }

    #[tokio::test]
    async fn a_preflight_is_answered_at_the_door() {
        let headers = [
            ("origin", "http://a.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "Foo,Bar"),
        ];

        let answer = asked(&[], "OPTIONS", &headers).await;

        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(
            answer[ACCESS_CONTROL_ALLOW_HEADERS],
            "Authorization, Foo, Bar, Accept, Accept-Language, Content-Language"
        );
        assert!(!answer.contains_key("content-type"), "nobody inside was asked");
    }

    #[tokio::test]
    async fn origins_that_are_named_alone_may_read_with_credentials() {
        let named = ["http://a.example"];

        let known = asked(&named, "GET", &[("origin", "http://a.example")]).await;
        let other = asked(&named, "GET", &[("origin", "http://a.example.evil")]).await;

        assert_eq!(known[ACCESS_CONTROL_ALLOW_ORIGIN], "http://a.example");
        assert_eq!(known[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert!(!other.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(other[VARY], "origin");
    }

    #[tokio::test]
    async fn without_an_origin_nothing_is_said_but_to_options() {
        assert!(!asked(&[], "GET", &[]).await.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(asked(&[], "OPTIONS", &[]).await[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
}
