//! What is told of replicas, proxies and their calls: put together from what all replicas report.

use std::collections::{BTreeMap, BTreeSet};

use base::Result;
use mesh::steer::Edge;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::Control;
use crate::demand::Demand;
use crate::resources;
use crate::status::{Proxy, add, quantile};

/// Replicas count as there for this long after they said something.
const RECENT_SECONDS: f64 = 20.0;

/// The whole of a mesh at a glance.
#[derive(Serialize)]
pub(super) struct Status {
    trust_domain: String,
    revision: i64,
    replicas: Vec<Replica>,
    proxies: Vec<Proxy>,
}

#[derive(Serialize)]
struct Replica {
    id: Uuid,
    /// Whether it is the one that answers.
    is_this: bool,
    seconds_ago: f64,
    proxies: usize,
}

/// What applying did, or would do.
#[derive(Serialize)]
pub(super) struct Applied {
    /// The revision in force.
    pub(super) revision: i64,
    pub(super) changes: Vec<Change>,
}

/// One document that changed.
#[derive(Serialize)]
pub(super) struct Change {
    document: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Value>,
}

impl Change {
    pub(super) fn of(change: resources::Change<'_>) -> Change {
        Change { document: change.key.to_string(), from: change.from.cloned(), to: change.to.cloned() }
    }
}

/// One edge of the service graph over the last minute.
#[derive(Serialize)]
pub(super) struct EdgeLine {
    source: String,
    destination: String,
    route: String,
    /// `outbound`: as the caller saw it; `inbound`: as the callee did.
    side: String,
    requests_per_second: f64,
    /// 0 to 1.
    success: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// The identities that proved themselves to each other.
    source_identity: String,
    destination_identity: String,
}

impl Control {
    pub(super) async fn status(&self) -> Result<Status> {
        let reports = self.0.store.reports(RECENT_SECONDS).await?;
        let replicas = reports.iter().map(|(id, age, status)| Replica {
            id: *id,
            is_this: *id == self.0.replica,
            seconds_ago: *age,
            proxies: status["proxies"].as_array().map_or(0, Vec::len),
        });
        Ok(Status {
            trust_domain: self.0.config.trust_domain.clone(),
            revision: self.0.worlds.now().applied.revision,
            replicas: replicas.collect(),
            proxies: self.everywhere().await?,
        })
    }

    /// The proxies of every replica; our own as they are now.
    async fn everywhere(&self) -> Result<Vec<Proxy>> {
        let mut proxies = self.0.proxies.all();
        for (id, _, status) in self.0.store.reports(RECENT_SECONDS).await? {
            if id == self.0.replica {
                continue;
            }
            let theirs: Vec<Proxy> = serde_json::from_value(status["proxies"].clone()).unwrap_or_default();
            // one that moved here is known better here
            let is_new = |proxy: &Proxy| {
                !proxies
                    .iter()
                    .any(|known| known.instance == proxy.instance && known.service == proxy.service)
            };
            let theirs: Vec<Proxy> = theirs.into_iter().filter(is_new).collect();
            proxies.extend(theirs);
        }
        proxies.sort_by(|a, b| (&a.service, &a.instance).cmp(&(&b.service, &b.instance)));
        Ok(proxies)
    }

    /// How many processes are on other replicas' streams only.
    pub(crate) async fn elsewhere(&self, here: &BTreeSet<String>) -> usize {
        let all = self.everywhere().await.unwrap_or_default();
        let others = all.into_iter().map(|proxy| proxy.instance).filter(|instance| !here.contains(instance));
        others.collect::<BTreeSet<_>>().len()
    }

    pub(super) async fn edges(&self) -> Result<Vec<EdgeLine>> {
        let trust_domain = &self.0.config.trust_domain;
        let mut sums: BTreeMap<[String; 4], (Edge, f64)> = BTreeMap::new();
        for proxy in self.everywhere().await? {
            let seconds = (proxy.millis as f64 / 1e3).max(1.0);
            for edge in &proxy.edges {
                let key = [&edge.source, &edge.destination, &edge.route, &edge.side].map(String::clone);
                let (sum, rate) = sums.entry(key).or_insert_with(|| {
                    (Edge { requests: 0, failures: 0, latency: Vec::new(), ..edge.clone() }, 0.0)
                });
                add(sum, edge);
                *rate += edge.requests as f64 / seconds;
            }
        }
        let id = |service: &str| format!("spiffe://{trust_domain}/{service}");
        let line = |(edge, rate): (Edge, f64)| EdgeLine {
            source_identity: if edge.source.contains("://") { edge.source.clone() } else { id(&edge.source) },
            destination_identity: id(&edge.destination),
            requests_per_second: rate,
            success: 1.0 - edge.failures as f64 / edge.requests.max(1) as f64,
            p50_ms: quantile(&edge.latency, 0.5),
            p99_ms: quantile(&edge.latency, 0.99),
            source: edge.source,
            destination: edge.destination,
            route: edge.route,
            side: edge.side,
        };
        Ok(sums.into_values().map(line).collect())
    }

    /// What each service has to do, on all replicas' word.
    pub(crate) async fn demand(&self) -> Result<BTreeMap<String, Demand>> {
        let mut services: BTreeMap<String, Demand> = BTreeMap::new();
        for proxy in self.everywhere().await? {
            let demand = services.entry(proxy.service.clone()).or_default();
            demand.instances += usize::from(proxy.presence.is_some());
            demand.running += proxy.running;
            // who waits is at the caller, what it waits for is more of the service
            for (service, count) in proxy.waiting {
                services.entry(service).or_default().waiting += count;
            }
        }
        Ok(services)
    }
}
