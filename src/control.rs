//! `meshbase control`: one replica of the control plane.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base::error::{BAD_REQUEST, OrInternal};
use base::seal::MasterKey;
use base::serve::{Listener, serve};
use base::{Clock, Random, Result, Secret};
use common::project::Endpoint;
use control::{Config, Control, Listeners};
use http::StatusCode;
use tokio::sync::watch;

use crate::migrate::{self, Target};
use crate::roles::stop_signal;

/// How long a probe may be answered when we stop.
const GRACE: Duration = Duration::from_secs(1);
/// The pause before the store is asked again when it does not answer at the start.
const RETRY: Duration = Duration::from_secs(1);

/// Where a replica listens, as it is printed.
#[derive(serde::Serialize)]
struct Addresses {
    control: String,
    join: String,
    probes: String,
    admin: String,
}

/// Runs until it is told to stop. A store that is not there yet is waited for.
pub(crate) async fn run(config: Config, json: bool) -> Result<()> {
    let stop = stop_signal();
    let (clock, random) = (Clock::system(), Random::system());
    let master = master_key(&config.master_key, &random)?;
    let listeners = Listeners {
        control: tcp(config.listen, "--listen").await?,
        join: tcp(config.join_listen, "--join-listen").await?,
        admin: Listener::unix(&config.admin).or_internal()?,
    };
    let probes = tcp(config.probes, "--probes").await?;
    let addresses = Addresses {
        control: address(&listeners.control),
        join: address(&listeners.join),
        probes: address(&probes),
        admin: config.admin.display().to_string(),
    };
    let (phase, ready) = watch::channel(None::<watch::Receiver<bool>>);
    let probes = tokio::spawn(serve(probes, router(ready), stop.clone(), GRACE));
    let migrated = async {
        while let Err(error) = migrated(&config).await {
            tracing::warn!(error = %base::error::chain(&error), "the store does not answer yet");
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = migrated => {}
        () = stop.cancelled() => return Ok(()),
    }
    let database = common::db::options(&Endpoint::parse(&config.database_url)?);
    let control = Control::open(config, database, master, clock, random).await?;
    phase.send_replace(Some(control.ready()));
    if json {
        println!("{}", serde_json::to_string(&addresses).or_internal()?);
    }
    tracing::info!(control = addresses.control, join = addresses.join, "the control plane serves");
    control.serve(listeners, stop).await;
    let _ = probes.await;
    Ok(())
}

async fn migrated(config: &Config) -> Result<()> {
    let endpoint = Endpoint::parse(&config.database_url)?;
    migrate::run(Target::Control, &mut migrate::connect(&endpoint).await?).await
}

/// Alive as long as it runs, ready while the store answers.
fn router(ready: watch::Receiver<Option<watch::Receiver<bool>>>) -> Router {
    let started = ready.clone();
    let told =
        |good: bool| if good { (StatusCode::OK, "yes\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "no\n") };
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/startupz", get(async move || told(started.borrow().is_some())))
        .route(
            "/readyz",
            get(async move || told(ready.borrow().as_ref().is_some_and(|ready| *ready.borrow()))),
        )
}

fn address(listener: &Listener) -> String {
    listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
}

async fn tcp(address: std::net::SocketAddr, flag: &str) -> Result<Listener> {
    Listener::tcp(address).await.map_err(|error| {
        BAD_REQUEST
            .error(format!("{address} cannot be listened on: {error}"))
            .with_hint(format!("see {flag}"))
    })
}

/// The key in `path`, made if it is not there. Replicas share the file: of two that begin at once one makes it.
fn master_key(path: &Path, random: &Random) -> Result<MasterKey> {
    let unusable = |error: std::io::Error| {
        BAD_REQUEST.error(format!("the master key in {} cannot be used: {error}", path.display()))
    };
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let key = MasterKey::generate(random);
            file.write_all(key.expose().as_bytes()).and_then(|()| file.sync_all()).map_err(unusable)?;
            MasterKey::parse(&key)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            MasterKey::parse(&Secret::new(std::fs::read_to_string(path).map_err(unusable)?.trim()))
        }
        Err(error) => Err(unusable(error)),
    }
}
