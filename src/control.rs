//! `meshbase control`: one replica of the control plane.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base::error::{BAD_REQUEST, OrInternal};
use base::seal::MasterKey;
use base::serve::{Listener, serve};
use base::{Clock, Random, Result, Secret};
use common::project::Endpoint;
use control::bootstrap::Bootstrap;
use control::{Config, Control, Listeners};
use http::StatusCode;
use tokio::sync::watch;

use crate::migrate::{self, Target};
use crate::roles::stop_signal;
use crate::secret_file;

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
    demand: Option<String>,
}

/// Runs until it is told to stop. A store that is not there yet is waited for.
pub(crate) async fn run(config: Config, json: bool) -> Result<()> {
    let stop = stop_signal();
    let (clock, random) = (Clock::system(), Random::system());
    let master = master_key(&config.master_key, &random)?;
    let store = store(&config)?;
    let bootstrap = config.bootstrap.as_deref().map(Bootstrap::read).transpose()?;
    let listeners = Listeners {
        control: tcp(config.listen, "--listen").await?,
        join: tcp(config.join_listen, "--join-listen").await?,
        admin: Listener::unix(&config.admin).or_internal()?,
        demand: demand(&config).await?,
    };
    let probes = tcp(config.probes, "--probes").await?;
    let addresses = Addresses {
        control: address(&listeners.control),
        join: address(&listeners.join),
        probes: address(&probes),
        admin: config.admin.display().to_string(),
        demand: listeners.demand.as_ref().map(|(listener, _)| address(listener)),
    };
    let (phase, ready) = watch::channel(None::<watch::Receiver<bool>>);
    let probes = tokio::spawn(serve(probes, router(ready), stop.clone(), GRACE));
    let migrated = async {
        while let Err(error) = migrated(&store).await {
            tracing::warn!(error = %base::error::chain(&error), "the store does not answer yet");
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = migrated => {}
        () = stop.cancelled() => return Ok(()),
    }
    let database = common::db::options(&store);
    let control = Control::open(config, bootstrap.as_ref(), database, master, clock, random).await?;
    phase.send_replace(Some(control.ready()));
    if json {
        println!("{}", serde_json::to_string(&addresses).or_internal()?);
    }
    tracing::info!(control = addresses.control, join = addresses.join, "the control plane serves");
    control.serve(listeners, stop).await;
    let _ = probes.await;
    Ok(())
}

/// The door of autoscalers, with what they must show.
///
/// Errors: others than this machine could read it without a token.
async fn demand(config: &Config) -> Result<Option<(Listener, Option<Secret>)>> {
    let Some(at) = config.demand_listen else { return Ok(None) };
    let token = config.demand_token.as_deref().map(secret_file::read).transpose()?;
    if token.is_none() && !at.ip().is_loopback() {
        let message = format!("{at} is open to others, and there is no --demand-token");
        return Err(BAD_REQUEST.error(message).with_hint("give the file of a token, or listen on loopback"));
    }
    Ok(Some((tcp(at, "--demand-listen").await?, token)))
}

/// Where the store is.
fn store(config: &Config) -> Result<Endpoint> {
    let url = match (&config.database_url, &config.database_url_file) {
        (Some(url), _) => url.clone(),
        (None, Some(file)) => secret_file::read(file)?,
        (None, None) => return Err(BAD_REQUEST.error("there is no --database-url")),
    };
    Endpoint::parse(&url)
}

async fn migrated(store: &Endpoint) -> Result<()> {
    migrate::run(Target::Control, &mut migrate::connect(store).await?).await
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

/// The key in `path`, made if it is not there. Replicas share the file: of two that begin at once one makes it, and
/// nobody reads half of it.
fn master_key(path: &Path, random: &Random) -> Result<MasterKey> {
    let unusable = |error: std::io::Error| {
        BAD_REQUEST.error(format!("the master key in {} cannot be used: {error}", path.display()))
    };
    if !path.exists() {
        let fresh = path.with_extension(random.uuid().to_string());
        secret_file::write(&fresh, MasterKey::generate(random).expose().as_bytes()).map_err(unusable)?;
        let linked = std::fs::hard_link(&fresh, path);
        std::fs::remove_file(&fresh).map_err(unusable)?;
        linked.or_else(|error| if path.exists() { Ok(()) } else { Err(unusable(error)) })?;
    }
    MasterKey::parse(&secret_file::read(path)?)
}
