//! The caller's side: which service → which kind of exchange → deadline and timeouts → the endpoint.
//!
//! `http://<service>.mesh/…` is a peer. Any other host is egress, which nobody is allowed yet.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{Body, Request, Response, header};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::StatusCode;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, timeout, timeout_at};

use crate::classify::classify;
use crate::directory::Directory;
use crate::endpoint::Endpoint;
use crate::identity::Identity;
use crate::observe::{Event, Observer};
use crate::resource::{Kind, Mesh};
use crate::timed;

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The host is neither a service nor allowed egress.
    NotAllowed,
    /// No endpoint of the service is known.
    NoEndpoint,
    /// The connection broke before an answer.
    Reset,
    /// The request's deadline passed.
    Deadline,
    /// The endpoint took the request and did not begin to answer.
    ResponseTimeout,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::NotAllowed => "the host is not allowed",
            Cause::NoEndpoint => "no endpoint",
            Cause::Reset => "the connection broke",
            Cause::Deadline => "the deadline passed",
            Cause::ResponseTimeout => "no answer in time",
        })
    }
}

impl std::error::Error for Cause {}

impl Cause {
    /// The status that a proxy answers with in the place of the missing answer.
    pub fn status(self) -> StatusCode {
        match self {
            Cause::NotAllowed => StatusCode::FORBIDDEN,
            Cause::NoEndpoint => StatusCode::SERVICE_UNAVAILABLE,
            Cause::Reset => StatusCode::BAD_GATEWAY,
            Cause::Deadline | Cause::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// The outbound stack of one caller. Cheap to clone.
#[derive(Clone)]
pub struct Outbound(Arc<Stack>);

struct Stack {
    source: Identity,
    mesh: Arc<Mesh>,
    directory: Directory,
    observer: Observer,
}

impl Outbound {
    /// The stack for `source`, a service's name.
    pub fn new(source: &str, mesh: Arc<Mesh>, directory: Directory, observer: Observer) -> Outbound {
        let source = Identity::new(mesh.trust_domain.clone(), source);
        Outbound(Arc::new(Stack { source, mesh, directory, observer }))
    }

    /// Sends `request` and resolves at the head of the answer.
    pub async fn send(&self, request: Request) -> Result<Response, Cause> {
        let stack = &*self.0;
        let started = Instant::now();
        let host = request.uri().host().unwrap_or_default().to_owned();
        let destination = host.strip_suffix(".mesh").unwrap_or(&host).to_owned();
        let answer = stack.route(&host, request).await;
        stack.observer.observe(&match &answer {
            Ok(response) => Event::Answered {
                source: stack.source.service().to_owned(),
                destination,
                status: response.status(),
                class: classify(response.status(), response.headers()),
                duration: started.elapsed(),
            },
            Err(cause) => {
                Event::Failed { source: stack.source.service().to_owned(), destination, cause: *cause }
            }
        });
        answer
    }
}

impl Stack {
    async fn route(&self, host: &str, mut request: Request) -> Result<Response, Cause> {
        let name = host.strip_suffix(".mesh").ok_or(Cause::NotAllowed)?;
        let service = self.mesh.services.get(name).ok_or(Cause::NotAllowed)?;
        let endpoint = self.directory.find(name).ok_or(Cause::NoEndpoint)?;
        let upgrade = request.headers().contains_key(http::header::UPGRADE);
        header::strip_hop_by_hop(request.headers_mut(), upgrade);
        match service.kind_of(request.uri().path()) {
            Kind::Unary { deadline } => self.unary(&endpoint, deadline, request).await,
            Kind::Stream { response, idle } => self.stream(&endpoint, response, idle, request).await,
            kind @ Kind::Upgrade { response, idle, life } => {
                let answer = self.upgrade(&endpoint, kind, response, request);
                let (answer, upgrades) = answer.await?;
                if let Some((downstream, upstream)) = upgrades {
                    self.splice(name.to_owned(), downstream, upstream, idle, life);
                }
                Ok(answer)
            }
        }
    }

    /// One deadline for everything, the answer's body included.
    async fn unary(
        &self,
        endpoint: &Endpoint,
        limit: Duration,
        mut request: Request,
    ) -> Result<Response, Cause> {
        let left = header::lower_deadline(request.headers_mut(), limit);
        let deadline = Instant::now() + left;
        let kind = Kind::Unary { deadline: left };
        let answer = timeout_at(deadline, endpoint.call(&self.source, kind, request));
        let response = answer.await.map_err(|_| Cause::Deadline)??;
        Ok(response.map(|body| timed::until(body, deadline)))
    }

    /// No total: the head of the answer must come soon after the request ended, and no body may stall.
    async fn stream(
        &self,
        endpoint: &Endpoint,
        response: Duration,
        idle: Duration,
        mut request: Request,
    ) -> Result<Response, Cause> {
        request.headers_mut().remove(header::DEADLINE);
        let (head, body) = request.into_parts();
        let (body, ended) = timed::with_idle_and_end(body, idle);
        let kind = Kind::Stream { response, idle };
        let call = endpoint.call(&self.source, kind, Request::from_parts(head, body));
        let late = ended.map(|_| ()).then(|()| tokio::time::sleep(response));
        let answer = tokio::select! {
            answer = call => answer?,
            () = late => return Err(Cause::ResponseTimeout),
        };
        Ok(answer.map(|body| timed::with_idle(body, idle)))
    }

    /// The handshake. On `101` both sides' upgrades are returned, if the caller came over a connection of its own;
    /// otherwise the answer carries the endpoint's.
    async fn upgrade(
        &self,
        endpoint: &Endpoint,
        kind: Kind,
        limit: Duration,
        mut request: Request,
    ) -> Result<(Response, Option<(OnUpgrade, OnUpgrade)>), Cause> {
        let downstream = request.extensions_mut().remove::<OnUpgrade>();
        let call = timeout(limit, endpoint.call(&self.source, kind, request));
        let mut response = call.await.map_err(|_| Cause::ResponseTimeout)??;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok((response, None));
        }
        match downstream {
            None => Ok((response, None)),
            Some(downstream) => {
                let upstream = hyper::upgrade::on(&mut response);
                Ok((response.map(|_| Body::empty()), Some((downstream, upstream))))
            }
        }
    }

    fn splice(
        &self,
        destination: String,
        downstream: OnUpgrade,
        upstream: OnUpgrade,
        idle: Duration,
        life: Duration,
    ) {
        let observer = self.observer.clone();
        tokio::spawn(async move {
            let started = Instant::now();
            crate::upgrade::splice(downstream, upstream, idle, life).await;
            observer.observe(&Event::UpgradeEnded { destination, duration: started.elapsed() });
        });
    }
}

impl tower::Service<Request> for Outbound {
    type Response = Response;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Response, Cause>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let stack = self.clone();
        Box::pin(async move { stack.send(request).await })
    }
}
