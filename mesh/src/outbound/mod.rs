//! The caller's side.
//!
//! service by host → route → trouble on purpose → redirect, rewrite, headers → split → mirror → attempts (place,
//! breaker, endpoint, call) within the route's times → fallback. `http://<service>.mesh/…` is a peer, any other host is
//! egress.

mod attempt;
mod call;
mod cluster;
mod egress;
mod fallback;
mod head;
mod mirror;
mod reach;
mod retry;
mod stage;
mod tcp;

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use base::{Request, Response};
use futures_util::future::BoxFuture;

use crate::Cause;
use crate::identity::{Credentials, Identity};
use crate::matching::Head;
use crate::observe::{Event, Name, Reason, Side};
use crate::plane::{DataPlane, Plane};
use crate::policy::Verdict;
use crate::record::Record;
use crate::snapshot::{Service, Snapshot};
use crate::traffic::hash::Hashed;

pub(crate) use call::NEVER;
pub(crate) use cluster::Cluster;
pub(crate) use reach::Reach;

/// The outbound stack of one caller. Cheap to clone.
#[derive(Clone)]
pub struct Outbound(Arc<Stack>);

pub(crate) struct Stack {
    pub(crate) plane: DataPlane,
    pub(crate) identity: Identity,
    pub(crate) source: Name,
    pub(crate) credentials: Option<Credentials>,
    /// The services that were called so far.
    clusters: ArcSwap<HashMap<Name, Arc<Cluster>>>,
    mirrors: mirror::Mirrors,
}

impl Outbound {
    pub(crate) fn new(plane: DataPlane, source: &str, credentials: Option<Credentials>) -> Outbound {
        let trust_domain = plane.0.snapshot().trust_domain.clone();
        let stack = Arc::new(Stack {
            identity: Identity::new(&*trust_domain, source),
            source: source.into(),
            plane,
            credentials,
            clusters: ArcSwap::default(),
            mirrors: mirror::Mirrors::default(),
        });
        stack.plane().follow(Arc::downgrade(&stack));
        Outbound(stack)
    }

    /// Sends `request` and resolves at the head of the answer.
    pub async fn send(&self, request: Request) -> Result<Response, Cause> {
        let host = request.uri().host().unwrap_or_default();
        match host.strip_suffix(".mesh") {
            Some(name) => {
                let service = self.0.plane.0.snapshot().service(name).cloned();
                match service {
                    Some(service) => self.0.exchange(service, request).await,
                    None => self.0.unknown(request),
                }
            }
            None => egress::send(&self.0, request).await,
        }
    }

    /// Sends `request` to `service`, whatever host it names.
    pub async fn send_to(&self, service: &str, request: Request) -> Result<Response, Cause> {
        let service = self.0.plane.0.snapshot().service(service).cloned();
        match service {
            Some(service) => self.0.exchange(service, request).await,
            None => self.0.unknown(request),
        }
    }

    pub(crate) fn stack(&self) -> &Arc<Stack> {
        &self.0
    }
}

impl Stack {
    pub(crate) fn plane(&self) -> &Plane {
        &self.plane.0
    }

    /// One exchange with `service`, recorded from its first to its last byte.
    async fn exchange(self: &Arc<Self>, service: Arc<Service>, request: Request) -> Result<Response, Cause> {
        let observer = &self.plane().parts.observer;
        let names = [&self.source, &service.name];
        let (method, uri) = (request.method(), request.uri());
        let record = Record::begin(observer, Side::Outbound, names, method, uri, request.headers());
        stage::run(self, service, request, record).await
    }

