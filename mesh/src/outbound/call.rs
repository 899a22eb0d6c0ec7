//! One request on its route: its kind's times, its attempts, what is answered in the end.

use std::sync::Arc;
use std::time::Duration;

use base::{Body, Request, Response, header};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use http::{HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Stack;
use super::attempt::Answer;
use super::fallback::Fallback;
use crate::Cause;
use crate::body::{self, Pace, Progress};
use crate::connect::Host;
use crate::observe::Side;
use crate::record::Record;
use crate::resilience::deadline;
use crate::resource::{Kind, Tls};
use crate::snapshot::{Route, Service};
use crate::splice::Joint;

/// A moment that never comes, for what has no total.
pub(crate) const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A request on its route.
pub(super) struct Call {
    pub(super) stack: Arc<Stack>,
    pub(super) service: Arc<Service>,
    pub(super) route: Arc<Route>,
    /// The host that the endpoint sees.
    pub(super) host: Host,
    /// Where on the ring it belongs.
    pub(super) hash: Option<u64>,
    pub(super) project: Option<HeaderValue>,
}

/// By when what must have happened.
pub(super) struct Timing {
    /// The head of the answer, all attempts included.
    pub(super) until: Instant,
    /// The head of the answer, from the end of the request's body.
    pub(super) response: Option<Duration>,
    /// Cancelled when the request's body has ended.
    pub(super) ended: CancellationToken,
    /// Whether the endpoint is told how much time is left.
    pub(super) told: bool,
    /// How far the request's body has come.
    pub(super) progress: Arc<Progress>,
}

impl Call {
    pub(super) fn new(
        stack: Arc<Stack>,
        service: Arc<Service>,
        route: Arc<Route>,
        request: &Request,
    ) -> Call {
        // a proxy knows its service by `<service>.mesh`; a program sees the host that was asked for
        let asked = if service.spec.tls == Tls::Off { asked(request) } else { None };
        let host = asked.unwrap_or_else(|| service.host.clone());
        let hash = service.spec.balancer.hash.as_ref();
        Call {
            hash: hash.and_then(|key| stack.hashed(request).value(key)),
            project: request.headers().get(header::PROJECT).cloned(),
            stack,
            service,
            route,
            host,
        }
    }

    /// Carries the request out. The record ends with the answer's body.
    pub(super) async fn run(&self, mut request: Request, mut record: Record) -> Result<Response, Cause> {
        let downstream = match self.route.kind {
            Kind::Upgrade { .. } => request.extensions_mut().remove::<OnUpgrade>(),
            _ => None,
        };
        let kept = Fallback::of(self, &request);
        let (request, timing, pace) = self.paced(request, record.started());
        let fallback = kept.map(|fallback| fallback.until(timing.until));
        let progress = timing.progress.clone();
        let cluster = self.stack.cluster(&self.service);
        let cut = cluster.as_ref().filter(|_| self.route.lasts()).map(|cluster| cluster.cut.clone());
        let outcome = match (&cluster, &cut) {
            (None, _) => Err(Cause::NoEndpoint),
            (Some(cluster), None) => self.attempts(cluster, request, timing, &mut record).await,
            (Some(cluster), Some(cut)) => {
                // boxed: unary requests, which are most, then hold no room for it
                let attempts = self.attempts(cluster, request, timing, &mut record).boxed();
                tokio::select! {
                    outcome = attempts => outcome,
                    () = cut.cancelled() => Err(Cause::Cut),
                }
            }
        };
        let outcome = match &fallback {
            Some(fallback) => fallback.after(self, outcome).await,
            None => outcome,
        };
        record.request_bytes(progress.bytes());
        match outcome {
            Ok(answer) => {
                record.head(answer.response.status(), answer.response.headers());
                Ok(self.answer(answer, downstream, pace, record, cut))
            }
            Err(cause) => {
                record.failed(cause);
                Err(cause)
            }
        }
    }

    /// The request and its times, by the route's kind.
    fn paced(&self, mut request: Request, started: Instant) -> (Request, Timing, Pace) {
        let headers = request.headers_mut();
        let (until, told, pace) = match self.route.kind {
            Kind::Unary { deadline: limit } => {
                let until = started + deadline::left(headers, limit);
                (until, true, Pace::Until(until))
            }
            Kind::Stream { idle, .. } => {
                // no total, unless the client itself gave one
                headers.remove(header::DEADLINE);
                (started + deadline::left(headers, NEVER), false, Pace::Idle(idle))
            }
            Kind::Upgrade { response, .. } => {
                headers.remove(header::DEADLINE);
                (started + response, false, Pace::Until(started + response))
            }
            Kind::Tcp { idle } => (started + NEVER, false, Pace::Idle(idle)),
        };
        let (head, body) = request.into_parts();
        let (body, progress, ended) = body::outgoing(body, pace);
        let response = match self.route.kind {
            Kind::Stream { response, .. } => Some(response),
            _ => None,
        };
        (Request::from_parts(head, body), Timing { until, response, ended, told, progress }, pace)
    }

    /// The caller's answer: its body holds what the exchange holds, or both connections are joined.
    fn answer(
        &self,
        answer: Answer,
        downstream: Option<OnUpgrade>,
        pace: Pace,
        record: Record,
        cut: Option<CancellationToken>,
    ) -> Response {
        let Answer { mut response, held } = answer;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let (Some(downstream), Kind::Upgrade { idle, life, .. }) = (downstream, self.route.kind) {
                let upstream = hyper::upgrade::on(&mut response).map_ok(TokioIo::new);
                let (side, destination) = (Side::Outbound, self.service.name.clone());
                let joint = Joint { side, destination, idle, life, cut };
                self.stack.plane.join(joint, downstream, upstream, (held, record));
                return response.map(|_| Body::empty());
            }
            return response;
        }
        let cut = cut.map(|cut| Box::pin(cut.cancelled_owned()) as BoxFuture<'static, ()>);
        response.map(|body| body::incoming(body, pace, record, cut, held))
    }

    pub(super) fn project(&self) -> Option<&str> {
        self.project.as_ref()?.to_str().ok()
    }
}

/// The host that the caller asked for.
fn asked(request: &Request) -> Option<Host> {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = || request.headers().get(http::header::HOST)?.to_str().ok();
    Host::parse(authority.or_else(host)?).ok()
}
