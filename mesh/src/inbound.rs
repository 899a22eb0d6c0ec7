//! The callee's side: policy → limits → load shedding → header hygiene → the program.
//!
//! What the program sees is the same whether the caller is in this process or behind mTLS: no extension of the
//! caller's, `Host` set to the service's mesh name, `x-meshbase-peer` from the identity and from nothing else.

mod admission;
mod live;
mod program;
mod tunnel;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base::header::{self, Fault};
use base::{Request, Response};
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::body::{self, Pace};
use crate::classify::{Class, classify};
use crate::identity::Identity;
use crate::matching::Head;
use crate::observe::{Event, Name, Reason, Side};
use crate::outbound::NEVER;
use crate::plane::DataPlane;
use crate::policy::Verdict;
use crate::record::Record;
use crate::resilience::deadline;
use crate::resource::Kind;
use crate::sever::Shears;
use crate::snapshot::{Route, Service};
use crate::{Cause, hop, rescue, target};
use admission::Admission;
use live::Live;
pub(crate) use program::Program;

/// How much later than its caller the callee gives up: the caller is to know that it was the deadline. Were the callee
/// first, its reset would look like a broken endpoint, be tried again and held against it.
const LATE: Duration = Duration::from_millis(500);

/// A service behind its inbound stack. Cheap to clone.
#[derive(Clone)]
pub struct Inbound(Arc<Stack>);

struct Stack {
    plane: DataPlane,
    name: Name,
    program: Program,
    /// What the program has.
    under_way: TaskTracker,
}

impl Inbound {
    pub(crate) fn new(plane: DataPlane, name: &str, program: Program) -> Inbound {
        let name = Name::from(name);
        let under_way = plane.0.program(&name);
        Inbound(Arc::new(Stack { plane, name, program, under_way }))
    }

