//! Every door of the process: bound before anything starts, served when everything has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base::serve::{Listener, serve};
use base::{Code, Result};
use gateway::Gateway;
use platform::Platform;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Config, Info};
use crate::data_dir::{DataDir, admin_socket};
use crate::telemetry::Metrics;

/// A port that we need is somebody else's.
const PORT_TAKEN: Code = Code::new(500, "port_taken");

pub(super) struct Listeners {
    pub(super) gateway: Listener,
    pub(super) console: Listener,
    pub(super) metrics: Listener,
    admin: Listener,
    /// Taken by [`Listeners::serve_probes`].
    probes: Option<Listener>,
    probes_url: String,
}

/// The probes' state, and what ends them.
pub(super) struct Probes {
    phase: watch::Sender<Phase>,
    stop: CancellationToken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Draining,
}

/// What is behind the doors.
pub(super) struct Doors {
    pub(super) gateway: Gateway,
    pub(super) console: Router,
    pub(super) platform: Platform,
    pub(super) metrics: Metrics,
    pub(super) info: Info,
}

impl Listeners {
    pub(super) async fn bind(config: &Config, data_dir: &DataDir) -> Result<Listeners> {
        use base::error::OrInternal;
        let ports = config.ports();
        let probes = tcp(ports.probes, "--probes").await?;
        Ok(Listeners {
            gateway: tcp(config.listen, "--listen").await?,
            console: tcp(ports.console, "--console-port").await?,
            metrics: tcp(ports.metrics, "--metrics-port").await?,
            admin: Listener::unix(&admin_socket(data_dir.path())).or_internal()?,
            probes_url: url(&probes),
            probes: Some(probes),
        })
    }

    /// Where the probes are.
    pub(super) fn probes_url(&self) -> &str {
        &self.probes_url
    }

    /// Serves the probes from now on: while everything else starts, they say so.
    pub(super) fn serve_probes(&mut self, grace: Duration) -> Probes {
        let (phase, current) = watch::channel(Phase::Starting);
        let stop = CancellationToken::new();
        if let Some(listener) = self.probes.take() {
            tokio::spawn(serve(listener, probes(current), stop.clone(), grace));
        }
        Probes { phase, stop }
    }

    /// Serves every door until `stop`, then lets each finish. The gateway goes first: the others tell while it drains.
    pub(super) async fn serve(self, doors: Doors, probes: Probes, stop: CancellationToken, grace: Duration) {
        let drained = CancellationToken::new();
        let info = doors.info;
        let admin =
            platform::admin(doors.platform).route("/status", get(async move || axum::Json(info.clone())));
        let metrics = doors.metrics;
        let metrics = Router::new().route("/metrics", get(async move || metrics.render()));
        let rest = [(self.console, doors.console), (self.metrics, metrics), (self.admin, admin)];
        let rest =
            rest.map(|(listener, router)| tokio::spawn(serve(listener, router, drained.clone(), grace)));
        let _ = probes.phase.send(Phase::Serving);
        let draining = async {
            stop.cancelled().await;
            let _ = probes.phase.send(Phase::Draining);
        };
        tokio::join!(draining, serve(self.gateway, doors.gateway.into_service(), stop.clone(), grace));
        drained.cancel();
        futures_util::future::join_all(rest).await;
        probes.stop.cancel();
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The address of a TCP listener as a URL that works on this machine.
pub(super) fn url(listener: &Listener) -> String {
    let addr = listener.local_addr().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let ip = if addr.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { addr.ip() };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}

/// `/livez` says that we run, `/startupz` that everything has started, `/readyz` that requests are welcome.
fn probes(phase: watch::Receiver<Phase>) -> Router {
    let when = |holds: fn(Phase) -> bool| {
        let phase = phase.clone();
        get(async move || match *phase.borrow() {
            phase if holds(phase) => (http::StatusCode::OK, "yes\n"),
            Phase::Starting => (http::StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            _ => (http::StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        })
    };
    Router::new()
        .route("/livez", when(|_| true))
        .route("/startupz", when(|phase| phase != Phase::Starting))
        .route("/readyz", when(|phase| phase == Phase::Serving))
}

async fn tcp(addr: SocketAddr, flag: &str) -> Result<Listener> {
    Listener::tcp(addr).await.map_err(|error| {
        PORT_TAKEN
            .error(format!("{addr} cannot be listened on: {error}"))
            .with_hint(format!("give another one with {flag}, or stop what uses it"))
    })
}
