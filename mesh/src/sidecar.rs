//! One proxy beside one or more programs: its doors, its probes, and how it stops.
//!
//! Order of a stop: not ready → (who finds us through a registry is told) → a while of serving on → no new connections of
//! peers, `GOAWAY` and `Connection: close` on those that are open → what is in flight ends → the programs are stopped,
//! which may call others until they are → the programs' own doors close.

mod probes;
mod view;
mod workload;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base::error::BAD_REQUEST;
use base::serve::{Listener, accept_each};
use base::{Clock, Random, Result, Secret};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin;
use crate::discover::Resolve;
use crate::identity::Credentials;
use crate::listen::{Behind, InboundDoor, OutboundDoor, Peers};
use crate::observe::metrics::Metrics;
use crate::observe::recording::Recording;
use crate::observe::tap::Tap;
use crate::observe::{Event, Observer};
use crate::plane::{DataPlane, Parts};
use crate::resource::{self, Listen, Mesh};
use crate::{Inbound, Outbound};
pub use probes::Phase;
use view::View;
use workload::Identities;

/// How often idle series are looked for.
const EXPIRE: Duration = Duration::from_secs(60);
/// How long what was recorded may take to leave at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// What a proxy is given beside its configuration.
pub struct Given {
    /// The wall clock.
    pub clock: Clock,
    /// Where the dice start.
    pub random: Random,
    /// Who the programs are, by service, if that is not in files that the configuration names.
    pub identities: Option<HashMap<String, Credentials>>,
    /// Finds services that no list and no name gives.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// Where events go beside metrics, tap and log.
    pub observer: Observer,
    /// Reads and changes the filter of the log.
    pub log_level: admin::LogLevel,
}

/// A running proxy.
pub struct Sidecar {
    plane: DataPlane,
    sidecar: resource::Sidecar,
    phase: watch::Sender<Phase>,
    /// Told to stop, by a signal or through the admin socket.
    asked: CancellationToken,
    /// No new connections of peers.
    closing: CancellationToken,
    /// No new calls of the programs.
    hushing: CancellationToken,
    /// Everything else ends.
    ended: CancellationToken,
    inbound: TaskTracker,
    outbound: TaskTracker,
    rest: TaskTracker,
    metrics: Metrics,
    tap: Tap,
    recording: Recording,
    addresses: Addresses,
}

/// Where a proxy listens, by what was asked for: port 0 became a free one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Addresses {
    /// Where peers come in.
    pub inbound: Option<String>,
    /// Where each program hands over its calls.
    pub outbound: BTreeMap<String, Vec<String>>,
    /// Where the probes are.
    pub probes: Option<String>,
    /// Where Prometheus reads.
    pub metrics: Option<String>,
}

impl Sidecar {
    /// Binds every door and serves. The programs behind it may still be starting.
    ///
    /// Errors: what of the configuration, a file, or a port is not as it must be.
    pub async fn start(mesh: Mesh, given: Given) -> Result<Sidecar> {
        let sidecar = mesh.sidecar.clone();
        let sidecar = sidecar.ok_or_else(|| BAD_REQUEST.error("the configuration has no section sidecar"))?;
        let ended = CancellationToken::new();

        let (metrics, tap) = (Metrics::new(), Tap::default());
        let log = crate::observe::log(given.clock.clone());
        let (lost, dropped) = (metrics.access_lines_lost(), metrics.spans_dropped());
        let recording = Recording::new(given.clock.clone(), lost, dropped);
        let sinks = recording.prepare(&mesh.telemetry).map_err(|reason| BAD_REQUEST.error(reason))?;
        recording.change(sinks);
        let sinks = vec![metrics.observer(), tap.observer(), log, given.observer, recording.observer()];
        let observer = Observer::all(sinks);

        let mut parts = Parts::new(observer.clone(), given.clock.clone(), &given.random);
        parts.zone = sidecar.zone.as_deref().map(Into::into);
        parts.sampling = recording.sampling();
        parts.resolver = given.resolver;
        let identities = match given.identities {
            Some(identities) => Identities::given(identities),
            None => Identities::load(&mesh, &sidecar, &observer, &given.clock, &ended)?,
        };
        let plane = DataPlane::new(mesh, parts)?;

        let (phase, _) = watch::channel(Phase::Starting);
        let addresses = Addresses::default();
        let mut proxy = Sidecar {
            plane,
            sidecar,
            phase,
            asked: CancellationToken::new(),
            closing: CancellationToken::new(),
            hushing: CancellationToken::new(),
            ended,
            inbound: TaskTracker::new(),
            outbound: TaskTracker::new(),
            rest: TaskTracker::new(),
            metrics,
            tap: tap.clone(),
            recording,
            addresses,
        };
        let outbounds = proxy.open_outbound(&identities).await?;
        proxy.open_inbound(&identities).await?;
        let view = View::new(proxy.plane.clone(), outbounds);
        proxy.open_probes(&view).await?;
        proxy.open_admin(view, tap, given.log_level).await?;
        Ok(proxy)
    }

