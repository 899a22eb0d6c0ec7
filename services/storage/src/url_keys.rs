//! Where a project's URL-signing key comes from: its shared secret, else a secret kept in its own database.
//!
//! With a shared secret, changing that revokes every signed URL, as in the original. The other secret is in the
//! project's database because every instance of this service must find the same one.

use std::sync::Arc;
use std::time::Duration;

use base::{Random, Result};
use moka::future::Cache;
use sqlx::query_scalar;
use uuid::Uuid;

use crate::error::OrDatabase;
use crate::session::Session;
use crate::token::UrlKey;

/// Keys remembered at once.
const MAX_KEYS: u64 = 10_000;
/// How long a key is remembered after its last use.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The URL-signing keys of projects without a shared secret. Cheap to clone.
#[derive(Clone)]
pub(crate) struct UrlKeys {
    random: Random,
    kept: Cache<Uuid, Arc<UrlKey>>,
}

impl UrlKeys {
    pub(crate) fn new(random: Random) -> UrlKeys {
        UrlKeys { random, kept: Cache::builder().max_capacity(MAX_KEYS).time_to_idle(REMEMBERED).build() }
    }

    /// The key that signs and verifies the session's project's URLs.
    pub(crate) async fn of(&self, session: &Session) -> Result<Arc<UrlKey>> {
        let project = session.project.id;
        if let Some(shared) = &session.project.keys.shared {
            return Ok(Arc::new(UrlKey::derive(shared.expose().as_bytes(), project)));
        }
        if let Some(key) = self.kept.get(&project).await {
            return Ok(key);
        }
        let key = Arc::new(UrlKey::derive(&self.secret(session).await?, project));
        self.kept.insert(project, key.clone()).await;
        Ok(key)
    }

    /// The secret in the database, made by whoever is the first to need it.
    async fn secret(&self, session: &Session) -> Result<Vec<u8>> {
        let mut tx = session.begin_as_owner().await?;
        let fresh = self.random.bytes::<32>();
        sqlx::query!(
            "INSERT INTO storage.url_signing_keys (secret) VALUES ($1) ON CONFLICT DO NOTHING",
            &fresh
        )
        .execute(&mut *tx)
        .await
        .or_database()?;
        let secret = query_scalar!("SELECT secret FROM storage.url_signing_keys").fetch_one(&mut *tx).await;
        tx.commit().await.or_database()?;
        secret.or_database()
    }
}
