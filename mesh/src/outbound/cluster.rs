//! The way to one service as one caller sees it: endpoints, the choice between them, and what protects them.

use std::sync::Arc;
use std::time::Duration;

use base::{Request, Response};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Stack;
use crate::balance::{self, Balancer, Member, Pick};
use crate::connect::{Dialer, Failure, Host, Transport};
use crate::discover::{self, Address, Dns, Fixed, Found, Resolve, Stable};
use crate::identity::Identity;
use crate::observe::{Event, Name};
use crate::resilience::breaker::TenantBreakers;
use crate::resilience::budget::Budget;
use crate::resilience::gate::Gate;
use crate::resource::{Discovery, HealthCheck, Kind, Protocol, Tls};
use crate::snapshot::{ClusterSpec, Service};
use crate::{Cause, Inbound};

/// The way to a service.
pub(crate) struct Cluster {
    pub(crate) name: Name,
    pub(crate) spec: Arc<ClusterSpec>,
    pub(crate) balancer: Balancer<Reach>,
    pub(crate) gate: Gate,
    pub(crate) budget: Budget,
    pub(crate) breakers: TenantBreakers,
    /// Ends discovery and probes with the cluster.
    _stop: DropGuard,
}

/// How an endpoint is reached.
pub(crate) enum Reach {
    /// It is in this process: the callee's inbound stack, with the caller's identity passed instead of proven.
    Local(Inbound),
    /// It is elsewhere.
    Remote(Box<Transport>),
}

impl Reach {
    pub(crate) async fn send(
        &self,
        source: &Identity,
        kind: Kind,
        host: &Host,
        mut request: Request,
    ) -> Result<Response, Failure> {
        match self {
            Reach::Local(inbound) => match kind {
                Kind::Upgrade { .. } => crate::upgrade::call(inbound, source, host, request).await,
                _ => {
                    // the callee knows its own host, not the one that was asked for
                    host.origin(&mut request);
                    inbound.call(source, request).await.map_err(|cause| match cause {
                        // why is the callee's to know
                        Cause::Cut => Cause::Reset.into(),
                        cause => cause.into(),
                    })
                }
            },
            Reach::Remote(transport) => transport.send(kind, host, request).await,
        }
    }
}

impl Cluster {
    /// `None` if nobody knows where the service is, or the caller has no identity to show and needs one.
    pub(super) fn start(stack: &Arc<Stack>, service: &Service) -> Option<Cluster> {
        let plane = stack.plane();
        let spec = service.cluster.clone();
        let (name, seed) = (service.name.clone(), plane.dice.next());
        let (zone, observer) = (plane.parts.zone.clone(), plane.parts.observer.clone());
        let balancer = Balancer::new(&spec.balancer, &spec.ejection, zone, name.clone(), observer, seed);
        let stop = CancellationToken::new();
        match plane.local(&name) {
            Some(inbound) => {
                balancer.update(vec![Found::at(Address::Local)], |_| Reach::Local(inbound.clone()));
            }
            None => discover(stack, service, &balancer, &stop)?,
        }
        Some(Cluster {
            gate: Gate::new(&spec.concurrency),
            budget: Budget::new(&spec.retry_budget, Instant::now()),
            breakers: TenantBreakers::new(&spec.tenant_breaker, plane.dice.next()),
            name,
            spec,
            balancer,
            _stop: stop.drop_guard(),
        })
    }

    /// An endpoint for one attempt. Waits for discovery's first word, at most until `until`.
    pub(crate) async fn pick(
        &self,
        hash: Option<u64>,
        avoid: &[Name],
        until: Instant,
    ) -> Option<Pick<Reach>> {
        let mut replaced = self.balancer.replaced();
        if let Some(pick) = self.balancer.pick(hash, avoid, Instant::now()) {
            return Some(pick);
        }
        if !self.balancer.members().is_empty() {
            return None;
        }
        let until = until.min(Instant::now() + self.spec.concurrency.wait);
        tokio::time::timeout_at(until, replaced.changed()).await.ok()?.ok()?;
        self.balancer.pick(hash, avoid, Instant::now())
    }
}

