//! The head of a request, kept to send the same request again or elsewhere.

use base::{Body, Request};
use http::request::Parts;
use http::{HeaderName, HeaderValue};

/// Method, target and headers; none of the extensions.
pub(super) struct KeptHead(Parts);

impl KeptHead {
    pub(super) fn of(request: &Request) -> KeptHead {
        let mut kept = Request::new(Body::empty());
        *kept.method_mut() = request.method().clone();
        *kept.uri_mut() = request.uri().clone();
        *kept.headers_mut() = request.headers().clone();
        KeptHead(kept.into_parts().0)
    }

    /// Sets a header of the kept head.
    pub(super) fn says(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.insert(name, value);
        }
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    /// The same request with `body`.
    pub(super) fn with(&self, body: Body) -> Request {
        Request::from_parts(self.0.clone(), body)
    }
}
