//! Keeps a workload's certificate: the next one is asked for when half of this one's time is over.

use std::sync::Mutex;
use std::time::Duration;

use base::{Clock, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::JoinToken;
use super::client::{self, Replicas};
use super::join::{self, Joined};
use super::state::State;
use crate::balance::Dice;
use crate::identity::{Credentials, Identity, Roots, Svid};
use crate::observe::{Event, Observer};

/// The shortest and the longest pause after nobody gave a certificate.
const RETRY: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(60)];
/// The longest wait for the half of a certificate's time: a clock may be set meanwhile.
const LONGEST: Duration = Duration::from_secs(3600);

/// A workload's identity, and how it is kept.
pub(super) struct Keeper {
    pub(super) identity: Identity,
    pub(super) credentials: Credentials,
    pub(super) state: State,
    pub(super) control: Vec<String>,
    /// The door that needs no certificate, for one whose certificate expired.
    pub(super) join: Vec<String>,
    pub(super) token: Option<JoinToken>,
    pub(super) observer: Observer,
    pub(super) clock: Clock,
    /// The certificate in force; told when there is another one.
    pub(super) svid: watch::Sender<Svid>,
    /// The roots in force. Locked while either they or the certificate change.
    pub(super) roots: Mutex<RootsInForce>,
}

/// Roots, and where they are from.
pub(super) struct RootsInForce {
    pub(super) pem: String,
    /// What was pushed is newer than what comes with a certificate: the replica that signed may be behind.
    pub(super) were_pushed: bool,
}

impl Keeper {
    /// Renews until `ended`.
    pub(super) async fn keep(&self, dice: &Dice, ended: CancellationToken) {
        let mut pause = RETRY[0];
        while ended.run_until_cancelled(self.until_due()).await.is_some() {
            match self.renew(dice).await {
                Ok(()) => pause = RETRY[0],
                Err(detail) => {
                    let service = self.identity.name().clone();
                    self.observer.observe(&Event::CertificateRejected { service, detail });
                    let jittered = pause.mul_f64(0.5 + dice.unit());
                    if ended.run_until_cancelled(tokio::time::sleep(jittered)).await.is_none() {
                        return;
                    }
                    pause = (pause * 2).min(RETRY[1]).min(self.hurry());
                }
            }
        }
    }

    async fn until_due(&self) {
        loop {
            let (now, due) = (self.clock.now(), half(&self.svid.borrow()));
            if now >= due {
                return;
            }
            let left = (due - now).unsigned_abs().min(LONGEST);
            tokio::time::sleep(left).await;
        }
    }

    /// How long a failed renewal may be put off: a tenth of what is left.
    fn hurry(&self) -> Duration {
        let left = self.svid.borrow().expires_at() - self.clock.now();
        if left.is_negative() { RETRY[1] } else { (left.unsigned_abs() / 10).max(RETRY[0]) }
    }

    /// A certificate over a new key: by the one in force, or once that has expired by the token.
    async fn renew(&self, dice: &Dice) -> Result<(), String> {
        let asked = join::ask(&self.identity).map_err(|error| error.to_string())?;
        let has_expired = self.svid.borrow().expires_at() <= self.clock.now();
        let joined = match (&self.token, has_expired) {
            (Some(token), true) => first_join(&self.join, token, &asked.csr, &self.clock, dice).await?,
            _ => self.ask_each(&asked.csr, dice).await?,
        };
        let svid = asked.answered(&joined, &self.identity)?;
        let roots = self.put_in_force(svid, joined.roots, has_expired)?;
        let (state, chain, key) = (self.state.clone(), joined.chain, asked.key);
        let kept = tokio::task::spawn_blocking(move || state.keep_identity(&chain, &key, &roots)).await;
        if let Ok(Err(error)) = kept {
            // it is in force all the same; a restart would join again
            tracing::warn!(%error, "the certificate was not kept on disk");
        }
        Ok(())
    }

    async fn ask_each(&self, csr: &str, dice: &Dice) -> Result<Joined, String> {
        let mut replicas = Replicas::new(&self.control, dice.next());
        let mut failed = "no address of a control plane is known".to_owned();
        for _ in 0..replicas.count() {
            let Some(address) = replicas.next() else { break };
            match client::renew(&address, &self.credentials, csr.to_owned()).await {
                Ok(joined) => return Ok(joined),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Returns the roots that are in force with it: those that came with it, unless others were pushed.
    fn put_in_force(&self, svid: Svid, offered: String, is_new_here: bool) -> Result<String, String> {
        let mut roots = self.roots.lock().expect("no holder of this lock panics");
        if is_new_here || !roots.were_pushed {
            *roots = RootsInForce { pem: offered, were_pushed: false };
        }
        let store = Roots::from_pem(roots.pem.as_bytes()).map_err(|error| error.to_string())?;
        self.credentials.replace(svid.clone(), store).map_err(|error| error.to_string())?;
        let (identity, expires_at) = (self.identity.clone(), svid.expires_at());
        self.svid.send_replace(svid);
        self.observer.observe(&Event::CertificateLoaded { identity, expires_at });
        Ok(roots.pem.clone())
    }

    /// Takes other roots that were pushed.
    pub(super) fn take_roots(&self, roots: &str) -> Result<(), String> {
        let mut in_force = self.roots.lock().expect("no holder of this lock panics");
        if in_force.pem == roots {
            in_force.were_pushed = true;
            return Ok(());
        }
        let store = Roots::from_pem(roots.as_bytes()).map_err(|error| error.to_string())?;
        let svid = self.svid.borrow().clone();
        self.credentials.replace(svid, store).map_err(|error| error.to_string())?;
        *in_force = RootsInForce { pem: roots.to_owned(), were_pushed: true };
        if let Err(error) = self.state.keep_roots(roots) {
            tracing::warn!(%error, "the roots were not kept on disk");
        }
        Ok(())
    }
}

/// When half of a certificate's time is over.
fn half(svid: &Svid) -> Timestamp {
    svid.not_before() + (svid.expires_at() - svid.not_before()) / 2
}

/// The first certificate, from any of the doors.
pub(super) async fn first_join(
    doors: &[String],
    token: &JoinToken,
    csr: &str,
    clock: &Clock,
    dice: &Dice,
) -> Result<Joined, String> {
    let mut replicas = Replicas::new(doors, dice.next());
    let mut failed = "no address to join at is known".to_owned();
    for _ in 0..replicas.count() {
        let Some(address) = replicas.next() else { break };
        match client::join(&address, token, csr.to_owned(), clock).await {
            Ok(joined) => return Ok(joined),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
