//! A proxy, alone or around a program: what `meshbase sidecar` runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base::error::OrInternal;
use base::{Clock, Random, Result};
use mesh::observe::Observer;
use mesh::resource::Mesh;
use mesh::sidecar::{Given, Phase, Sidecar};

use crate::child::Child;
use crate::cli::Program;
use crate::telemetry;

/// How often the configuration's file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the proxy of `mesh`, which is in the file `path`, until it is told to stop or its program ends. Returns the
/// program's exit code.
pub(crate) async fn run(path: &Path, mesh: Mesh, program: Option<Program>, json: bool) -> Result<ExitCode> {
    let stop = crate::roles::stop_signal();
    let grace = mesh.sidecar.as_ref().map(|sidecar| sidecar.grace).unwrap_or_default();
    let given = Given {
        clock: Clock::system(),
        random: Random::system(),
        resolver: None,
        observer: Observer::none(),
        log_level: telemetry::log_level(),
    };
    let proxy = Sidecar::start(mesh, given).await?;
    let asked = proxy.asked_to_stop();
    let told = async {
        tokio::select! { () = stop.cancelled() => {}, () = asked.cancelled() => {} }
    };
    tokio::pin!(told);
    let child = match &program {
        None => None,
        Some(program) => {
            let child = program.start().await?;
            tokio::select! {
                ready = program.ready(&child) => if let Err(error) = ready {
                    child.stop(grace).await;
                    return Err(error);
                },
                () = &mut told => return Ok(ExitCode::from(child.stop(grace).await)),
            }
            Some(child)
        }
    };
    proxy.set_phase(Phase::Serving);
    if json {
        println!("{}", serde_json::to_string(proxy.addresses()).or_internal()?);
    }
    let code = tokio::select! {
        () = told => None,
        () = follow(path.to_owned(), &proxy) => None,
        // who still calls is answered that the program takes no requests, and finds another endpoint
        code = exit_of(child.as_ref()) => Some(code),
    };
    if code.is_some() {
        proxy.set_phase(Phase::ProgramGone);
    }
    proxy.drain().await;
    let code = match (code, &child) {
        (Some(code), _) => code,
        (None, Some(child)) => child.stop(grace).await,
        (None, None) => 0,
    };
    proxy.end().await;
    Ok(ExitCode::from(code))
}

/// The exit code of the program, if there is one.
async fn exit_of(child: Option<&Child>) -> u8 {
    match child {
        Some(child) => child.exited().await,
        None => std::future::pending().await,
    }
}

/// Puts the file in force whenever it changes. One that is not good changes nothing and is told once.
async fn follow(path: PathBuf, proxy: &Sidecar) {
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