    pub(crate) fn local<S>(plane: DataPlane, name: &str, service: S) -> Inbound
    where
        S: tower::Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        Inbound::new(plane, name, Program::local(service))
    }

    pub(crate) fn plane(&self) -> &DataPlane {
        &self.0.plane
    }

    /// The service's name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// Answers `request` of `peer`. A panic of the service is a reset, as it would be on a connection.
    pub async fn call(&self, peer: &Identity, request: Request) -> Result<Response, Cause> {
        let (head, body) = request.into_parts();
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.headers_mut() = head.headers;
        self.answer(peer, request, None).await
    }

    /// As [`Inbound::call`], for a request that came over a connection of its own: it keeps its extensions, and
    /// `shears` cut the connection when policy takes back what it allowed.
    pub(crate) async fn answer(
        &self,
        peer: &Identity,
        mut request: Request,
        shears: Option<&Shears>,
    ) -> Result<Response, Cause> {
        let stack = &*self.0;
        let service = stack.plane.0.snapshot().service(&stack.name).cloned();
        let Some(service) = service else { return Ok(denied()) };
        let observer = &stack.plane.0.parts.observer;
        // before anybody looks: what a peer may not say, nobody hears
        service.policy.strip(peer, request.headers_mut());
        let source = self.name_of(peer);
        let names = [&source, &stack.name];
        let (method, uri) = (request.method(), request.uri());
        let mut record = Record::begin(observer, Side::Inbound, names, method, uri, request.headers());
        let outcome = self.judged(peer, request, &service, &mut record).await;
        match outcome {
            Ok((response, admission, route)) => {
                record.head(response.status(), response.headers());
                Ok(self.watched(peer, response, admission, route, record, shears))
            }
            Err(cause) => {
                record.failed(cause);
                Err(cause)
            }
        }
    }

    /// Policy, limits, shedding; then the program.
    async fn judged(
        &self,
        peer: &Identity,
        mut request: Request,
        service: &Service,
        record: &mut Record,
    ) -> Result<(Response, Option<Admission>, Option<Live>), Cause> {
        if target::normalise_path(&mut request).is_err() {
            return Ok((rescue::bad_path(), None, None));
        }
        let head = Head::of(&request, request.uri().path());
        if !self.allows(service, peer, &head) {
            return Ok((denied(), None, None));
        }
        let route = service.route(&head).clone();
        record.route(&route.name);
        let live = Live::of(&route, &request);
        let admission = match self.admit(service, &route, peer, &request) {
            Ok(admission) => admission,
            Err(response) => return Ok((response, None, None)),
        };
        let id = self.prepare(&route, peer, &mut request, record);
        let started = Instant::now();
        let (until, pace) = match route.kind {
            Kind::Unary { deadline } => {
                let until = started + deadline::left(request.headers(), deadline) + LATE;
                (until, Pace::Until(until))
            }
            Kind::Stream { idle, .. } => (started + NEVER, Pace::Idle(idle)),
            Kind::Upgrade { response, .. } => (started + response, Pace::Until(started + response)),
            Kind::Tcp { idle } => (started + NEVER, Pace::Idle(idle)),
        };
        let (head, body) = request.into_parts();
        let (body, progress, _) = body::outgoing(body, pace);
        let request = Request::from_parts(head, body);
        let call = timeout_at(until, self.0.program.call(&self.0.plane, route.kind, service, request));
        let answer = match &live {
            None => call.await,
            Some(live) => tokio::select! {
                answer = call => answer,
                () = self.denied(peer.clone(), live.clone()) => return Err(Cause::Cut),
            },
        };
        let mut response = match answer.unwrap_or(Err(Cause::Deadline)) {
            // whatever the program says to half a request: over a connection nobody would hear it
            Ok(_) if progress.is_broken() => return Err(Cause::RequestBody),
            Ok(response) => response,
            // nothing was processed: another endpoint may
            Err(cause @ (Cause::Unreachable | Cause::Refused | Cause::Overloaded)) => refused(cause),
            Err(cause) => return Err(if progress.is_broken() { Cause::RequestBody } else { cause }),
        };
        record.request_bytes(progress.bytes());
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        hop::strip_from_answer(response.headers_mut(), is_upgrade);
        let is_gateway_error = (502..=504).contains(&response.status().as_u16());
        if classify(response.status(), response.headers()) == Class::EndpointFault
            && Fault::of(response.headers()).is_none()
            && self.0.plane.0.blame.is_upstream(&self.0.name, id.as_ref())
        {
            response.headers_mut().insert(header::FAULT, Fault::Upstream.value());
        }
        let mut admission = admission;
        if let Some(adaptive) = admission.adaptive.take() {
            adaptive.finish(started.elapsed(), Instant::now(), !is_gateway_error);
        }
        Ok((response, Some(admission), live))
    }

    /// Who calls, as the program and the records know it: the service, or the whole id of a foreign one.
    fn name_of(&self, peer: &Identity) -> Name {
        let is_ours = *self.0.plane.0.snapshot().trust_domain == *peer.trust_domain();
        if is_ours { peer.name().clone() } else { peer.as_str().into() }
    }

    fn allows(&self, service: &Service, peer: &Identity, head: &Head<'_>) -> bool {
        let verdict = service.policy.judge(peer, head);
        if verdict != Verdict::Allowed {
            self.0.plane.0.observe(&Event::Denied {
                peer: peer.clone(),
                service: self.0.name.clone(),
                method: head.method.clone(),
                path: head.path.to_owned(),
                dry_run: verdict == Verdict::DryRun,
            });
        }
        verdict != Verdict::Denied
    }

    /// The request as the program sees it. Returns its id.
    fn prepare(
        &self,
        route: &Route,
        peer: &Identity,
        request: &mut Request,
        record: &mut Record,
    ) -> Option<HeaderValue> {
        let plane = &self.0.plane.0;
        let may_upgrade = matches!(route.kind, Kind::Upgrade { .. });
        let headers = request.headers_mut();
        hop::strip(headers, may_upgrade && hop::wants_upgrade(headers));
        if let Ok(name) = HeaderValue::from_str(&self.name_of(peer)) {
            headers.insert(header::PEER, name);
        }
        if let Some(sampler) = plane.parts.sampling.get() {
            let trace = sampler.enter(headers, || plane.dice.next());
            trace.write(headers);
            record.trace(Some(trace));
        }
        let id = headers.entry(header::REQUEST_ID).or_insert_with(|| {
            let id = format!("{:016x}{:016x}", plane.dice.next(), plane.dice.next());
            HeaderValue::from_str(&id).expect("hexadecimal digits are visible")
        });
        record.request_id(id);
        Some(id.clone())
    }

    /// The answer, with its end watched and, where it may last, its leave too.
    fn watched(
        &self,
        peer: &Identity,
        response: Response,
        admission: Option<Admission>,
        live: Option<Live>,
        record: Record,
        shears: Option<&Shears>,
    ) -> Response {
        let Some(live) = live else {
            return response.map(|body| body::incoming(body, Pace::Free, record, None, admission));
        };
        let denied = self.denied(peer.clone(), live);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let Some(shears) = shears.cloned() {
                tokio::spawn(async move {
                    tokio::select! {
                        () = denied => shears.cut(),
                        () = shears.closed() => {}
                    }
                    drop((record, admission));
                });
            }
            return response;
        }
        response.map(|body| body::incoming(body, Pace::Free, record, Some(denied), admission))
    }

    /// Resolves when policy no longer allows what it allowed.
    fn denied(&self, peer: Identity, live: Live) -> BoxFuture<'static, ()> {
        let inbound = self.clone();
        let mut changes = inbound.0.plane.0.changes();
        Box::pin(async move {
            // judged at once too: what changed since it was let in is not told again
            loop {
                let service = inbound.0.plane.0.snapshot().service(&inbound.0.name).cloned();
                let still = service.is_some_and(|s| s.policy.judge(&peer, &live.head()) != Verdict::Denied);
                if !still {
                    let (service, reason) = (inbound.0.name.clone(), Reason::Policy);
                    inbound.0.plane.0.observe(&Event::Cut { peer, service, reason });
                    return;
                }
                if changes.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        })
    }
}

fn denied() -> Response {
    rescue::refusal(StatusCode::FORBIDDEN, "denied_by_policy", "the caller may not do this")
}

fn overloaded() -> Response {
    marked("overloaded", "the service has too much to do", Fault::Overload)
}

fn refused(cause: Cause) -> Response {
    let fault = if cause == Cause::Overloaded { Fault::Overload } else { Fault::Refused };
    marked("program_unreachable", "the program takes no requests", fault)
}

fn marked(code: &str, message: &str, fault: Fault) -> Response {
    let mut response = rescue::refusal(StatusCode::SERVICE_UNAVAILABLE, code, message);
    response.headers_mut().insert(header::FAULT, fault.value());
    response
}
