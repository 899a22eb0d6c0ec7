//! The workloads of one proxy under one control plane.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base::error::BAD_REQUEST;
use base::{Clock, Random, Result};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Replicas;
use super::directory::Directory;
use super::held::Held;
use super::identify::Joining;
use super::renew::Keeper;
use super::tally::Tally;
use super::{FromProxy, Presence, stream};
use crate::DataPlane;
use crate::balance::Dice;
use crate::discover::Resolve;
use crate::identity::Credentials;
use crate::observe::tap::Tap;
use crate::observe::{Event, Name, Observer};
use crate::resource::{self, Mesh};
use crate::sidecar::Sidecar;

/// The pauses between two tries to reach the control plane.
pub(super) const RETRY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// How long a start waits for news if there is something on disk to start from.
const NEWS: Duration = Duration::from_secs(3);
/// How long a leave is waited for.
const LEAVE: Duration = Duration::from_secs(1);

/// What a proxy needs to find its control plane.
pub struct Bootstrap {
    /// The proxy, with its section `control`.
    pub sidecar: resource::Sidecar,
    /// The wall clock.
    pub clock: Clock,
    /// Where the dice, keys and ids come from.
    pub random: Random,
    /// Where events go.
    pub observer: Observer,
}

/// The workloads of a proxy, each with its stream. Clones are the same.
#[derive(Clone)]
pub struct Agents(Arc<Shared>);

pub(super) struct Shared {
    sidecar: resource::Sidecar,
    trust_domain: String,
    instance: String,
    workloads: Vec<Arc<Workload>>,
    pub(super) directory: Directory,
    tally: Tally,
    /// By workload. Locked while a push is taken, so that two are never taken at once.
    held: Mutex<BTreeMap<Name, Held>>,
    attached: Mutex<Option<Attached>>,
    observer: Observer,
    dice: Dice,
    ended: CancellationToken,
    tasks: TaskTracker,
}

/// The proxy, once it runs.
#[derive(Clone)]
pub(super) struct Attached {
    pub(super) apply: Arc<dyn Fn(Mesh) -> Result<()> + Send + Sync>,
    plane: DataPlane,
    pub(super) tap: Tap,
}

/// One workload.
pub(super) struct Workload {
    pub(super) service: Name,
    pub(super) keeper: Keeper,
    /// How it is found: `None` if it is not to be.
    pub(super) presence: watch::Sender<Option<Advertised>>,
    pub(super) left: watch::Sender<bool>,
    /// Whether everything that it should have was pushed once.
    pub(super) complete: watch::Sender<bool>,
}

/// Where peers find a workload.
#[derive(Clone, Debug)]
pub(super) struct Advertised {
    /// `None` for the address under which this machine reaches the control plane.
    ip: Option<IpAddr>,
    port: u16,
    zone: Option<String>,
}

impl Workload {
    /// What it says of its place, seen from `local`.
    pub(super) fn presence_at(&self, local: IpAddr) -> FromProxy {
        match &*self.presence.borrow() {
            None => FromProxy::Leaves,
            Some(Advertised { ip, port, zone }) => {
                let address = std::net::SocketAddr::new(ip.unwrap_or(local), *port).to_string();
                FromProxy::Serves(Presence { address, zone: zone.clone(), weight: 1 })
            }
        }
    }
}

impl Agents {
    /// Joins what has not joined, and waits until there is a configuration to begin with: what the control plane pushes,
    /// or after a while what was kept on disk. Without either it waits for the control plane.
    ///
    /// Errors: a token or a folder cannot be read, or the tokens are for different trust domains.
    pub async fn start(given: Bootstrap) -> Result<Agents> {
        let Bootstrap { sidecar, clock, random, observer } = given;
        let control = sidecar.control.clone();
        let control = control.ok_or_else(|| BAD_REQUEST.error("the proxy has no section control"))?;
        let dice = Dice::new(u64::from_le_bytes(random.bytes()));
        let mut workloads = Vec::new();
        let mut held = BTreeMap::new();
        for workload in &sidecar.workloads {
            let joining = Joining { control: &control, clock: &clock, observer: &observer, dice: &dice };
            let (keeper, resources) = joining.workload(workload).await?;
            let service = Name::from(workload.service.as_str());
            held.insert(service.clone(), resources);
            workloads.push(Arc::new(Workload {
                service,
                keeper,
                presence: watch::Sender::new(None),
                left: watch::Sender::new(false),
                complete: watch::Sender::new(false),
            }));
        }
        let trust_domain = one_trust_domain(&workloads)?;
        let agents = Agents(Arc::new(Shared {
            sidecar,
            trust_domain,
            instance: random.uuid().to_string(),
            workloads,
            directory: Directory::new(held.values().flat_map(Held::all_endpoints).collect::<Vec<_>>()),
            tally: Tally::new(),
            held: Mutex::new(held),
            attached: Mutex::new(None),
            observer,
            dice,
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }));
        agents.begin(&control.addresses);
        agents.first_news().await;
        Ok(agents)
    }

    fn begin(&self, addresses: &[String]) {
        for workload in &self.0.workloads {
            let (shared, one) = (self.0.clone(), workload.clone());
            let replicas = Replicas::new(addresses, shared.dice.next());
            self.0.tasks.spawn(async move { shared.follow(&one, replicas).await });
            let (shared, one) = (self.0.clone(), workload.clone());
            self.0.tasks.spawn(async move { one.keeper.keep(&shared.dice, shared.ended.clone()).await });
        }
    }

