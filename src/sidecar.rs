//! A proxy, alone or around a program: what `meshbase sidecar` runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::error::OrInternal;
use base::{Clock, Random, Result};
use mesh::observe::Observer;
use mesh::resource::Mesh;
use mesh::sidecar::{Given, Phase, Sidecar};
use mesh::steer::{Agents, Bootstrap};

use tokio_util::sync::CancellationToken;

use crate::child::{self, Child};
use crate::cli::Programs;
use crate::telemetry;

/// How often the configuration's file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the proxy of `mesh`, which is in the file `path` if it is in one, until it is told to stop or its program ends.
/// Returns the program's exit code.
pub(crate) async fn run(path: Option<&Path>, mesh: Mesh, programs: Programs, json: bool) -> Result<ExitCode> {
    let stop = crate::roles::stop_signal();
    let grace = mesh.sidecar.as_ref().map(|sidecar| sidecar.grace).unwrap_or_default();
    let mut steering = None;
    if mesh.sidecar.as_ref().is_some_and(|sidecar| sidecar.control.is_some()) {
        steering = tokio::select! {
            steered = Steering::start(&mesh) => Some(steered?),
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
        };
    }
    let proxy = start(mesh, steering.as_ref()).await?;
    let asked = proxy.asked_to_stop();
    let told = async {
        tokio::select! { () = stop.cancelled() => {}, () = asked.cancelled() => {} }
    };
    tokio::pin!(told);
    let child = match &programs {
        Programs::Elsewhere(ready) => {
            proxy.set_phase(Phase::Waiting);
            tell(&proxy, json)?;
            tokio::select! {
                () = child::all_ready(ready) => {}
                () = &mut told => return end(proxy, steering, &stop).await,
            }
            None
        }
        Programs::Ours(program) => {
            let child = program.start().await?;
            tokio::select! {
                ready = program.ready(&child) => if let Err(error) = ready {
                    child.stop(grace).await;
                    return Err(error);
                },
                () = &mut told => return Ok(ExitCode::from(child.stop(grace).await)),
            }
            tell(&proxy, json)?;
            Some(child)
        }
    };
    proxy.set_phase(Phase::Serving);
    if let Some(steering) = &steering {
        steering.announce(&proxy);
    }
    let code = tokio::select! {
        () = told => None,
        () = follow(path.map(Path::to_owned), &proxy) => None,
        // who still calls is answered that the program takes no requests, and finds another endpoint
        code = exit_of(child.as_ref()) => Some(code),
    };
    if code.is_some() {
        proxy.set_phase(Phase::ProgramGone);
    }
    let Some(child) = child else { return end(proxy, steering, &stop).await };
    if let Some(steering) = &steering {
        steering.agents.leave().await;
    }
    proxy.drain().await;
    let code = match code {
        Some(code) => code,
        None => child.stop(grace).await,
    };
    proxy.end().await;
    if let Some(steering) = &steering {
        steering.agents.end().await;
    }
    Ok(ExitCode::from(code))
}

/// Ends a proxy whose programs are somebody else's to stop: told by them to drain, it carries what they call until it is
/// to stop itself.
async fn end(proxy: Sidecar, steering: Option<Steering>, stop: &CancellationToken) -> Result<ExitCode> {
    if let Some(steering) = &steering {
        steering.agents.leave().await;
    }
    proxy.drain().await;
    stop.cancelled().await;
    proxy.end().await;
    if let Some(steering) = &steering {
        steering.agents.end().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says where it listens.
fn tell(proxy: &Sidecar, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(proxy.addresses()).or_internal()?);
    }
    Ok(())
}

async fn start(mesh: Mesh, steering: Option<&Steering>) -> Result<Sidecar> {
    let given = Given {
        clock: Clock::system(),
        random: Random::system(),
        identities: steering.map(|steering| steering.agents.identities()),
        resolver: steering.map(|steering| steering.agents.resolver()),
        observer: steering.map_or_else(Observer::none, |steering| steering.agents.observer()),
        log_level: telemetry::log_level(),
    };
    let mesh = steering.map_or(mesh, |steering| steering.agents.mesh());
    let proxy = Sidecar::start(mesh, given).await?;
    if let Some(steering) = steering {
        let _ = steering.observer.set(proxy.observer());
        steering.agents.attach(&proxy);
    }
    Ok(proxy)
}

/// A proxy under a control plane.
struct Steering {
    agents: Agents,
    /// The proxy's, once it is there: until then events are logged.
    observer: Arc<OnceLock<Observer>>,
}

impl Steering {
    async fn start(mesh: &Mesh) -> Result<Steering> {
        let (clock, random) = (Clock::system(), Random::system());
        let (observer, log) = (Arc::<OnceLock<Observer>>::default(), mesh::observe::log(clock.clone()));
        let later = observer.clone();
        let bootstrap = Bootstrap {
            sidecar: mesh.sidecar.clone().unwrap_or_default(),
            clock,
            random,
            observer: Observer::new(move |event| later.get().unwrap_or(&log).observe(event)),
        };
        Ok(Steering { agents: Agents::start(bootstrap).await?, observer })
    }

    /// Has the programs found, if they can be called at all.
    fn announce(&self, proxy: &Sidecar) {
        let inbound = proxy.addresses().inbound.as_deref();
        let port = inbound.and_then(|address| address.parse::<std::net::SocketAddr>().ok());
        if let Some(address) = port {
            self.agents.announce(address.port());
        }
    }
}

/// The exit code of the program, if there is one.
async fn exit_of(child: Option<&Child>) -> u8 {
    match child {
        Some(child) => child.exited().await,
        None => std::future::pending().await,
    }
}

/// Puts the file in force whenever it changes. One that is not good changes nothing and is told once.
async fn follow(path: Option<PathBuf>, proxy: &Sidecar) {
    let Some(path) = path else { return std::future::pending().await };
    let stamp = || {
        let metadata = std::fs::metadata(&path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    let mut seen = stamp();
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamp();
        if now == seen {
            continue;
        }
        seen = now;
        match Mesh::load(&path) {
            // what it says of a configuration that cannot be, it says as an event
            Ok(mesh) => drop(proxy.apply(mesh)),
            Err(error) => proxy.rejected(error.message.into_owned()),
        }
    }
}
