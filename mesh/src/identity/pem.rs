//! Certificates in PEM files, and what is wrong with those that cannot be taken.

use std::path::Path;
use std::{fmt, fs};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A certificate, a key or roots that cannot be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    what: String,
    reason: String,
}

impl Unusable {
    pub(super) fn new(what: impl fmt::Display, reason: impl Into<String>) -> Unusable {
        Unusable { what: what.to_string(), reason: reason.into() }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}: {}", self.what, self.reason)
    }
}

impl std::error::Error for Unusable {}

/// Every certificate of some PEM, in its order; at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("it is no PEM: {e}"))?;
    if certificates.is_empty() {
        return Err("it holds no certificate in PEM".to_owned());
    }
    Ok(certificates)
}

/// All of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unusable> {
    fs::read(path).map_err(|e| Unusable::new(path.display(), e.to_string()))
}
