//! A small HTTP client: what a test sends is what goes over the wire.

use std::sync::LazyLock;

use base::Body;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

#[expect(clippy::disallowed_types, reason = "tests are the outside world")]
type Client = hyper_util::client::legacy::Client<HttpConnector, Body>;

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    #[expect(clippy::disallowed_types, reason = "tests are the outside world")]
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http()
});

/// A request in the making.
pub struct Call {
    request: http::request::Builder,
    body: Body,
}

impl Call {
    /// `url` is absolute.
    pub fn new(method: Method, url: &str) -> Call {
        Call { request: http::Request::builder().method(method).uri(url), body: Body::empty() }
    }

    /// Adds a header; one that is there already is replaced.
    pub fn header(mut self, name: &str, value: &str) -> Call {
        if let Some(headers) = self.request.headers_mut() {
            headers.insert(
                name.parse::<http::HeaderName>().expect("a header name"),
                value.parse().expect("a header value"),
            );
        }
        self
    }

    /// Removes a header.
    pub fn without(mut self, name: &str) -> Call {
        if let Some(headers) = self.request.headers_mut() {
            headers.remove(name);
        }
        self
    }

    pub fn json(self, body: Value) -> Call {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Body>) -> Call {
        self.body = body.into();
        self
    }

    pub async fn send(self) -> Reply {
        self.try_send().await.expect("the server answers")
    }

    /// An answer whose body is yet to come.
    pub async fn begin(self) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        let request = self.request.body(self.body)?;
        Ok(CLIENT.request(request).await?)
    }

    /// For tests that break connections.
    pub async fn try_send(self) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = self.begin().await?.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Asserts the status and shows the body if it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}
