//! Everything as this replica knows it, and how it keeps up with the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::Result;
use base::secret::sha256_hex;
use futures_util::FutureExt;
use mesh::resource::{self, Fallback, Mesh};
use mesh::steer::{Endpoint, Globals, Resource};
use serde::Serialize;
use tokio::sync::watch;

use crate::Control;
use crate::leases::{PATIENCE, within};
use crate::store::{Registered, Store};

/// How long changes are collected before they are looked at: many come at once.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// How often the store is asked although nothing was told.
const RESYNC: Duration = Duration::from_secs(5);

/// What is in force.
pub(crate) struct World {
    pub(crate) applied: Arc<Applied>,
    /// By service.
    pub(crate) endpoints: BTreeMap<String, Arc<Resource>>,
    pub(crate) registered: Vec<Registered>,
    pub(crate) globals: Arc<Resource>,
    pub(crate) denied: Vec<String>,
}

/// A revision, ready to be pushed.
pub(crate) struct Applied {
    pub(crate) revision: i64,
    pub(crate) mesh: Mesh,
    /// By service.
    pub(crate) services: BTreeMap<String, Arc<Resource>>,
    pub(crate) telemetry: Arc<Resource>,
    /// Caller → the services that let it in and those that stand in for them.
    callable: HashMap<String, BTreeSet<String>>,
}

impl World {
    pub(crate) async fn load(store: &Store, trust_domain: &str) -> Result<World> {
        let applied = Applied::load(store, trust_domain).await?;
        World::with(Arc::new(applied), store).await
    }

    /// The same revision, with who is there and who is denied as the store has it now.
    async fn with(applied: Arc<Applied>, store: &Store) -> Result<World> {
        let (denied, registered) = (store.denied().await?, store.endpoints().await?);
        let globals =
            Globals { asserts: applied.mesh.asserts.clone(), denied: denied.iter().cloned().collect() };
        let endpoints = endpoints(&registered);
        Ok(World { globals: pushed(&globals), endpoints, registered, denied, applied })
    }
}

impl Applied {
    async fn load(store: &Store, trust_domain: &str) -> Result<Applied> {
        let latest = store.latest().await?;
        let composed = latest.resources.compose(trust_domain);
        for (key, reason) in &composed.left_out {
            tracing::warn!(%key, reason, "a document is left out");
        }
        let mesh = composed.mesh;
        let services = mesh.services.iter().map(|(name, service)| (name.clone(), pushed(service)));
        Ok(Applied {
            revision: latest.id,
            services: services.collect(),
            telemetry: pushed(&mesh.telemetry),
            callable: callable(&mesh),
            mesh,
        })
    }

    /// The services that `caller` may call, and those that stand in for them.
    pub(crate) fn callable(&self, caller: &str) -> impl Iterator<Item = &String> {
        self.callable.get(caller).into_iter().flatten()
    }
}

/// A resource with the version that its content has.
pub(crate) fn pushed(body: &impl Serialize) -> Arc<Resource> {
    let body = serde_json::to_value(body).expect("a configuration is JSON");
    let version = sha256_hex(body.to_string())[..16].to_owned();
    Arc::new(Resource { version, body })
}

fn endpoints(registered: &[Registered]) -> BTreeMap<String, Arc<Resource>> {
    let mut sets: BTreeMap<String, Vec<&Endpoint>> = BTreeMap::new();
    for one in registered {
        sets.entry(one.service.clone()).or_default().push(&one.presence);
    }
    sets.into_iter().map(|(service, set)| (service, pushed(&set))).collect()
}

/// The service graph as policy has it: nobody needs to know of what it may not call.
fn callable(mesh: &Mesh) -> HashMap<String, BTreeSet<String>> {
    let mut callable: HashMap<String, BTreeSet<String>> = HashMap::new();
    for (name, service) in &mesh.services {
        let mut all = BTreeSet::from([name.clone()]);
        stand_ins(mesh, service, &mut all);
        let named = service.policies.iter().flat_map(|policy| &policy.from);
        for caller in service.callers.iter().chain(named) {
            // an id of our own trust domain is its service's name; others are not steered by us
            let own = format!("spiffe://{}/", mesh.trust_domain);
            let caller = caller.strip_prefix(&own).unwrap_or(caller);
            callable.entry(caller.to_owned()).or_default().extend(all.iter().cloned());
        }
        // who tries a policy out lets everybody in
        if service.dry_run {
            mesh.services.keys().for_each(|caller| {
                callable.entry(caller.clone()).or_default().extend(all.iter().cloned());
            });
        }
    }
    callable
}