    /// The data plane, for a source of configuration.
    pub fn plane(&self) -> &DataPlane {
        &self.plane
    }

    /// Where its events are shown live.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Says what the programs are doing; the probes tell.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// A token that is cancelled when somebody asks for a stop through the admin socket; cancel it to ask for one.
    pub fn asked_to_stop(&self) -> CancellationToken {
        self.asked.clone()
    }

    /// Stops taking requests of peers and finishes what is in flight. Programs are to be stopped after it: until then
    /// they may call others.
    pub async fn drain(&self) {
        self.phase.send_if_modified(|phase| {
            // a program that is gone explains more
            let tells = *phase != Phase::ProgramGone;
            if tells {
                *phase = Phase::Draining;
            }
            tells
        });
        tokio::time::sleep(self.sidecar.lame_duck).await;
        self.closing.cancel();
        self.inbound.close();
        let _ = tokio::time::timeout(self.grace(), self.inbound.wait()).await;
        self.phase.send_replace(Phase::Drained);
    }

    /// Ends the rest: the programs' doors, probes, admin, exports.
    pub async fn end(self) {
        self.hushing.cancel();
        self.outbound.close();
        let joined = &self.plane.0.joined;
        joined.close();
        // what left HTTP has said its goodbyes when both sides are gone; the programs are by now
        let quiet = async { tokio::join!(self.outbound.wait(), joined.wait()) };
        let _ = tokio::time::timeout(self.grace(), quiet).await;
        self.tap.close();
        self.recording.flush(FLUSH).await;
        self.ended.cancel();
        self.rest.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.rest.wait()).await;
    }

    fn grace(&self) -> Duration {
        self.sidecar.grace + Duration::from_secs(1)
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    async fn open_outbound(&mut self, identities: &Identities) -> Result<Vec<Outbound>> {
        let mut outbounds = Vec::new();
        for workload in &self.sidecar.workloads {
            let credentials = identities.of(&workload.service);
            let outbound = self.plane.outbound(&workload.service, credentials);
            for listener in &workload.outbound {
                let door = OutboundDoor {
                    outbound: outbound.clone(),
                    protocol: listener.protocol,
                    to: listener.to.as_deref().map(Into::into),
                    stop: self.hushing.clone(),
                };
                let (bound, address) = bind(&listener.listen).await?;
                self.addresses.outbound.entry(workload.service.clone()).or_default().push(address);
                self.door(&self.outbound, &self.hushing, bound, move |connection, remote| {
                    door.clone().carry(connection, remote)
                });
            }
            outbounds.push(outbound);
        }
        Ok(outbounds)
    }

    async fn open_inbound(&mut self, identities: &Identities) -> Result<()> {
        let Some(address) = self.sidecar.inbound else { return Ok(()) };
        let mesh = self.plane.mesh();
        let mut services = HashMap::new();
        for workload in &self.sidecar.workloads {
            let (Some(program), Some(credentials)) = (&workload.program, identities.of(&workload.service))
            else {
                continue;
            };
            // one that nobody has told of yet is called as most are, once policy lets anybody
            let spec = mesh.services.get(&workload.service).cloned().unwrap_or_default();
            let program = workload::program(program, &workload.service, &spec, self.observer());
            let inbound = Inbound::new(self.plane.clone(), &workload.service, program);
            let behind = Behind { inbound, credentials, protocol: spec.protocol };
            services.insert(workload.service.clone(), behind);
        }
        let door = InboundDoor {
            plane: self.plane.clone(),
            services: Arc::new(services),
            peers: Peers::default(),
            stop: self.closing.clone(),
        };
        let (bound, address) = bind(&Listen::Tcp(address)).await?;
        self.addresses.inbound = Some(address);
        self.door(&self.inbound, &self.closing, bound, move |connection, remote| {
            door.clone().carry(connection, remote)
        });
        Ok(())
    }

    fn door<F, C>(&self, tasks: &TaskTracker, stop: &CancellationToken, listener: Listener, carry: F)
    where
        F: FnMut(base::serve::Connection, Option<base::serve::RemoteAddr>) -> C + Send + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        tasks.spawn(accept_each(listener, stop.clone(), self.sidecar.grace, carry));
    }

    async fn open_probes(&mut self, view: &View) -> Result<()> {
        if let Some(address) = self.sidecar.probes {
            let router = probes::router(self.phase.subscribe());
            let (bound, address) = bind(&Listen::Tcp(address)).await?;
            self.addresses.probes = Some(address);
            self.serve(bound, router);
        }
        if let Some(address) = self.sidecar.metrics {
            let (view, counted) = (view.clone(), self.metrics.clone());
            let stats = Arc::new(move || view.stats(&counted));
            let router = probes::metrics(self.metrics_token()?, stats);
            let (bound, address) = bind(&Listen::Tcp(address)).await?;
            self.addresses.metrics = Some(address);
            self.serve(bound, router);
        }
        let (metrics, ended) = (self.metrics.clone(), self.ended.clone());
        self.rest.spawn(async move {
            while tokio::time::timeout(EXPIRE, ended.cancelled()).await.is_err() {
                metrics.expire(tokio::time::Instant::now());
            }
        });
        Ok(())
    }

    /// What reading the metrics takes.
    fn metrics_token(&self) -> Result<Option<Secret>> {
        let Some(path) = &self.sidecar.metrics_token else { return Ok(None) };
        let token = std::fs::read_to_string(path).map_err(|error| {
            BAD_REQUEST.error(format!("cannot read the token of the metrics in {}: {error}", path.display()))
        })?;
        match token.trim() {
            "" => Err(BAD_REQUEST.error(format!("{} holds no token", path.display()))),
            token => Ok(Some(Secret::new(token))),
        }
    }

    async fn open_admin(&self, view: View, tap: Tap, log_level: admin::LogLevel) -> Result<()> {
        let Some(path) = &self.sidecar.admin else { return Ok(()) };
        let (asked, phase) = (self.asked.clone(), self.phase.subscribe());
        let drain = Arc::new(move || {
            let (asked, mut phase) = (asked.clone(), phase.clone());
            asked.cancel();
            let drained = async move {
                let _ = phase.wait_for(|phase| *phase == Phase::Drained).await;
            };
            Box::pin(drained) as futures_util::future::BoxFuture<'static, ()>
        });
        let router = admin::router(view.handles(self.metrics.clone(), tap, drain, log_level));
        self.serve(bind(&Listen::Unix(path.clone())).await?.0, router);
        Ok(())
    }

    fn serve(&self, listener: Listener, router: axum::Router) {
        self.rest.spawn(base::serve::serve(listener, router, self.ended.clone(), EXPIRE));
    }

    /// Puts another configuration in force. What a listener is made of stays as it was.
    ///
    /// Errors: the trust domain or the proxy's own part changed, which needs a restart, or what is to be recorded cannot
    /// be; then nothing changes.
    pub fn apply(&self, mesh: Mesh) -> Result<()> {
        apply(&self.plane, &self.metrics, &self.recording, mesh)
    }

    /// The same for a source of configuration that lives beside the proxy.
    pub(crate) fn applier(&self) -> impl Fn(Mesh) -> Result<()> + Send + Sync + 'static {
        let (plane, metrics, recording) = (self.plane.clone(), self.metrics.clone(), self.recording.clone());
        move |mesh| apply(&plane, &metrics, &recording, mesh)
    }

    /// Where its events go.
    pub fn observer(&self) -> Observer {
        self.plane.0.parts.observer.clone()
    }

    /// A configuration could not be read.
    pub fn rejected(&self, detail: String) {
        self.plane.0.observe(&Event::ConfigRejected { detail });
    }
}

