//! How a workload gets its identity when its proxy starts: the one that was kept, or a new one for its token.

use std::path::Path;
use std::sync::Mutex;

use base::error::{BAD_REQUEST, OrInternal};
use base::{Clock, Result};
use tokio::sync::watch;

use super::agent::RETRY;
use super::held::Held;
use super::renew::{Keeper, RootsInForce, first_join};
use super::state::State;
use super::{JoinToken, join};
use crate::balance::Dice;
use crate::identity::{Credentials, Identity, Roots, Svid};
use crate::observe::{Event, Observer};
use crate::resource;

/// How a workload gets its identity.
pub(super) struct Joining<'a> {
    pub(super) control: &'a resource::Control,
    pub(super) clock: &'a Clock,
    pub(super) observer: &'a Observer,
    pub(super) dice: &'a Dice,
}

impl Joining<'_> {
    /// The workload's identity, kept or new, and what was last pushed to it.
    pub(super) async fn workload(&self, workload: &resource::Workload) -> Result<(Keeper, Held)> {
        let service = &workload.service;
        let state = State::open(&self.control.state, service).or_internal()?;
        let token = workload.token.as_deref().map(read_token).transpose()?;
        let kept = state.identity().unwrap_or_else(|error| {
            tracing::warn!(%error, service, "the kept identity is not used");
            None
        });
        let kept = kept.filter(|kept| {
            kept.svid.expires_at() > self.clock.now() && kept.svid.identity().service() == service
        });
        let (svid, roots, roots_pem) = match (kept, &token) {
            (Some(kept), _) => (kept.svid, kept.roots, state.roots_pem()),
            (None, Some(token)) => {
                self.join(token, &Identity::new(&token.trust_domain, service), &state).await?
            }
            (None, None) => {
                let message =
                    format!("{service} has neither a certificate that is good nor a token to join with");
                return Err(BAD_REQUEST.error(message));
            }
        };
        let (identity, held) = (svid.identity().clone(), Held::of(state.resources()));
        let credentials = Credentials::new(svid.clone(), roots, self.clock);
        let credentials = credentials.map_err(|error| BAD_REQUEST.error(error.to_string()))?;
        let keeper = Keeper {
            identity,
            credentials,
            state,
            control: self.control.addresses.clone(),
            join: self.control.join.clone(),
            token,
            observer: self.observer.clone(),
            clock: self.clock.clone(),
            svid: watch::Sender::new(svid),
            roots: Mutex::new(RootsInForce { pem: roots_pem, were_pushed: false }),
        };
        Ok((keeper, held))
    }

    /// Tries until it is let in: a control plane that is not there yet is no reason to give up.
    async fn join(
        &self,
        token: &JoinToken,
        identity: &Identity,
        state: &State,
    ) -> Result<(Svid, Roots, String)> {
        let mut pause = RETRY[0];
        loop {
            match self.join_once(token, identity, state).await {
                Ok(joined) => return Ok(joined),
                Err(detail) => {
                    let service = identity.name().clone();
                    self.observer.observe(&Event::CertificateRejected { service, detail });
                }
            }
            tokio::time::sleep(pause.mul_f64(0.5 + self.dice.unit())).await;
            pause = (pause * 2).min(RETRY[1]);
        }
    }

    async fn join_once(
        &self,
        token: &JoinToken,
        identity: &Identity,
        state: &State,
    ) -> Result<(Svid, Roots, String), String> {
        let asked = join::ask(identity).map_err(|error| error.to_string())?;
        let joined = first_join(&self.control.join, token, &asked.csr, self.clock, self.dice).await?;
        let svid = asked.answered(&joined, identity)?;
        let roots = Roots::from_pem(joined.roots.as_bytes()).map_err(|error| error.to_string())?;
        state
            .keep_identity(&joined.chain, &asked.key, &joined.roots)
            .map_err(|error| format!("the identity cannot be kept on disk: {error}"))?;
        Ok((svid, roots, joined.roots))
    }
}

fn read_token(path: &Path) -> Result<JoinToken> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        BAD_REQUEST.error(format!("cannot read the join token in {}: {error}", path.display()))
    })?;
    text.parse().map_err(|error| BAD_REQUEST.error(format!("{}: {error}", path.display())))
}
