//! A proxy beside one program under a control plane, by flags alone: what a container runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use base::Result;
use mesh::resource::{Control, Listen, Mesh, OutboundListener, Protocol, Ready, Workload};

/// The flags of a proxy that has no file.
#[derive(clap::Args, Debug)]
pub(super) struct Steered {
    /// The service that the program is.
    #[arg(long, env = "MESHBASE_SERVICE", value_name = "NAME", conflicts_with = "config")]
    service: Option<String>,
    /// A replica of the control plane; several with commas.
    #[arg(
        long,
        env = "MESHBASE_CONTROL",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        requires = "service"
    )]
    control: Vec<String>,
    /// Where workloads without a certificate join; several with commas.
    #[arg(
        long,
        env = "MESHBASE_JOIN",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        requires = "service"
    )]
    join: Vec<String>,
    /// The file of the token to join with.
    #[arg(long, env = "MESHBASE_JOIN_TOKEN_FILE", value_name = "FILE", requires = "service")]
    join_token: Option<PathBuf>,
    /// The folder of keys, certificates and the last good configuration.
    #[arg(
        long,
        env = "MESHBASE_SIDECAR_STATE",
        value_name = "DIR",
        default_value = "/var/lib/meshbase/sidecar"
    )]
    state: PathBuf,
    /// Where the program listens; without it the program only calls.
    #[arg(long, env = "MESHBASE_PROGRAM", value_name = "unix:PATH|ADDR", requires = "service")]
    program_at: Option<Listen>,
    /// Where peers connect.
    #[arg(long, env = "MESHBASE_INBOUND", value_name = "ADDR", default_value = "0.0.0.0:9443")]
    inbound: SocketAddr,
    /// Where the program hands over its calls.
    #[arg(long, env = "MESHBASE_PROXY", value_name = "unix:PATH|ADDR", requires = "service")]
    outbound: Option<Listen>,
    /// Where peers find this proxy, if not at the address under which it reaches the control plane.
    #[arg(long, env = "MESHBASE_ADVERTISE", value_name = "ADDR", requires = "service")]
    advertise: Option<SocketAddr>,
    /// The proxy's own admin socket.
    #[arg(long, env = "MESHBASE_SIDECAR_ADMIN", value_name = "PATH", requires = "service")]
    admin: Option<PathBuf>,
    /// Where /livez, /readyz and /startupz are.
    #[arg(long, env = "MESHBASE_PROBES", value_name = "ADDR", requires = "service")]
    probes: Option<SocketAddr>,
    /// Where Prometheus reads, on loopback.
    #[arg(long, env = "MESHBASE_METRICS", value_name = "ADDR", requires = "service")]
    metrics: Option<SocketAddr>,
    /// The zone that it is in.
    #[arg(long, env = "MESHBASE_ZONE", value_name = "NAME", requires = "service")]
    zone: Option<String>,
}

impl Steered {
    /// The file that says the same.
    ///
    /// Errors: as for a file.
    pub(super) fn mesh(&self) -> Result<Mesh> {
        let listener = |listen: Listen| OutboundListener { listen, protocol: Protocol::Http1, to: None };
        let ready = self.program_at.as_ref().map(|_| Ready::Tcp(None));
        let workload = Workload {
            service: self.service.clone().unwrap_or_default(),
            program: self.program_at.clone(),
            outbound: self.outbound.clone().map(listener).into_iter().collect(),
            token: self.join_token.clone(),
            ready,
            ..Workload::default()
        };
        let sidecar = mesh::resource::Sidecar {
            inbound: self.program_at.as_ref().map(|_| self.inbound),
            workloads: vec![workload],
            admin: self.admin.clone(),
            probes: self.probes,
            metrics: self.metrics,
            zone: self.zone.clone(),
            control: Some(Control {
                addresses: self.control.clone(),
                join: self.join.clone(),
                state: self.state.clone(),
                advertise: self.advertise,
            }),
            ..mesh::resource::Sidecar::default()
        };
        let mesh = Mesh { sidecar: Some(sidecar), ..Mesh::of("steered.local") };
        // said in the words of a file, so that a mistake is told in the same way
        mesh.check().map_err(|mistakes| {
            let lines: Vec<String> =
                mistakes.into_iter().map(|(path, reason)| format!("{path}: {reason}")).collect();
            mesh::resource::INVALID_MESH.error(lines.join("\n"))
        })?;
        Ok(mesh)
    }
}
