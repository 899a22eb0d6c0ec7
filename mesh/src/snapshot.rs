//! A configuration as a request meets it: compiled once, swapped whole, never changed.
//!
//! What carries state (limits, stale answers, adaptive concurrency) passes from one snapshot to the next where its
//! configuration did not change.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use http::Method;

use crate::connect::Host;
use crate::egress::EgressRules;
use crate::identity::Identity;
use crate::matching::RouteTable;
use crate::observe::Name;
use crate::policy::Policy;
use crate::resilience::adaptive::Adaptive;
use crate::resilience::limits::Limits;
use crate::resilience::stale::StaleCache;
use crate::resource::{self, Kind, Mesh};
use crate::traffic::edit;
use crate::traffic::fault::Faults;
use crate::traffic::split::Splitter;

/// One configuration.
pub(crate) struct Snapshot {
    /// A hash of its content.
    pub(crate) version: Name,
    pub(crate) mesh: Mesh,
    pub(crate) egress: EgressRules,
    pub(crate) trust_domain: Name,
    services: HashMap<Name, Arc<Service>>,
}

/// One service.
pub(crate) struct Service {
    pub(crate) name: Name,
    pub(crate) host: Host,
    pub(crate) spec: resource::Service,
    /// The same pointer as long as the way to the service stays the same.
    pub(crate) cluster: Arc<ClusterSpec>,
    pub(crate) policy: Policy,
    /// Whether nobody talks to it any more.
    pub(crate) is_denied: bool,
    pub(crate) limits: Limits,
    pub(crate) adaptive: Option<Arc<Adaptive>>,
    table: RouteTable,
    routes: Vec<Arc<Route>>,
}

/// What a cluster is made from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClusterSpec {
    pub(crate) protocol: resource::Protocol,
    pub(crate) tls: resource::Tls,
    pub(crate) discovery: Option<resource::Discovery>,
    pub(crate) balancer: resource::Balancer,
    pub(crate) health_check: Option<resource::HealthCheck>,
    pub(crate) ejection: resource::Ejection,
    pub(crate) concurrency: resource::Concurrency,
    pub(crate) retry_budget: resource::RetryBudget,
    pub(crate) tenant_breaker: resource::TenantBreaker,
}

/// One route.
pub(crate) struct Route {
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) spec: resource::Route,
    pub(crate) split: Option<Splitter>,
    pub(crate) fault: Option<Faults>,
    /// One for each stale fallback of the route: at most one.
    pub(crate) stale: Option<StaleCache>,
}

impl Snapshot {
    /// Compiles `mesh`. What `before` has and needs no change is taken over.
    ///
    /// Errors: what cannot be, for a configuration that was not checked before.
    pub(crate) fn compile(mesh: Mesh, before: Option<&Snapshot>) -> Result<Snapshot, String> {
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&mesh).unwrap_or_default().hash(&mut hasher);
        // without routes it only calls others
        let callable = mesh.services.iter().filter(|(_, spec)| !spec.routes.is_empty());
        let services = callable.map(|(name, spec)| {
            let before = before.and_then(|snapshot| snapshot.service(name));
            let name = Name::from(name.as_str());
            let service = Service::compile(&mesh, name.clone(), spec, before.map(Arc::as_ref))?;
            Ok((name, Arc::new(service)))
        });
        let services = services.collect::<Result<_, String>>()?;
        Ok(Snapshot {
            version: format!("{:016x}", hasher.finish()).into(),
            egress: EgressRules::compile(&mesh),
            trust_domain: mesh.trust_domain.as_str().into(),
            services,
            mesh,
        })
    }

    pub(crate) fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// Whether nobody talks to `identity` any more.
    pub(crate) fn denies(&self, identity: &Identity) -> bool {
        is_denied(&self.mesh, identity)
    }
}

