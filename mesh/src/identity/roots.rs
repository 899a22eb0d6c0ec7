//! The roots that others' certificates must lead to.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;

use super::pem::{Unusable, certificates, read};

/// The certificates that a peer's chain may lead to. During a change of roots there are several; never none.
///
/// All are trusted for every trust domain: a root's owner can speak for any of them.
#[derive(Clone, Debug)]
pub struct Roots(pub(super) Arc<RootCertStore>);

impl Roots {
    /// Reads every certificate of every file.
    pub fn read(files: &[PathBuf]) -> Result<Roots, Unusable> {
        let mut store = RootCertStore::empty();
        for file in files {
            add(&mut store, &read(file)?).map_err(|reason| Unusable::new(file.display(), reason))?;
        }
        Roots::of(store)
    }

    /// Every certificate of some PEM in memory.
    pub fn from_pem(pem: &[u8]) -> Result<Roots, Unusable> {
        let mut store = RootCertStore::empty();
        add(&mut store, pem).map_err(|reason| Unusable::new("the roots", reason))?;
        Roots::of(store)
    }

    fn of(store: RootCertStore) -> Result<Roots, Unusable> {
        if store.is_empty() {
            return Err(Unusable::new("the roots", "there are none"));
        }
        Ok(Roots(Arc::new(store)))
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

        assert_eq!(Roots::read(&[one.clone(), two]).unwrap().0.len(), 3);
        assert!(Roots::read(&[]).unwrap_err().to_string().contains("there are none"));
        assert!(Roots::read(&[one, empty]).unwrap_err().to_string().contains("empty.pem"));
    }
}
