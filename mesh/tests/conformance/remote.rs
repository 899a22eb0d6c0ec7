//! Programs on UNIX sockets, with sidecars before them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::serve::{Listener, serve};
use base::{Clock, Random};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use mesh::DataPlane;
use mesh::admin::LogLevel;
use mesh::resource::{self, Discovery, Listen, Mesh, Protocol, StaticEndpoint, Workload};
use mesh::sidecar::{Given, Sidecar};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::pki::Authority;
use crate::program::{self, Stage};
use crate::seen::Seen;
use crate::world::programs;

/// What the remote world has beside the other one.
pub(crate) struct Remote {
    authority: Authority,
    sidecars: Vec<Sidecar>,
    _folder: TempDir,
}

impl Remote {
    /// Starts programs and sidecars, and writes into `mesh` where they are found.
    pub(crate) async fn start(mesh: &mut Mesh, sidecars: usize, stage: &Arc<Stage>, seen: &Seen) -> Remote {
        let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
        for name in programs(mesh) {
            let router = program::router(name, stage);
            match mesh.services[name].protocol {
                Protocol::Http2 => serve_http2(&socket(folder.path(), name), router),
                _ => {
                    let listener = Listener::unix(&socket(folder.path(), name)).unwrap();
                    tokio::spawn(serve(listener, router, CancellationToken::new(), Duration::ZERO));
                }
            }
        }
        let mut theirs = mesh.clone();
        theirs.sidecar = Some(sidecar(mesh, &authority, folder.path()));
        let mut running = Vec::new();
        for _ in 0..sidecars {
            running.push(Sidecar::start(theirs.clone(), given(seen)).await.unwrap());
        }
        let address = |sidecar: &Sidecar| sidecar.addresses().inbound.clone().unwrap();
        let endpoint = |sidecar| StaticEndpoint { address: address(sidecar), zone: None, weight: 1 };
        let found = Discovery::Static(running.iter().map(endpoint).collect());
        for service in mesh.services.values_mut().filter(|service| !service.routes.is_empty()) {
            service.discovery = Some(found.clone());
        }
        for sidecar in &running {
            sidecar.plane().apply(mesh.clone()).unwrap();
        }
        Remote { authority, sidecars: running, _folder: folder }
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) fn planes(&self) -> Vec<DataPlane> {
        self.sidecars.iter().map(|sidecar| sidecar.plane().clone()).collect()
    }
}

fn socket(folder: &Path, service: &str) -> std::path::PathBuf {
    folder.join(format!("{service}.sock"))
}

/// One proxy for all programs, each with an identity of its own.
fn sidecar(mesh: &Mesh, authority: &Authority, folder: &Path) -> resource::Sidecar {
    let workload = |name: &String| {
        let files = authority.write(folder, name);
        Workload {
            service: name.clone(),
            program: Some(Listen::Unix(socket(folder, name))),
            outbound: Vec::new(),
            certificate: Some(files.certificate),
            key: Some(files.key),
            token: None,
            ready: None,
        }
    };
    resource::Sidecar {
        inbound: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        workloads: programs(mesh).map(workload).collect(),
        roots: vec![authority.write_root(folder)],
        federated_roots: Default::default(),
        admin: None,
        probes: None,
        metrics: None,
        metrics_token: None,
        zone: None,
        grace: Duration::ZERO,
        lame_duck: Duration::ZERO,
        control: None,
        workers: 1,
    }
}

fn given(seen: &Seen) -> Given {
    Given {
        clock: Clock::system(),
        random: Random::system(),
        identities: None,
        resolver: None,
        observer: seen.observer(),
        log_level: LogLevel { get: Arc::new(String::new), set: Arc::new(|_| Ok(())) },
    }
}

/// For programs that speak HTTP/2 alone, as gRPC's do.
fn serve_http2(path: &Path, router: axum::Router) {
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
}
