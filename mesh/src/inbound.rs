//! The callee's side: policy → header hygiene → the service.
//!
//! What the service sees is the same whether the caller is in this process or behind mTLS: no extension of the
//! caller's, `Host` set to the service's mesh name, `x-meshbase-peer` from the identity and from nothing else.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use base::{Body, Request, Response, header};
use futures_util::FutureExt;
use http::{HeaderValue, StatusCode};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use crate::identity::Identity;
use crate::observe::{Event, Observer};
use crate::outbound::Cause;
use crate::policy::Policy;
use crate::resource::Mesh;

/// A service behind its inbound stack. Cheap to clone.
#[derive(Clone)]
pub struct Inbound {
    name: Arc<str>,
    policy: Arc<Policy>,
    service: BoxCloneSyncService<Request, Response, Infallible>,
    observer: Observer,
}

impl Inbound {
    /// Puts the inbound stack of `mesh` before `service`.
    pub fn new<S>(mesh: &Mesh, name: &str, service: S, observer: Observer) -> Inbound
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        Inbound {
            name: name.into(),
            policy: Arc::new(Policy::of(mesh, name)),
            service: BoxCloneSyncService::new(service),
            observer,
        }
    }

    /// Answers `request` of `peer`. A panic of the service is a reset, as it would be on a connection.
    pub async fn call(&self, peer: &Identity, request: Request) -> Result<Response, Cause> {
        let (head, body) = request.into_parts();
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = origin_form(&head.uri);
        *request.headers_mut() = head.headers;
        self.answer(peer, request).await
    }

    /// As [`Inbound::call`], for a request that came over a connection of its own and keeps its extensions.
    pub(crate) async fn answer(&self, peer: &Identity, mut request: Request) -> Result<Response, Cause> {
        if !self.policy.allows(peer) {
            let destination = self.name.to_string();
            self.observer.observe(&Event::Denied { peer: peer.to_string(), destination });
            return Ok(denied());
        }
        let headers = request.headers_mut();
        self.policy.strip(peer, headers);
        headers.insert(header::PEER, HeaderValue::from_str(peer.service()).map_err(|_| Cause::Reset)?);
        let host = HeaderValue::from_str(&format!("{}.mesh", self.name)).map_err(|_| Cause::Reset)?;
        headers.insert(http::header::HOST, host);
        let answer = AssertUnwindSafe(self.service.clone().oneshot(request)).catch_unwind().await;
        match answer {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(never)) => match never {},
            Err(_) => Err(Cause::Reset),
        }
    }
}

/// The path and query alone: what a request line on the service's own connection would hold.
fn origin_form(uri: &http::Uri) -> http::Uri {
    match uri.path_and_query() {
        Some(path) => http::Uri::from(path.clone()),
        None => http::Uri::from_static("/"),
    }
}

fn denied() -> Response {
    let mut response = Response::new(Body::from(
        r#"{"code":"denied_by_policy","message":"the caller may not call this service"}"#,
    ));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