impl Service {
    fn compile(
        mesh: &Mesh,
        name: Name,
        spec: &resource::Service,
        before: Option<&Service>,
    ) -> Result<Service, String> {
        let cluster = ClusterSpec::of(spec);
        let same = before.filter(|before| *before.cluster == cluster).map(|before| before.cluster.clone());
        let limits = match before {
            Some(before) => before.limits.renew(&spec.limits)?,
            None => Limits::compile(&spec.limits)?,
        };
        let adaptive = before.filter(|before| before.spec.shed == spec.shed).map(|b| b.adaptive.clone());
        let routes = spec.routes.iter().map(|route| {
            let before = before.and_then(|before| before.routes.iter().find(|b| b.spec == *route));
            match before {
                Some(same) => Ok(same.clone()),
                None => Route::compile(route).map(Arc::new),
            }
        });
        let routes = routes.collect::<Result<Vec<_>, String>>()?;
        if !spec.routes.last().is_some_and(|route| route.matches.is_everything()) {
            return Err(format!("the last route of service {name} must match everything"));
        }
        Ok(Service {
            host: Host::of_service(&name).map_err(|_| format!("{name} cannot be a service's name"))?,
            cluster: same.unwrap_or_else(|| Arc::new(cluster)),
            policy: Policy::compile(mesh, &name),
            is_denied: is_denied(mesh, &Identity::new(&mesh.trust_domain, &*name)),
            limits,
            adaptive: adaptive.unwrap_or_else(|| spec.shed.as_ref().map(|s| Arc::new(Adaptive::new(s)))),
            table: RouteTable::compile(spec.routes.iter().map(|route| &route.matches)),
            routes,
            spec: spec.clone(),
            name,
        })
    }

    /// The first route that matches.
    pub(crate) fn route(&self, head: &crate::matching::Head<'_>) -> &Arc<Route> {
        let index = self.table.find(head).expect("the last route matches everything");
        &self.routes[index]
    }

    pub(crate) fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }
}

fn is_denied(mesh: &Mesh, identity: &Identity) -> bool {
    !mesh.denied.is_empty() && mesh.denied.contains(identity.as_str())
}

impl ClusterSpec {
    /// Whether endpoints are found and reached as `other` has it, so that connections to them can stay.
    pub(crate) fn is_same_way(&self, other: &ClusterSpec) -> bool {
        let found = |spec: &ClusterSpec| match &spec.discovery {
            // whose list is another one: the balancer sees what came and went
            Some(resource::Discovery::Static(_)) => Some(resource::Discovery::Static(Vec::new())),
            other => other.clone(),
        };
        let way = |spec: &ClusterSpec| {
            (spec.protocol, spec.tls, spec.concurrency.connections, spec.health_check.clone(), found(spec))
        };
        way(self) == way(other)
    }

    fn of(service: &resource::Service) -> ClusterSpec {
        let service = service.clone();
        ClusterSpec {
            protocol: service.protocol,
            tls: service.tls,
            discovery: service.discovery,
            balancer: service.balancer,
            health_check: service.health_check,
            ejection: service.ejection,
            concurrency: service.concurrency,
            retry_budget: service.retry_budget,
            tenant_breaker: service.tenant_breaker,
        }
    }
}

impl Route {
    fn compile(spec: &resource::Route) -> Result<Route, String> {
        edit::check(&spec.request_headers)?;
        edit::check(&spec.response_headers)?;
        spec.rewrite.as_ref().map(edit::check_rewrite).transpose()?;
        spec.redirect.as_ref().map(edit::check_redirect).transpose()?;
        let stale = spec.fallback.iter().find_map(|fallback| match fallback {
            resource::Fallback::Stale(stale) => Some(StaleCache::new(stale)),
            _ => None,
        });
        Ok(Route {
            name: spec.name.as_str().into(),
            kind: spec.kind,
            split: spec.split.as_ref().map(Splitter::compile).transpose()?,
            fault: spec.fault.as_ref().map(Faults::compile).transpose()?,
            stale,
            spec: spec.clone(),
        })
    }

    /// Whether an exchange may go on for long after its head.
    pub(crate) fn lasts(&self) -> bool {
        !matches!(self.kind, Kind::Unary { .. })
    }

    /// Whether a request of `method` does no harm when it is processed twice (RFC 9110 §9.2.2).
    pub(crate) fn is_idempotent(&self, method: &Method) -> bool {
        self.spec.idempotent.unwrap_or_else(|| method.is_idempotent())
    }
}
