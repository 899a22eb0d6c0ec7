//! Credentials that are files, read anew when they change.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Credentials, Roots, Svid, Unusable};
use crate::observe::{Event, Observer};

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Where a workload's credentials are: PEM files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// The roots that peers' certificates must lead to.
    pub roots: Vec<PathBuf>,
    /// The roots of other trust domains, by their names.
    pub federated_roots: BTreeMap<String, Vec<PathBuf>>,
}

/// When each file was written and how long it is; `None` for one that is not there.
type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Files {
    /// Reads them all. Blocks for as long as the disk takes.
    pub fn load(&self) -> Result<(Svid, Roots), Unusable> {
        let own = Roots::read(&self.roots)?;
        let federate =
            |roots: Roots, (domain, files): (&String, &Vec<PathBuf>)| roots.federate(domain, files);
        let roots = self.federated_roots.iter().try_fold(own, federate)?;
        Ok((Svid::read(&self.certificate, &self.key)?, roots))
    }

    fn stamp(&self) -> Stamp {
        let stamp = |path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let federated = self.federated_roots.values().flatten();
        let files = [&self.certificate, &self.key].into_iter().chain(&self.roots).chain(federated);
        files.map(stamp).collect()
    }
}

impl Credentials {
    /// Puts what the files hold in force, now and whenever they change, until `cancel`.
    ///
    /// They are looked at once a second. What cannot be taken (half written, expired, somebody else's, or with a key
    /// that is not there yet) leaves the one before in force and is tried again; it is told once, not once a second.
    pub async fn follow_files(self, files: Files, observer: Observer, cancel: CancellationToken) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut following = Following { credentials: self, files, observer, taken: None, told: None };
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            // reading blocks: the disk may be a slow one
            match tokio::task::spawn_blocking(move || following.look()).await {
                Ok(after) => following = after,
                Err(_) => return,
            }
        }
    }
}

struct Following {
    credentials: Credentials,
    files: Files,
    observer: Observer,
    /// The files that are in force.
    taken: Option<Stamp>,
    /// What was last said of files that cannot be taken.
    told: Option<Unusable>,
}

impl Following {
    fn look(mut self) -> Following {
        // taken before the files are read: what is written meanwhile is seen the next time
        let stamp = self.files.stamp();
        if self.taken.as_ref() == Some(&stamp) {
            self.told = None;
            return self;
        }
        match self.files.load().and_then(|(svid, roots)| self.credentials.replace(svid, roots)) {
            Ok(()) => {
                (self.taken, self.told) = (Some(stamp), None);
                let (identity, expires_at) = (self.credentials.identity(), self.credentials.expires_at());
                self.observer.observe(&Event::CertificateLoaded { identity, expires_at });
            }
            Err(error) if self.told.as_ref() == Some(&error) => {}
            Err(error) => {
                let (service, detail) = (self.credentials.identity().name().clone(), error.to_string());
                self.observer.observe(&Event::CertificateRejected { service, detail });
                self.told = Some(error);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::sync::mpsc;

    use super::super::pki::{Ca, Issued, at, clock};
    use super::*;

    struct Case {
        folder: TempDir,
        credentials: Credentials,
        events: mpsc::UnboundedReceiver<String>,
        _cancel: tokio_util::sync::DropGuard,
    }

    impl Case {
        /// A follower of the files that `issued` is written to.
        fn new(ca: &Ca, issued: &Issued) -> Case {
            let folder = tempfile::tempdir().unwrap();
            let path = |name| folder.path().join(name);
            let files = Files {
                certificate: path("c.pem"),
                key: path("k.pem"),
                roots: vec![path("r.pem")],
                federated_roots: BTreeMap::new(),
            };
            fs::write(path("r.pem"), ca.pem()).unwrap();
            let (sender, events) = mpsc::unbounded_channel();
            let observer = Observer::new(move |event| {
                let _ = sender.send(match event {
                    Event::CertificateLoaded { expires_at, .. } => format!("until {}", *expires_at - at(0)),
                    Event::CertificateRejected { detail, .. } => detail.clone(),
                    other => panic!("{other:?}"),
                });
            });
            let cancel = CancellationToken::new();
            let credentials = Credentials::new(ca.leaf("data").svid(), ca.roots(), &clock(500)).unwrap();
            let case = Case { folder, credentials, events, _cancel: cancel.clone().drop_guard() };
            case.write(&issued.chain, &issued.key);
            tokio::spawn(case.credentials.clone().follow_files(files, observer, cancel));
            case
        }

        fn write(&self, chain: &str, key: &str) {
            fs::write(self.folder.path().join("c.pem"), chain).unwrap();
            fs::write(self.folder.path().join("k.pem"), key).unwrap();
        }

        async fn event(&mut self) -> String {
            tokio::time::timeout(PERIOD * 60, self.events.recv()).await.expect("an event comes").unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_put_in_force() {
        let ca = Ca::new("one");
        let mut case = Case::new(&ca, &ca.leaf("data").issue());
        assert_eq!(case.event().await, "until 16m40s");
        tokio::time::sleep(PERIOD * 5).await;
        assert!(case.events.try_recv().is_err(), "files that did not change are not told again");

        let next = ca.leaf("data").valid(at(0), at(3000)).issue();
        case.write(&next.chain, &next.key);

        assert_eq!(case.event().await, "until 50m");
        assert_eq!(case.credentials.expires_at(), at(3000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_written_file_changes_nothing_and_is_told_once() {
        let ca = Ca::new("one");
        let mut case = Case::new(&ca, &ca.leaf("data").issue());
        case.event().await;

        let next = ca.leaf("data").valid(at(0), at(3000)).issue();
        case.write(&next.chain[..200], &next.key);
        let rejected = case.event().await;
        tokio::time::sleep(PERIOD * 10).await;
        let kept = case.credentials.expires_at();
        case.write(&next.chain, &next.key);

        assert!(rejected.contains("c.pem"), "{rejected}");
        assert_eq!(kept, at(1000));
        assert_eq!(case.event().await, "until 50m");
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_vanish_are_told_once_and_taken_again_when_they_are_back() {
        let ca = Ca::new("one");
        let issued = ca.leaf("data").issue();
        let mut case = Case::new(&ca, &issued);
        case.event().await;

        fs::remove_file(case.folder.path().join("k.pem")).unwrap();
        let gone = case.event().await;
        tokio::time::sleep(PERIOD * 3).await;
        case.write(&issued.chain, &issued.key);

        assert!(gone.contains("k.pem"), "{gone}");
        assert_eq!(case.event().await, "until 16m40s");
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_elses_certificate_is_told_and_not_taken() {
        let ca = Ca::new("one");
        let mut case = Case::new(&ca, &ca.leaf("auth").issue());

        let rejected = case.event().await;

        assert!(rejected.contains("spiffe://mesh.local/auth"), "{rejected}");
        assert_eq!(case.credentials.identity().service(), "data");
    }
}
