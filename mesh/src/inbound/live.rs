//! What of a request is kept to judge it again while its answer lasts.

use base::Request;

use crate::matching::Head;
use crate::snapshot::Route;

/// What of a request policy judges again while its answer lasts.
#[derive(Clone)]
pub(super) struct Live {
    method: http::Method,
    uri: http::Uri,
    headers: http::HeaderMap,
}

impl Live {
    /// `None` for what is over soon.
    pub(super) fn of(route: &Route, request: &Request) -> Option<Live> {
        route.lasts().then(|| Live {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        })
    }

    pub(super) fn connection() -> Live {
        let uri = http::Uri::from_static("/");
        Live { method: http::Method::CONNECT, uri, headers: http::HeaderMap::new() }
    }

    pub(super) fn head(&self) -> Head<'_> {
        let header = || self.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        Head {
            host: self.uri.host().or_else(header).unwrap_or_default(),
            method: &self.method,
            path: self.uri.path(),
            query: self.uri.query(),
            headers: &self.headers,
        }
    }
}
