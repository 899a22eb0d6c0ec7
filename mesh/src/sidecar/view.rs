//! What the admin socket shows of a running proxy.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Outbound;
use crate::admin::{self, Handles, LogLevel};
use crate::observe::metrics::Metrics;
use crate::observe::tap::Tap;
use crate::outbound::Cluster;
use crate::plane::DataPlane;
use crate::snapshot::Service;

type Drain = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// A proxy as it is looked at.
#[derive(Clone)]
pub(super) struct View {
    plane: DataPlane,
    outbounds: Arc<[Outbound]>,
}

impl View {
    pub(super) fn new(plane: DataPlane, outbounds: Vec<Outbound>) -> View {
        View { plane, outbounds: outbounds.into() }
    }

    pub(super) fn handles(self, metrics: Metrics, tap: Tap, drain: Drain, log_level: LogLevel) -> Handles {
        let (config, endpoints, routes, stats) = (self.clone(), self.clone(), self.clone(), self);
        Handles {
            config: Arc::new(move || admin::config(&config.plane.version(), &config.plane.mesh())),
            endpoints: Arc::new(move || endpoints.endpoints()),
            routes: Arc::new(move || routes.routes()),
            stats: Arc::new(move || stats.stats(&metrics)),
            tap,
            drain,
            log_level,
        }
    }

    /// What is counted, and what is under way now.
    pub(super) fn stats(&self, metrics: &Metrics) -> String {
        for outbound in self.outbounds.iter() {
            let stack = outbound.stack();
            for cluster in stack.clusters() {
                let (running, waiting) = cluster.gate.load();
                metrics.set_concurrency(&cluster.name, &stack.source, running, waiting);
            }
        }
        for service in self.plane.0.snapshot().services() {
            if let Some(adaptive) = &service.adaptive {
                metrics.set_adaptive_limit(&service.name, adaptive.limit());
            }
        }
        metrics.render()
    }

    /// Caller → service → endpoints, of the services that were called so far.
    fn endpoints(&self) -> Value {
        let callers = self.outbounds.iter().map(|outbound| {
            let stack = outbound.stack();
            let clusters = stack.clusters();
            let services = clusters.iter().map(|cluster| (cluster.name.to_string(), endpoints(cluster)));
            (stack.source.to_string(), Value::Object(services.collect()))
        });
        Value::Object(callers.collect())
    }

    fn routes(&self) -> Value {
        let snapshot = self.plane.0.snapshot();
        let services = snapshot.services().map(|service| (service.name.to_string(), routes(service)));
        Value::Object(services.collect())
    }
}

fn endpoints(cluster: &Cluster) -> Value {
    let (members, now) = (cluster.balancer.members(), Instant::now());
    let endpoints: Vec<Value> = members
        .iter()
        .map(|member| {
            let found = member.found();
            json!({
                "address": &**member.key(),
                "zone": found.zone.as_deref(),
                "weight": found.weight,
                "priority": found.priority,
                "usable": member.is_usable(),
                "in_flight": member.in_flight(),
                "latency_ms": member.latency().map(|latency| latency.as_secs_f64() * 1e3),
                "ejected_for_ms": member.ejected_for(now).map(|left| left.as_millis()),
            })
        })
        .collect();
    let (running, waiting) = cluster.gate.load();
    json!({ "endpoints": endpoints, "running": running, "waiting": waiting })
}

fn routes(service: &Service) -> Value {
    let routes = service
        .routes()
        .iter()
        .map(|route| admin::redacted(serde_json::to_value(&route.spec).unwrap_or_default()));
    json!({
        "routes": routes.collect::<Vec<_>>(),
        "callers": service.spec.callers,
        "policies": service.spec.policies,
        "dry_run": service.spec.dry_run,
    })
}