fn apply(plane: &DataPlane, metrics: &Metrics, recording: &Recording, mesh: Mesh) -> Result<()> {
    let now = plane.mesh();
    let changed =
        [("trust_domain", mesh.trust_domain != now.trust_domain), ("sidecar", mesh.sidecar != now.sidecar)];
    if let Some((name, _)) = changed.into_iter().find(|(_, changed)| *changed) {
        let detail = format!("{name} changed, which needs a restart");
        plane.0.observe(&Event::ConfigRejected { detail: detail.clone() });
        return Err(BAD_REQUEST.error(detail));
    }
    let sinks = recording.prepare(&mesh.telemetry).map_err(|detail| {
        plane.0.observe(&Event::ConfigRejected { detail: detail.clone() });
        BAD_REQUEST.error(detail)
    })?;
    plane.apply(mesh)?;
    recording.change(sinks);
    let mesh = plane.mesh();
    metrics.retain_services(|service| mesh.services.contains_key(service));
    Ok(())
}

/// A bound socket and where it is.
async fn bind(listen: &Listen) -> Result<(Listener, String)> {
    let bound = match listen {
        Listen::Unix(path) => Listener::unix(path),
        Listen::Tcp(address) => Listener::tcp(*address).await,
    };
    let bound = bound.map_err(|error| {
        base::error::INTERNAL.error(format!("cannot listen on {listen}")).caused_by(error)
    })?;
    let address = bound.local_addr().map_or_else(|| listen.to_string(), |address| address.to_string());
    Ok((bound, address))
}
