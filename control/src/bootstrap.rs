//! What an installation begins with: its first root and the tokens of its services, made before anything runs.
//!
//! Services and the control plane can so be started at once, in any order. The file holds no secret in the clear: the
//! root's key is sealed, and of tokens there are hashes.

use std::path::Path;

use base::error::BAD_REQUEST;
use base::seal::MasterKey;
use base::secret::sha256_hex;
use base::{Clock, Random, Result, Secret};
use mesh::identity::Identity;
use mesh::steer::JoinToken;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::certificates::{new_root, root_sha256};
use crate::store::{Root, Store};

/// The first root and tokens of a trust domain.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// The SPIFFE trust domain.
    trust_domain: String,
    root: FirstRoot,
    tokens: Vec<FirstToken>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstRoot {
    id: Uuid,
    certificate: String,
    sealed_key: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstToken {
    id: Uuid,
    sha256: String,
    identity: String,
}

impl Bootstrap {
    /// A new root of `trust_domain`, sealed under `master`, and no token yet.
    ///
    /// Errors: `bad_request` for what is no trust domain.
    pub fn new(trust_domain: &str, master: &MasterKey, clock: &Clock, random: &Random) -> Result<Bootstrap> {
        Identity::parse(&format!("spiffe://{trust_domain}/any"))
            .map_err(|error| BAD_REQUEST.error(error.to_string()))?;
        let Root { id, certificate, sealed_key, .. } = new_root(trust_domain, master, clock, random)?;
        let root = FirstRoot { id, certificate, sealed_key };
        Ok(Bootstrap { trust_domain: trust_domain.to_owned(), root, tokens: Vec::new() })
    }

    /// Reads what [`crate::Config::bootstrap`] names.
    ///
    /// Errors: `bad_request` if it cannot be read or is no such file.
    pub fn read(path: &Path) -> Result<Bootstrap> {
        let bad = |error: &dyn std::fmt::Display| BAD_REQUEST.error(format!("{}: {error}", path.display()));
        let text = std::fs::read(path).map_err(|error| bad(&error))?;
        serde_json::from_slice(&text).map_err(|error| bad(&error))
    }

    /// The SPIFFE trust domain that it is for.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// How many tokens let `service` in.
    pub fn count_of(&self, service: &str) -> usize {
        let identity = format!("spiffe://{}/{service}", self.trust_domain);
        self.tokens.iter().filter(|token| token.identity == identity).count()
    }

    /// Adds a token that lets `service` in. It is shown this once.
    ///
    /// Errors: `bad_request` for what is no service's name.
    pub fn add_token(&mut self, service: &str, random: &Random) -> Result<JoinToken> {
        let identity = Identity::parse(&format!("spiffe://{}/{service}", self.trust_domain))
            .map_err(|error| BAD_REQUEST.error(error.to_string()))?;
        let secret = Secret::new(random.token(32));
        let root_sha256 = root_sha256(&self.root.certificate)?;
        self.tokens.push(FirstToken {
            id: random.uuid(),
            sha256: sha256_hex(secret.expose()),
            identity: identity.as_str().to_owned(),
        });
        Ok(JoinToken { trust_domain: self.trust_domain.clone(), root_sha256, secret })
    }

    /// Puts into the store what was never there: a token that was taken back stays taken back.
    ///
    /// Errors: the file is for another trust domain, or the store has roots of another installation.
    pub(crate) async fn install(&self, store: &Store, trust_domain: &str) -> Result<()> {
        if self.trust_domain != trust_domain {
            return Err(BAD_REQUEST
                .error(format!("the bootstrap file is for {}, not for {trust_domain}", self.trust_domain)));
        }
        let FirstRoot { id, certificate, sealed_key } = &self.root;
        let (certificate, sealed_key) = (certificate.clone(), sealed_key.clone());
        let root = Root { id: *id, certificate, sealed_key, is_active: false, is_trusted: true };
        if !store.add_root(&root, true, 0.0, 0.0).await? && !store.had_root(*id).await? {
            return Err(BAD_REQUEST
                .error("the bootstrap file is of another installation than the database")
                .with_hint("give the file that the database began with, or an empty database"));
        }
        for FirstToken { id, sha256, identity } in &self.tokens {
            store.add_token(*id, sha256, identity).await?;
        }
        Ok(())
    }
}
