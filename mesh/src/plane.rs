//! The data plane of one process: the configuration in force, the services that are in this process, the observer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use arc_swap::{ArcSwap, Guard};
use base::{Clock, Random, Result};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::balance::Dice;
use crate::blame::Blame;
use crate::discover::Resolve;
use crate::identity::Credentials;
use crate::observe::trace::Sampling;
use crate::observe::{Event, Name, Observer, Reason, Side};
use crate::outbound::Stack;
use crate::resource::{INVALID_MESH, Mesh};
use crate::snapshot::Snapshot;
use crate::{Inbound, Outbound};

/// The data plane. Cheap to clone.
#[derive(Clone)]
pub struct DataPlane(pub(crate) Arc<Plane>);

pub(crate) struct Plane {
    snapshot: ArcSwap<Snapshot>,
    /// Changes with the snapshot: who holds a connection judges it anew.
    changes: watch::Sender<()>,
    locals: ArcSwap<HashMap<Name, Inbound>>,
    /// The callers, each of which keeps ways to services.
    callers: Mutex<Vec<Weak<Stack>>>,
    /// By service, the requests and connections that its program here has.
    programs: Mutex<HashMap<Name, TaskTracker>>,
    pub(crate) parts: Parts,
    pub(crate) blame: Blame,
    pub(crate) dice: Dice,
    /// Connections that left HTTP.
    pub(crate) joined: TaskTracker,
}

/// How much a service has to do at one moment, as its proxy sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests and connections that its program has; of a service without one, its own calls under way.
    pub running: usize,
    /// Its calls that wait for a place, by the service that they are for.
    pub waiting: BTreeMap<String, usize>,
}

/// What a data plane is given.
pub struct Parts {
    /// Where events go.
    pub observer: Observer,
    /// The wall clock, for limits.
    pub clock: Clock,
    /// Where this process is.
    pub zone: Option<Name>,
    /// Whether exchanges are spans.
    pub sampling: Sampling,
    /// Finds services that no list and no name gives.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// Where the dice start.
    pub seed: u64,
}

impl Parts {
    /// Events to `observer`, nothing else.
    pub fn new(observer: Observer, clock: Clock, random: &Random) -> Parts {
        let seed = u64::from_le_bytes(random.bytes());
        Parts { observer, clock, zone: None, sampling: Sampling::default(), resolver: None, seed }
    }
}

impl DataPlane {
    /// A data plane with `mesh` in force.
    ///
    /// Errors: what of it cannot be; never for what [`Mesh::parse`] let pass.
    pub fn new(mesh: Mesh, parts: Parts) -> Result<DataPlane> {
        let snapshot = Snapshot::compile(mesh, None).map_err(invalid)?;
        parts.observer.observe(&Event::ConfigApplied { version: snapshot.version.clone() });
        Ok(DataPlane(Arc::new(Plane {
            snapshot: ArcSwap::from_pointee(snapshot),
            changes: watch::Sender::new(()),
            locals: ArcSwap::default(),
            callers: Mutex::default(),
            programs: Mutex::default(),
            dice: Dice::new(parts.seed),
            blame: Blame::default(),
            joined: TaskTracker::new(),
            parts,
        })))
    }

    /// Puts `mesh` in force in the place of the configuration before: requests under way keep what they began with,
    /// live connections are judged anew.
    ///
    /// Errors: as [`DataPlane::new`]; then nothing changes.
    pub fn apply(&self, mesh: Mesh) -> Result<()> {
        let next = Snapshot::compile(mesh, Some(&self.0.snapshot())).map_err(|detail| {
            self.0.parts.observer.observe(&Event::ConfigRejected { detail: detail.clone() });
            invalid(detail)
        })?;
        let version = next.version.clone();
        self.0.snapshot.store(Arc::new(next));
        self.0.changes.send_replace(());
        self.0.callers().iter().filter_map(Weak::upgrade).for_each(|stack| stack.settle());
        self.0.parts.observer.observe(&Event::ConfigApplied { version });
        Ok(())
    }

    /// The configuration in force.
    pub fn mesh(&self) -> Mesh {
        self.0.snapshot().mesh.clone()
    }

    /// The version of the configuration in force: a hash of its content.
    pub fn version(&self) -> Name {
        self.0.snapshot().version.clone()
    }

    /// The outbound stack of `source`, a service's name, which proves its identity with `credentials` if it has any.
    pub fn outbound(&self, source: &str, credentials: Option<Credentials>) -> Outbound {
        Outbound::new(self.clone(), source, credentials)
    }

    /// How much `service` has to do now.
    pub fn load(&self, service: &str) -> Load {
        let mut load = Load::default();
        let callers: Vec<_> = self.0.callers().iter().filter_map(Weak::upgrade).collect();
        for stack in callers.iter().filter(|stack| &*stack.source == service) {
            for cluster in stack.clusters() {
                let (running, waiting) = cluster.gate.load();
                load.running += running;
                if waiting > 0 {
                    *load.waiting.entry(cluster.name.to_string()).or_default() += waiting;
                }
            }
        }
        if let Some(program) = self.0.programs().get(service) {
            load.running = program.len();
        }
        load
    }

    /// Puts the inbound stack before a service in this process, and lets others find it.
    pub fn serve_locally<S>(&self, name: &str, service: S) -> Inbound
    where
        S: tower::Service<base::Request, Response = base::Response, Error = std::convert::Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let inbound = Inbound::local(self.clone(), name, service);
        self.0.locals.rcu(|locals| {
            let mut locals = HashMap::clone(locals);
            locals.insert(name.into(), inbound.clone());
            locals
        });
        inbound
    }
}

fn invalid(detail: String) -> base::Error {
    INVALID_MESH.error(detail)
}

impl Plane {
    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Has a caller's ways follow the configuration for as long as the caller lives.
    pub(crate) fn follow(&self, stack: Weak<Stack>) {
        let mut callers = self.callers();
        callers.retain(|caller| caller.strong_count() > 0);
        callers.push(stack);
    }

    fn callers(&self) -> MutexGuard<'_, Vec<Weak<Stack>>> {
        self.callers.lock().expect("no holder of this lock panics")
    }

    /// Counts what the program of `service` has.
    pub(crate) fn program(&self, service: &Name) -> TaskTracker {
        self.programs().entry(service.clone()).or_default().clone()
    }

    fn programs(&self) -> MutexGuard<'_, HashMap<Name, TaskTracker>> {
        self.programs.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn local(&self, service: &str) -> Option<Inbound> {
        self.locals.load().get(service).cloned()
    }

    /// Tells that something was turned away at a door.
    pub(crate) fn refused(&self, side: Side, service: &Name, reason: Reason) {
        self.observe(&Event::Refused { side, service: service.clone(), reason });
    }

    pub(crate) fn observe(&self, event: &Event) {
        self.parts.observer.observe(event);
    }
}