    async fn first_news(&self) {
        for workload in &self.0.workloads {
            let has_last_good = self.0.held().get(&workload.service).is_some_and(|held| !held.is_empty());
            let mut complete = workload.complete.subscribe();
            let news = complete.wait_for(|complete| *complete);
            if has_last_good {
                let _ = timeout(NEWS, news).await;
            } else {
                let _ = news.await;
            }
        }
    }

    /// The configuration as it is known now, for the proxy to begin with.
    pub fn mesh(&self) -> Mesh {
        let held = self.0.held();
        self.0.composed(&held)
    }

    /// Who the workloads are, by service.
    pub fn identities(&self) -> HashMap<String, Credentials> {
        let one = |one: &Arc<Workload>| (one.service.to_string(), one.keeper.credentials.clone());
        self.0.workloads.iter().map(one).collect()
    }

    /// Where services are.
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::new(self.0.directory.clone())
    }

    /// Adds up what the control plane is told of calls.
    pub fn observer(&self) -> Observer {
        self.0.tally.observer()
    }

    /// Has `proxy` take each configuration from now on, the one that is known first, and tells of its load.
    pub fn attach(&self, proxy: &Sidecar) {
        let held = self.0.held();
        let attached = Attached {
            apply: Arc::new(proxy.applier()),
            plane: proxy.plane().clone(),
            tap: proxy.tap().clone(),
        };
        // what was pushed between the start and now; what cannot be applied is told by who applies
        let _ = (attached.apply)(self.0.composed(&held));
        for workload in &self.0.workloads {
            let identity = workload.keeper.identity.clone();
            let expires_at = workload.keeper.credentials.expires_at();
            self.0.observer.observe(&Event::CertificateLoaded { identity, expires_at });
        }
        *self.0.attached.lock().expect("no holder of this lock panics") = Some(attached);
    }

    /// Has the workloads that have programs found by others, at `port` of the inbound door.
    pub fn announce(&self, port: u16) {
        let control = self.0.sidecar.control.as_ref();
        let ip = control.and_then(|control| control.advertise).map(|address| address.ip());
        let port = control.and_then(|control| control.advertise).map_or(port, |address| address.port());
        for (workload, spec) in self.0.workloads.iter().zip(&self.0.sidecar.workloads) {
            if spec.program.is_some() {
                workload.left.send_replace(false);
                workload.presence.send_replace(Some(Advertised {
                    ip,
                    port,
                    zone: self.0.sidecar.zone.clone(),
                }));
            }
        }
    }

    /// Has nobody find them any more; returns when that is known, or after a second.
    pub async fn leave(&self) {
        let left = self.0.workloads.iter().filter(|workload| workload.presence.borrow().is_some());
        let left = left.map(async |workload| {
            workload.presence.send_replace(None);
            let _ = timeout(LEAVE, workload.left.subscribe().wait_for(|left| *left)).await;
        });
        futures_util::future::join_all(left).await;
    }

    /// Ends the streams.
    pub async fn end(&self) {
        self.0.ended.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

fn one_trust_domain(workloads: &[Arc<Workload>]) -> Result<String> {
    let mut domains = workloads.iter().map(|workload| workload.keeper.identity.trust_domain());
    let first = domains.next().ok_or_else(|| BAD_REQUEST.error("the proxy names no workload"))?;
    match domains.find(|domain| *domain != first) {
        Some(other) => {
            Err(BAD_REQUEST.error(format!("the workloads are of two trust domains, {first} and {other}")))
        }
        None => Ok(first.to_owned()),
    }
}

impl Shared {
    async fn follow(self: &Arc<Self>, workload: &Arc<Workload>, mut replicas: Replicas) {
        let mut pause = RETRY[0];
        while !self.ended.is_cancelled() {
            let Some(address) = replicas.next() else { return };
            let begun = Instant::now();
            let followed = self.ended.run_until_cancelled(stream::follow(self, workload, &address)).await;
            let Some(reason) = followed else { return };
            self.observer.observe(&Event::ControlLost { service: workload.service.clone(), detail: reason });
            if begun.elapsed() > RETRY[1] {
                pause = RETRY[0];
            }
            let jittered = pause.mul_f64(0.5 + self.dice.unit());
            if self.ended.run_until_cancelled(tokio::time::sleep(jittered)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(RETRY[1]);
        }
    }

    pub(super) fn hello(&self, workload: &Workload) -> FromProxy {
        let held = self.held();
        let versions = held.get(&workload.service).map(Held::versions).unwrap_or_default();
        FromProxy::Hello { instance: self.instance.clone(), versions }
    }

    pub(super) fn summary(&self, workload: &Workload, now: Instant) -> FromProxy {
        let attached = self.attached();
        let load = attached.map(|attached| attached.plane.load(&workload.service)).unwrap_or_default();
        FromProxy::Saw(self.tally.take(&workload.service, load, now))
    }

    pub(super) fn attached(&self) -> Option<Attached> {
        self.attached.lock().expect("no holder of this lock panics").clone()
    }

    pub(super) fn composed(&self, all: &BTreeMap<Name, Held>) -> Mesh {
        let mut mesh = Mesh { sidecar: Some(self.sidecar.clone()), ..Mesh::of(&self.trust_domain) };
        all.values().for_each(|held| held.add_to(&mut mesh));
        mesh
    }

    pub(super) fn held(&self) -> MutexGuard<'_, BTreeMap<Name, Held>> {
        self.held.lock().expect("no holder of this lock panics")
    }
}
