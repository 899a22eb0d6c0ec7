//! The way to one service as one caller sees it: endpoints, the choice between them, and what protects them.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Stack;
use super::reach::{Reach, probe};
use crate::balance::{self, Balancer, Member, Pick};
use crate::discover::{self, Address, Api, Dns, Found, Kubernetes, Resolve, Stable, fixed};
use crate::observe::{Event, Name};
use crate::resilience::breaker::TenantBreakers;
use crate::resilience::budget::Budget;
use crate::resilience::gate::Gate;
use crate::resource::{Discovery, HealthCheck};
use crate::snapshot::{ClusterSpec, Service};

/// The way to a service.
pub(crate) struct Cluster {
    pub(crate) name: Name,
    pub(crate) spec: Arc<ClusterSpec>,
    pub(crate) balancer: Balancer<Reach>,
    pub(crate) gate: Gate,
    pub(crate) budget: Arc<Budget>,
    pub(crate) breakers: TenantBreakers,
    /// Cancelled when nobody talks to the service any more: what lasts ends.
    pub(crate) cut: CancellationToken,
    /// Ends discovery and probes with the last cluster that shares them.
    stop: Arc<DropGuard>,
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
            budget: Arc::new(Budget::new(&spec.retry_budget, Instant::now())),
            breakers: TenantBreakers::new(&spec.tenant_breaker, plane.dice.next()),
            name,
            spec,
            balancer,
            cut: CancellationToken::new(),
            stop: Arc::new(stop.drop_guard()),
        })
    }

    /// The same way under another configuration: connections, and what is known of the endpoints, stay, and so does
    /// what protects them as far as it is the same. Requests that hold a place of a gate that changed do not count at
    /// the new one.
    ///
    /// `None` if endpoints are found or reached differently from now on.
    pub(super) fn renewed(&self, stack: &Arc<Stack>, service: &Service) -> Option<Cluster> {
        let (spec, before) = (service.cluster.clone(), &self.spec);
        if !before.is_same_way(&spec) {
            return None;
        }
        if let (Some(Discovery::Static(list)), None) = (&spec.discovery, stack.plane().local(&self.name)) {
            self.balancer.update(fixed(list).ok()?, Reach::maker(stack, service)?);
        }
        self.balancer.configure(&spec.balancer, &spec.ejection);
        let gate = (before.concurrency == spec.concurrency).then(|| self.gate.clone());
        let budget = (before.retry_budget == spec.retry_budget).then(|| self.budget.clone());
        let breakers = (before.tenant_breaker == spec.tenant_breaker).then(|| self.breakers.clone());
        let seed = || stack.plane().dice.next();
        Some(Cluster {
            gate: gate.unwrap_or_else(|| Gate::new(&spec.concurrency)),
            budget: budget.unwrap_or_else(|| Arc::new(Budget::new(&spec.retry_budget, Instant::now()))),
            breakers: breakers.unwrap_or_else(|| TenantBreakers::new(&spec.tenant_breaker, seed())),
            name: self.name.clone(),
            spec,
            balancer: self.balancer.clone(),
            cut: self.cut.clone(),
            stop: self.stop.clone(),
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
    let make = Reach::maker(stack, service)?;
    let follow = |sets, stable| {
        let observer = plane.parts.observer.clone();
        tokio::spawn(discover::follow(sets, stable, balancer.clone(), make.clone(), observer, stop.clone()));
    };
    match &service.cluster.discovery {
        Some(Discovery::Static(list)) => {
            // a list that was checked; here rather than in a task, so that the first request finds it
            balancer.update(fixed(list).ok()?, make);
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
        Some(Discovery::Kubernetes { service: name, namespace, port }) => {
            match Api::in_cluster(namespace.as_deref()) {
                Ok(api) => {
                    let slices = Kubernetes::new(api, name, port.as_deref());
                    follow(slices.watch(&service.name), Stable::to_the_letter());
                }
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

#[cfg(test)]
mod tests {
    use base::{Clock, Random};

    use super::*;
    use crate::observe::Observer;
    use crate::resource::Mesh;
    use crate::{DataPlane, Outbound, Parts};

    const ONE: &str = "discovery: { static: [{ address: \"127.0.0.1:1\" }] }";
    const TWO: &str = "discovery: { static: [{ address: \"127.0.0.1:1\" }, { address: \"127.0.0.1:2\" }] }";

    fn mesh(echo: &str) -> Mesh {
        let routes = "routes: [{ kind: unary, deadline_ms: 1000 }]";
        let other = format!("  other: {{ tls: off, {ONE}, {routes} }}\n");
        let echo = if echo.is_empty() {
            String::new()
        } else {
            format!("  echo: {{ tls: off, {echo}, {routes} }}\n")
        };
        Mesh::parse(&format!("trust_domain: t.local\nservices:\n{other}{echo}")).unwrap()
    }

    fn world(echo: &str) -> (DataPlane, Outbound) {
        let parts = Parts::new(Observer::none(), Clock::system(), &Random::system());
        let plane = DataPlane::new(mesh(echo), parts).unwrap();
        let outbound = plane.outbound("gateway", None);
        (plane, outbound)
    }

    fn cluster(outbound: &Outbound) -> Arc<Cluster> {
        let stack = outbound.stack();
        stack.cluster(&stack.service("echo").unwrap()).unwrap()
    }

    fn names(cluster: &Cluster) -> Vec<String> {
        cluster.balancer.members().iter().map(|member| member.key().to_string()).collect()
    }

    #[tokio::test]
    async fn other_settings_keep_connections_and_what_is_known() {
        for changed in [
            "retry_budget: { ratio: 0.1 }",
            "ejection: { base_ms: 1 }",
            "balancer: { kind: random }",
            "concurrency: { requests: 5 }",
            "tenant_breaker: { base_ms: 1 }",
        ] {
            let (plane, outbound) = world(ONE);
            let before = cluster(&outbound);

            plane.apply(mesh(&format!("{ONE}, {changed}"))).unwrap();

            let after = cluster(&outbound);
            assert!(!Arc::ptr_eq(&before, &after), "{changed}");
            assert!(after.balancer.members()[0].is(&before.balancer.members()[0]), "{changed}");
            assert!(Arc::ptr_eq(&after.stop, &before.stop), "discovery goes on");
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_stays_in_the_list_stays_what_it_is() {
        let (plane, outbound) = world(ONE);
        let before = cluster(&outbound);

        plane.apply(mesh(TWO)).unwrap();

        let after = cluster(&outbound);
        assert_eq!(names(&after), ["127.0.0.1:1", "127.0.0.1:2"]);
        assert!(after.balancer.members()[0].is(&before.balancer.members()[0]));
        let before = after;
        plane.apply(mesh(ONE)).unwrap();
        assert_eq!(names(&cluster(&outbound)), ["127.0.0.1:1"]);
        drop(before);
    }

    #[tokio::test]
    async fn another_way_is_another_cluster() {
        for changed in ["concurrency: { connections: 5 }", "protocol: http2", "health_check: { path: /up }"] {
            let (plane, outbound) = world(ONE);
            let before = cluster(&outbound);

            plane.apply(mesh(&format!("{ONE}, {changed}"))).unwrap();

            assert!(!cluster(&outbound).balancer.members()[0].is(&before.balancer.members()[0]), "{changed}");
        }
    }

    #[tokio::test]
    async fn a_service_that_went_is_forgotten() {
        let (plane, outbound) = world(ONE);
        drop(cluster(&outbound));
        assert_eq!(outbound.stack().clusters().len(), 1);

        plane.apply(mesh("")).unwrap();

        assert!(outbound.stack().clusters().is_empty());
    }
}
