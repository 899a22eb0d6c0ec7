//! One service alone: what a container runs beside its sidecar.
//!
//! It serves plain HTTP on the socket or port it is given, calls others through the sidecar's socket, and drains on
//! SIGTERM. See docs/service-contract.md.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use base::error::OrInternal;
use base::serve::{Listener, serve};
use base::{Clock, Random, Result};
use common::service::Tasks;
use common::{Dependencies, Outbound};
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// How long requests in flight may take after SIGTERM.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What every role is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Role {
    /// Where to serve: `unix:PATH` or an address.
    #[arg(long, env = "MESHBASE_SERVE", value_name = "unix:PATH|ADDR")]
    pub serve: Socket,
    /// The sidecar's outbound socket.
    #[arg(long, env = "MESHBASE_OUTBOUND", value_name = "PATH")]
    pub outbound: PathBuf,
    /// The service's own folder.
    #[arg(long, env = "MESHBASE_STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,
}

/// The same for a service that can do without: all of it, or nothing.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct OptionalRole {
    /// Where to serve beside a sidecar: `unix:PATH` or an address.
    #[arg(long, env = "MESHBASE_SERVE", value_name = "unix:PATH|ADDR", requires_all = ["outbound", "state_dir"])]
    serve: Option<Socket>,
    /// The sidecar's outbound socket.
    #[arg(long, env = "MESHBASE_OUTBOUND", value_name = "PATH", requires = "serve")]
    outbound: Option<PathBuf>,
    /// The service's own folder.
    #[arg(long, env = "MESHBASE_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl OptionalRole {
    /// The role, if there is one.
    pub fn given(self) -> Option<Role> {
        Some(Role { serve: self.serve?, outbound: self.outbound?, state_dir: self.state_dir? })
    }

    /// The folder for what it keeps, if one was named.
    pub fn state_dir(&self) -> Option<&Path> {
        self.state_dir.as_deref()
    }
}

/// A UNIX socket or a TCP address.
#[derive(Clone, Debug)]
pub enum Socket {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(SocketAddr),
}

impl FromStr for Socket {
    type Err = String;
    fn from_str(text: &str) -> Result<Socket, String> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Socket::Unix(PathBuf::from(path))),
            None => text
                .parse()
                .map(Socket::Tcp)
                .map_err(|_| format!("{text} is neither unix:PATH nor an address")),
        }
    }
}

impl Role {
    pub(crate) fn dependencies(&self, tasks: &Tasks) -> Result<Dependencies> {
        use std::os::unix::fs::DirBuilderExt;
        let builder = &mut std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.state_dir).or_internal()?;
        Ok(Dependencies {
            outbound: Outbound::unix(self.outbound.clone()),
            clock: Clock::system(),
            random: Random::system(),
            state_dir: self.state_dir.clone(),
            recorder: Metrics::default().recorder(),
            tasks: tasks.clone(),
        })
    }

    pub(crate) async fn listener(&self) -> Result<Listener> {
        match &self.serve {
            Socket::Unix(path) => Listener::unix(path).or_internal(),
            Socket::Tcp(addr) => Listener::tcp(*addr).await.or_internal(),
        }
    }
}

/// Runs the service that `start` makes until SIGTERM.
pub async fn run(role: Role, start: impl AsyncFnOnce(Dependencies) -> Result<common::Service>) -> Result<()> {
    let tasks = Tasks::default();
    let listener = role.listener().await?;
    let service = start(role.dependencies(&tasks)?).await?;
    tracing::info!(service = service.name, "serving");
    serve(listener, service.router, stop_signal(), GRACE).await;
    tasks.stop().await;
    Ok(())
}

/// Runs the gateway alone until SIGTERM.
#[cfg(feature = "gateway")]
pub async fn run_gateway(role: Role, config: gateway::Config) -> Result<()> {
    let tasks = Tasks::default();
    let listener = role.listener().await?;
    let deps = role.dependencies(&tasks)?;
    let projects = common::Projects::start(deps.outbound.clone(), deps.state_dir, &tasks);
    let gateway =
        gateway::Gateway::new(config, deps.outbound, projects, deps.clock, deps.random, deps.recorder);
    serve(listener, gateway.into_service(), stop_signal(), GRACE).await;
    tasks.stop().await;
    Ok(())
}

/// Cancelled by SIGTERM or SIGINT; a second one ends the process at once.
pub fn stop_signal() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let stopped = token.clone();
    tokio::spawn(async move {
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return;
        };
        let mut next = async || {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        };
        next().await;
        stopped.cancel();
        next().await;
        std::process::exit(130);
    });
    token
}