    /// The same, boxed: an exchange may lead to others, by a mirror or a fallback.
    fn exchange_with(
        self: &Arc<Self>,
        service: Arc<Service>,
        request: Request,
    ) -> BoxFuture<'static, Result<Response, Cause>> {
        let stack = self.clone();
        Box::pin(async move { stack.exchange(service, request).await })
    }

    fn unknown(&self, request: Request) -> Result<Response, Cause> {
        let (source, host) = (self.source.clone(), request.uri().host().unwrap_or_default().to_owned());
        let detail = "no service has this name".to_owned();
        self.plane().observe(&Event::EgressDenied { source, host, detail });
        Err(Cause::NotAllowed)
    }

    /// The way to `service`: made at the first call, renewed when its configuration changed.
    pub(crate) fn cluster(self: &Arc<Self>, service: &Service) -> Option<Arc<Cluster>> {
        let there = self.clusters.load().get(&service.name).cloned();
        if let Some(cluster) = &there
            && Arc::ptr_eq(&cluster.spec, &service.cluster)
        {
            return there;
        }
        let renewed = there.and_then(|there| there.renewed(self, service));
        let cluster = Arc::new(match renewed {
            Some(renewed) => renewed,
            None => Cluster::start(self, service)?,
        });
        self.clusters.rcu(|clusters| {
            let mut clusters = HashMap::clone(clusters);
            match clusters.get(&service.name) {
                // somebody else was faster
                Some(there) if Arc::ptr_eq(&there.spec, &service.cluster) => {}
                _ => drop(clusters.insert(service.name.clone(), cluster.clone())),
            }
            clusters
        });
        self.clusters.load().get(&service.name).cloned()
    }

    /// Forgets the ways to services that are not in force any more, and cuts what lasts to those that nobody talks to.
    pub(crate) fn settle(&self) {
        let snapshot = self.plane().snapshot().clone();
        let goes = |name: &Name| snapshot.service(name).is_none_or(|service| service.is_denied);
        if !self.clusters.load().keys().any(goes) {
            return;
        }
        let before = self.clusters.rcu(|clusters| {
            let mut clusters = HashMap::clone(clusters);
            clusters.retain(|name, _| !goes(name));
            clusters
        });
        for (name, cluster) in before.iter().filter(|(name, _)| goes(name)) {
            if snapshot.denies(&Identity::new(&*snapshot.trust_domain, name)) {
                cluster.cut.cancel();
                let (peer, service, reason) = (self.identity.clone(), name.clone(), Reason::DeniedIdentity);
                self.plane().observe(&Event::Cut { peer, service, reason });
            }
        }
    }

    /// The services that were called so far.
    pub(crate) fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.clusters.load().values().cloned().collect()
    }

    /// Tells that a call to `service` is refused for want of a place.
    fn shed(&self, service: &Name, reason: Reason) -> Cause {
        let (side, service) = (Side::Outbound, service.clone());
        self.plane().observe(&Event::Shed { side, service, reason });
        match reason {
            Reason::TenantBreaker => Cause::TenantBreaker,
            _ => Cause::Overloaded,
        }
    }

    fn is_local(&self, service: &Service) -> bool {
        self.plane().local(&service.name).is_some()
    }

    /// What policy says of this caller, where there is no proxy on the other side to ask.
    fn judge(&self, service: &Service, head: &Head<'_>) -> Result<(), Cause> {
        let verdict = service.policy.judge(&self.identity, head);
        if verdict != Verdict::Allowed {
            self.plane().observe(&Event::Denied {
                peer: self.identity.clone(),
                service: service.name.clone(),
                method: head.method.clone(),
                path: head.path.to_owned(),
                dry_run: verdict == Verdict::DryRun,
            });
        }
        if verdict == Verdict::Denied { Err(Cause::NotAllowed) } else { Ok(()) }
    }

    /// What a hash of `request` looks at.
    pub(crate) fn hashed<'a>(&'a self, request: &'a Request) -> Hashed<'a> {
        Hashed { headers: request.headers(), path: request.uri().path(), source: &self.source }
    }

    /// The service of `name` in the configuration in force.
    pub(crate) fn service(&self, name: &str) -> Option<Arc<Service>> {
        let snapshot: &Snapshot = &self.plane().snapshot();
        snapshot.service(name).cloned()
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
