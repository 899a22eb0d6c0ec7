//! Access tokens: signed by the project's own key, ES256, or HS256 with the shared secret where there is none.

use std::sync::Arc;

use base::error::OrInternal;
use base::{Error, Result};
use common::Document;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use moka::future::Cache;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::models::session::Authentication;

/// Parsed keys kept at once.
const MAX_SIGNERS: u64 = 1024;

/// What an access token says.
#[derive(Serialize)]
pub(crate) struct Claims<'a> {
    pub(crate) iss: &'a str,
    pub(crate) sub: Uuid,
    pub(crate) aud: &'a str,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) email: &'a str,
    pub(crate) phone: &'a str,
    pub(crate) app_metadata: &'a Map<String, Value>,
    pub(crate) user_metadata: &'a Map<String, Value>,
    pub(crate) role: &'a str,
    pub(crate) aal: &'a str,
    pub(crate) amr: &'a [Authentication],
    pub(crate) session_id: Uuid,
    pub(crate) is_anonymous: bool,
}

/// The parsed signing keys of active projects.
pub(crate) struct Signers(Cache<(Uuid, i64), Arc<Signer>>);

struct Signer {
    header: Header,
    key: EncodingKey,
}

impl Signers {
    pub(crate) fn new() -> Signers {
        Signers(Cache::new(MAX_SIGNERS))
    }

    /// The signed token.
    pub(crate) async fn sign(&self, project: &Document, claims: &Claims<'_>) -> Result<String> {
        let id = (project.id, project.version);
        let signer = match self.0.get(&id).await {
            Some(signer) => signer,
            None => {
                let signer = Arc::new(signer(project)?);
                self.0.insert(id, signer.clone()).await;
                signer
            }
        };
        jsonwebtoken::encode(&signer.header, claims, &signer.key).or_internal()
    }
}

fn signer(project: &Document) -> Result<Signer> {
    let keys = &project.keys;
    match (&keys.signing, &keys.shared) {
        (Some(signing), _) => Ok(Signer {
            header: Header { kid: Some(signing.id.clone()), ..Header::new(Algorithm::ES256) },
            key: EncodingKey::from_ec_pem(signing.pem.expose().as_bytes()).or_internal()?,
        }),
        (None, Some(shared)) => Ok(Signer {
            header: Header::new(Algorithm::HS256),
            key: EncodingKey::from_secret(shared.expose().as_bytes()),
        }),
        (None, None) => Err(Error::internal("the project has no key to sign tokens with")),
    }
}