/// The services that a service's requests may go to instead.
fn stand_ins(mesh: &Mesh, service: &resource::Service, all: &mut BTreeSet<String>) {
    for route in &service.routes {
        let split = route.split.iter().flat_map(|split| &split.to).map(|to| &to.service);
        let mirror = route.mirror.iter().map(|mirror| &mirror.service);
        let fallback = route.fallback.iter().filter_map(|fallback| match fallback {
            Fallback::Service(name) => Some(name),
            _ => None,
        });
        for name in split.chain(mirror).chain(fallback) {
            if all.insert(name.clone())
                && let Some(service) = mesh.services.get(name)
            {
                stand_ins(mesh, service, all);
            }
        }
    }
}

/// The world, swapped whole; streams are told.
pub(crate) struct Worlds {
    world: ArcSwap<World>,
    changes: watch::Sender<()>,
}

impl Worlds {
    pub(crate) fn new(world: World) -> Worlds {
        Worlds { world: ArcSwap::from_pointee(world), changes: watch::Sender::new(()) }
    }

    pub(crate) fn now(&self) -> Arc<World> {
        self.world.load_full()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn set(&self, world: World) {
        let now = self.now();
        let is_same = now.applied.revision == world.applied.revision
            && now.denied == world.denied
            && now.registered == world.registered;
        if !is_same {
            self.world.store(Arc::new(world));
            self.touch();
        }
    }

    /// Has every stream look again.
    pub(crate) fn touch(&self) {
        self.changes.send_replace(());
    }
}

/// Follows what any replica changes. While the store is away everything stays as it is known.
pub(crate) async fn follow(control: Control) {
    loop {
        if let Err(error) = follow_once(&control).await {
            control.0.ready.send_if_modified(|ready| std::mem::replace(ready, false));
            tracing::warn!(error = %base::error::chain(&error), "the store does not answer");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn follow_once(control: &Control) -> Result<()> {
    use base::error::OrInternal;
    let mut changes = within(PATIENCE, control.0.store.changes()).await?;
    loop {
        // after each begin too: what was told while nobody listened is lost
        within(2 * PATIENCE, control.look_again()).await?;
        control.0.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
        if let Ok(told) = tokio::time::timeout(RESYNC, changes.try_recv()).await {
            told.or_internal()?.ok_or_else(|| base::Error::internal("the connection broke"))?;
            tokio::time::sleep(DEBOUNCE).await;
            // one look is enough for all that was told meanwhile
            while let Some(told) = changes.try_recv().now_or_never() {
                told.or_internal()?.ok_or_else(|| base::Error::internal("the connection broke"))?;
            }
        }
    }
}

impl Control {
    /// Takes everything as the store has it now.
    pub(crate) async fn look_again(&self) -> Result<()> {
        let store = &self.0.store;
        let now = self.0.worlds.now();
        let world = match store.latest_id().await? == now.applied.revision {
            true => World::with(now.applied.clone(), store).await?,
            false => World::load(store, &self.0.config.trust_domain).await?,
        };
        self.0.worlds.set(world);
        if self.0.authority.refresh().await? {
            self.0.worlds.touch();
        }
        Ok(())
    }
}

#[cfg(test)]
impl World {
    /// A world with the mesh of `text` and nobody in it.
    pub(crate) fn of(text: &str) -> World {
        let mesh = Mesh::parse(text).expect("a test's mesh is good");
        let (services, telemetry) = (BTreeMap::new(), pushed(&mesh.telemetry));
        let applied = Applied { revision: 1, services, telemetry, callable: callable(&mesh), mesh };
        let (endpoints, globals) = (BTreeMap::new(), pushed(&Globals::default()));
        World { applied: Arc::new(applied), endpoints, registered: Vec::new(), globals, denied: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_of_what_it_may_not_call() {
        let mesh = Mesh::parse(
            "trust_domain: t
services:
  web: {}
  other: {}
  cache: { routes: [{ kind: unary, deadline_ms: 1 }] }
  deep: { routes: [{ kind: unary, deadline_ms: 1 }] }
  data:
    callers: [web]
    policies: [{ from: ['spiffe://t/other', 'spiffe://far/away'], match: { exact: /x } }]
    routes:
      - { kind: unary, deadline_ms: 1, fallback: [{ service: cache }] }",
        );
        let mut mesh = mesh.unwrap();
        let deep = Fallback::Service("deep".to_owned());
        mesh.services.get_mut("cache").unwrap().routes[0].fallback.push(deep);

        let callable = callable(&mesh);

        let all = BTreeSet::from(["cache", "data", "deep"].map(str::to_owned));
        assert_eq!(callable["web"], all);
        assert_eq!(callable["other"], all);
        assert!(!callable.contains_key("data") && !callable.contains_key("cache"));
    }

    #[test]
    fn a_version_is_its_content() {
        assert_eq!(pushed(&"a").version, pushed(&"a").version);
        assert_ne!(pushed(&"a").version, pushed(&"b").version);
    }
}