/// Has `balancer` told where the service's endpoints are, at once or when it is known.
fn discover(
    stack: &Arc<Stack>,
    service: &Service,
    balancer: &Balancer<Reach>,
    stop: &CancellationToken,
) -> Option<()> {
    let plane = stack.plane();
    let make = reach(stack, service)?;
    let follow = |sets, stable| {
        let observer = plane.parts.observer.clone();
        tokio::spawn(discover::follow(sets, stable, balancer.clone(), make.clone(), observer, stop.clone()));
    };
    match &service.cluster.discovery {
        Some(Discovery::Static(list)) => {
            // a list that was checked; here rather than in a task, so that the first request finds it
            balancer.update(Fixed::parse(list).ok()?.into_found(), make);
        }
        Some(Discovery::Dns { name, port, record, refresh }) => {
            match Dns::new(name, *port, *record, *refresh, plane.dice.next()) {
                Ok(dns) => follow(dns.watch(&service.name), Stable::holding(*refresh * HOLD)),
                Err(detail) => {
                    let destination = service.name.clone();
                    plane.observe(&Event::DiscoveryFailed { destination, detail });
                    return None;
                }
            }
        }
        None => {
            let resolver = plane.parts.resolver.as_ref()?;
            follow(resolver.watch(&service.name), Stable::at_once());
        }
    }
    if let Some(check) = &service.cluster.health_check {
        watch_health(check.clone(), service, balancer.clone(), stop.clone());
    }
    Some(())
}

/// Look-ups for which an endpoint that DNS no longer names is kept.
const HOLD: u32 = 3;

/// What makes the way to an endpoint that was found; `None` if the caller has no identity to show and needs one.
fn reach(
    stack: &Arc<Stack>,
    service: &Service,
) -> Option<impl Fn(&Found) -> Reach + Clone + Send + Sync + 'static> {
    let plane = stack.plane();
    let secure = match service.cluster.tls {
        Tls::Off => None,
        Tls::Mutual => Some(stack.credentials.clone()?),
    };
    let (name, observer) = (service.name.clone(), plane.parts.observer.clone());
    let (protocol, connections) = (service.cluster.protocol, service.cluster.concurrency.connections);
    Some(move |found: &Found| {
        let dialer = Dialer::new(found.address.clone(), name.clone(), secure.clone(), observer.clone());
        Reach::Remote(Box::new(Transport::new(dialer, protocol, connections)))
    })
}

fn watch_health(check: HealthCheck, service: &Service, balancer: Balancer<Reach>, stop: CancellationToken) {
    let (path, timeout) = (check.path.clone(), check.timeout);
    let (host, protocol) = (service.host.clone(), service.cluster.protocol);
    let probe = move |member: Arc<Member<Reach>>| {
        let (path, host) = (path.clone(), host.clone());
        let answer = async move { probe(&member, path, &host, timeout, protocol).await };
        Box::pin(answer) as futures_util::future::BoxFuture<'static, Result<(), String>>
    };
    tokio::spawn(balance::run(check, balancer, probe, stop));
}

/// One probe of one endpoint.
async fn probe(
    member: &Member<Reach>,
    path: Option<String>,
    host: &Host,
    timeout: Duration,
    protocol: Protocol,
) -> Result<(), String> {
    let Reach::Remote(transport) = member.target() else { return Ok(()) };
    let Some(path) = path.filter(|_| protocol != Protocol::Tcp) else {
        return transport.probe().await.map_err(|cause| cause.to_string());
    };
    let request = http::Request::get(path).body(base::Body::empty()).map_err(|error| error.to_string())?;
    let answer = transport.send(Kind::Unary { deadline: timeout }, host, request).await;
    match answer {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(format!("status {}", response.status().as_u16())),
        Err(failure) => Err(failure.cause.to_string()),
    }
}
