//! The programs beside a proxy and who they are.

use std::collections::HashMap;

use base::error::BAD_REQUEST;
use base::{Clock, Result};
use tokio_util::sync::CancellationToken;

use crate::connect::{Dialer, Open, Transport};
use crate::discover::Address;
use crate::identity::{Credentials, Files, Identity};
use crate::inbound::Program;
use crate::observe::{Name, Observer};
use crate::resource::{Listen, Mesh, Protocol, Service, Sidecar};

/// The identities of a proxy's programs.
pub(super) struct Identities(HashMap<String, Credentials>);

impl Identities {
    /// Identities that somebody else keeps.
    pub(super) fn given(identities: HashMap<String, Credentials>) -> Identities {
        Identities(identities)
    }

    /// Reads the files that the configuration names, and follows them from now on.
    pub(super) fn load(
        mesh: &Mesh,
        sidecar: &Sidecar,
        observer: &Observer,
        clock: &Clock,
        ended: &CancellationToken,
    ) -> Result<Identities> {
        let mut identities = HashMap::new();
        for workload in &sidecar.workloads {
            let (Some(certificate), Some(key)) = (&workload.certificate, &workload.key) else { continue };
            let files = Files {
                certificate: certificate.clone(),
                key: key.clone(),
                roots: sidecar.roots.clone(),
                federated_roots: sidecar.federated_roots.clone(),
            };
            let credentials = load(mesh, &workload.service, &files, clock).map_err(|reason| {
                BAD_REQUEST.error(format!("the identity of {}: {reason}", workload.service))
            })?;
            let (follow, observer, ended) = (credentials.clone(), observer.clone(), ended.clone());
            tokio::spawn(follow.follow_files(files, observer, ended));
            identities.insert(workload.service.clone(), credentials);
        }
        Ok(Identities(identities))
    }

    pub(super) fn of(&self, service: &str) -> Option<Credentials> {
        self.0.get(service).cloned()
    }
}

fn load(mesh: &Mesh, service: &str, files: &Files, clock: &Clock) -> Result<Credentials, String> {
    let (svid, roots) = files.load().map_err(|error| error.to_string())?;
    let expected = Identity::new(&mesh.trust_domain, service);
    if *svid.identity() != expected {
        return Err(format!("{} is for {}, not {expected}", files.certificate.display(), svid.identity()));
    }
    Credentials::new(svid, roots, clock).map_err(|error| error.to_string())
}

/// The way to a program on its socket.
pub(super) fn program(listen: &Listen, service: &str, spec: &Service, observer: Observer) -> Program {
    let address = match listen {
        Listen::Unix(path) => Address::Unix(path.as_path().into()),
        Listen::Tcp(address) => Address::Tcp(*address),
    };
    let open = Open::new(spec.concurrency.connections);
    let dialer = Dialer::new(address, Name::from(service), None, observer, open);
    let protocol = match spec.protocol {
        Protocol::Tcp => Protocol::Http1,
        protocol => protocol,
    };
    Program::Socket(Box::new(Transport::new(dialer, protocol)))
}
