//! The authority of one world, and the identities that it issues.

use std::path::{Path, PathBuf};

use base::Clock;
use mesh::identity::{Credentials, Roots, Svid};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

pub(crate) const TRUST_DOMAIN: &str = "test.local";

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The files of one identity.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "conformance");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The chain and the key of `service`, in PEM.
    fn issue(&self, service: &str) -> (String, String) {
        let id = format!("spiffe://{TRUST_DOMAIN}/{service}");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, service);
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    pub(crate) fn credentials(&self, service: &str) -> Credentials {
        let (chain, key) = self.issue(service);
        let svid = Svid::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let roots = Roots::from_pem(self.0.pem().as_bytes()).unwrap();
        Credentials::new(svid, roots, &Clock::system()).unwrap()
    }

    pub(crate) fn write_root(&self, folder: &Path) -> PathBuf {
        write(folder, "root.pem", &self.0.pem())
    }

    pub(crate) fn write(&self, folder: &Path, service: &str) -> Files {
        let (chain, key) = self.issue(service);
        Files {
            certificate: write(folder, &format!("{service}.pem"), &chain),
            key: write(folder, &format!("{service}.key"), &key),
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
