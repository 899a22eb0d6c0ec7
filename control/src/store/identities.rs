//! Roots, join tokens, certificates, and who is denied.

use base::Result;
use base::error::OrInternal;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{CHANNEL, Store};

/// One root.
#[derive(Clone)]
pub(crate) struct Root {
    pub(crate) id: Uuid,
    pub(crate) certificate: String,
    pub(crate) sealed_key: String,
    /// Whether it may sign.
    pub(crate) is_active: bool,
    /// Whether what it signed is believed: it is not retired.
    pub(crate) is_trusted: bool,
}

/// A join token in a list.
#[derive(serde::Serialize)]
pub(crate) struct Token {
    pub(crate) id: Uuid,
    pub(crate) identity: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) revoked_at: Option<OffsetDateTime>,
}

impl Store {
    /// Every root, the newest first.
    pub(crate) async fn roots(&self) -> Result<Vec<Root>> {
        sqlx::query_as!(
            Root,
            r#"SELECT id, certificate, sealed_key, active_at <= now() AS "is_active!",
                    coalesce(retired_at > now(), true) AS "is_trusted!"
             FROM control.roots ORDER BY active_at DESC, created_at DESC"#,
        )
        .fetch_all(&self.pool)
        .await
        .or_internal()
    }

    /// Adds a root that signs from `spread_seconds` on; the others are trusted for `overlap_seconds` longer. The very
    /// first one signs at once, and is added only if there is none.
    pub(crate) async fn add_root(
        &self,
        root: &Root,
        is_first: bool,
        spread_seconds: f64,
        overlap_seconds: f64,
    ) -> Result<bool> {
        let mut tx = self.pool.begin().await.or_internal()?;
        sqlx::query!("SELECT pg_advisory_xact_lock(7231005)").fetch_one(&mut *tx).await.or_internal()?;
        let added = sqlx::query!(
            "INSERT INTO control.roots (id, certificate, sealed_key, active_at)
             SELECT $1, $2, $3, now() + make_interval(secs => $5)
             WHERE NOT $4 OR NOT EXISTS (SELECT FROM control.roots)",
            root.id,
            root.certificate,
            root.sealed_key,
            is_first,
            if is_first { 0.0 } else { spread_seconds },
        )
        .execute(&mut *tx)
        .await
        .or_internal()?;
        sqlx::query!(
            "UPDATE control.roots SET retired_at = now() + make_interval(secs => $2)
             WHERE id <> $1 AND retired_at IS NULL AND NOT $3",
            root.id,
            spread_seconds + overlap_seconds,
            is_first,
        )
        .execute(&mut *tx)
        .await
        .or_internal()?;
        sqlx::query!("SELECT pg_notify($1, 'roots')", CHANNEL).fetch_one(&mut *tx).await.or_internal()?;
        tx.commit().await.or_internal()?;
        Ok(added.rows_affected() == 1)
    }

    /// Whether this root was ever there.
    pub(crate) async fn had_root(&self, id: Uuid) -> Result<bool> {
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM control.roots WHERE id = $1) AS "had!""#, id)
            .fetch_one(&self.pool)
            .await
            .or_internal()
    }

    /// Keeps a token's hash, if it was never there.
    pub(crate) async fn add_token(&self, id: Uuid, sha256: &str, identity: &str) -> Result<()> {
        sqlx::query!(
            "INSERT INTO control.tokens (id, sha256, identity) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
            id,
            sha256,
            identity
        )
        .execute(&self.pool)
        .await
        .or_internal()?;
        Ok(())
    }

    /// Whom the token of this hash lets in; `None` if there is none or it was taken back.
    pub(crate) async fn token_identity(&self, sha256: &str) -> Result<Option<String>> {
        sqlx::query_scalar!(
            "SELECT identity FROM control.tokens WHERE sha256 = $1 AND revoked_at IS NULL",
            sha256
        )
        .fetch_optional(&self.pool)
        .await
        .or_internal()
    }

    /// Every token, the newest first.
    pub(crate) async fn tokens(&self) -> Result<Vec<Token>> {
        sqlx::query_as!(
            Token,
            "SELECT id, identity, created_at, revoked_at FROM control.tokens ORDER BY created_at DESC",
        )
        .fetch_all(&self.pool)
        .await
        .or_internal()
    }

    /// Takes a token back. Whether there was one.
    pub(crate) async fn revoke_token(&self, id: Uuid) -> Result<bool> {
        let revoked = sqlx::query!(
            "UPDATE control.tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL",
            id
        )
        .execute(&self.pool)
        .await
        .or_internal()?;
        Ok(revoked.rows_affected() == 1)
    }

    /// Notes that a key is certified, unless it was before or its owner is denied. Whether it was noted.
    pub(crate) async fn certify(
        &self,
        key_sha256: &str,
        identity: &str,
        expires_at: OffsetDateTime,
    ) -> Result<bool> {
        let noted = sqlx::query!(
            "WITH old AS (DELETE FROM control.certificates WHERE expires_at < now() - interval '1 day')
             INSERT INTO control.certificates (key_sha256, identity, expires_at)
             SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM control.denied WHERE denied.identity = $2)
             ON CONFLICT DO NOTHING",
            key_sha256,
            identity,
            expires_at,
        )
        .execute(&self.pool)
        .await
        .or_internal()?;
        Ok(noted.rows_affected() == 1)
    }

    /// Who is denied.
    pub(crate) async fn denied(&self) -> Result<Vec<String>> {
        sqlx::query_scalar!("SELECT identity FROM control.denied ORDER BY identity")
            .fetch_all(&self.pool)
            .await
            .or_internal()
    }

    /// Denies an identity, and tells the replicas.
    pub(crate) async fn deny(&self, identity: &str, reason: &str) -> Result<()> {
        sqlx::query!(
            "WITH put AS (
                 INSERT INTO control.denied (identity, reason) VALUES ($1, $2)
                 ON CONFLICT (identity) DO UPDATE SET reason = excluded.reason
             )
             SELECT pg_notify($3, 'denied')",
            identity,
            reason,
            CHANNEL,
        )
        .fetch_one(&self.pool)
        .await
        .or_internal()?;
        Ok(())
    }

    /// Lets an identity back in, and tells the replicas.
    pub(crate) async fn forgive(&self, identity: &str) -> Result<()> {
        sqlx::query!(
            "WITH gone AS (DELETE FROM control.denied WHERE identity = $1) SELECT pg_notify($2, 'denied')",
            identity,
            CHANNEL,
        )
        .fetch_one(&self.pool)
        .await
        .or_internal()?;
        Ok(())
    }
}
