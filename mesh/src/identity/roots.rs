//! The roots that others' certificates must lead to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;

use super::pem::{Unusable, certificates, read};

/// The certificates that a peer's chain may lead to. During a change of roots there are several; never none.
///
/// Each speaks for one trust domain alone: ours, or the one that it was given for.
#[derive(Clone, Debug)]
pub struct Roots {
    pub(super) own: Arc<RootCertStore>,
    /// By trust domain.
    pub(super) federated: BTreeMap<String, Arc<RootCertStore>>,
}

impl Roots {
    /// Reads every certificate of every file: the roots of our own trust domain.
    pub fn read(files: &[PathBuf]) -> Result<Roots, Unusable> {
        Ok(Roots { own: read_store(files)?, federated: BTreeMap::new() })
    }

    /// Every certificate of some PEM in memory: the roots of our own trust domain.
    pub fn from_pem(pem: &[u8]) -> Result<Roots, Unusable> {
        let mut store = RootCertStore::empty();
        add(&mut store, pem).map_err(|reason| Unusable::new("the roots", reason))?;
        Ok(Roots { own: some(store)?, federated: BTreeMap::new() })
    }

    /// The same with the roots of another trust domain, whose workloads may then call.
    pub fn federate(mut self, trust_domain: &str, files: &[PathBuf]) -> Result<Roots, Unusable> {
        self.federated.insert(trust_domain.to_owned(), read_store(files)?);
        Ok(self)
    }
}

/// The certificate authorities that browsers trust: for hosts outside of the mesh.
pub(crate) fn web_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

fn read_store(files: &[PathBuf]) -> Result<Arc<RootCertStore>, Unusable> {
    let mut store = RootCertStore::empty();
    for file in files {
        add(&mut store, &read(file)?).map_err(|reason| Unusable::new(file.display(), reason))?;
    }
    some(store)
}

fn some(store: RootCertStore) -> Result<Arc<RootCertStore>, Unusable> {
    match store.is_empty() {
        true => Err(Unusable::new("the roots", "there are none")),
        false => Ok(Arc::new(store)),
    }
}

fn add(store: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    certificates(pem)?
        .into_iter()
        .try_for_each(|root| store.add(root))
        .map_err(|e| format!("a root cannot be used: {e}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::pki::Ca;
    use super::*;

    #[test]
    fn roots_come_from_several_files_and_are_never_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let one = file("one.pem", &Ca::new("one").pem());
        let two = file("two.pem", &format!("{}{}", Ca::new("two").pem(), Ca::new("three").pem()));
        let empty = file("empty.pem", "");

        assert_eq!(Roots::read(&[one.clone(), two]).unwrap().own.len(), 3);
        assert!(Roots::read(&[]).unwrap_err().to_string().contains("there are none"));
        assert!(Roots::read(&[one, empty]).unwrap_err().to_string().contains("empty.pem"));
    }
}
