//! What was applied, one revision after the other.

use base::error::OrInternal;
use base::{Code, Result};
use serde_json::Value;
use time::OffsetDateTime;

use super::{CHANNEL, Store};
use crate::resources::Resources;

/// Somebody else applied something meanwhile.
const CONFLICT: Code = Code::new(409, "conflict");
/// No such revision.
const NO_REVISION: Code = Code::new(404, "no_such_revision");
/// Revisions that are kept.
const KEPT: i64 = 200;

/// One revision.
pub(crate) struct Revision {
    pub(crate) id: i64,
    pub(crate) resources: Resources,
}

/// One revision in a list.
#[derive(serde::Serialize)]
pub(crate) struct Listed {
    pub(crate) id: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) applied_at: OffsetDateTime,
    pub(crate) author: String,
    pub(crate) reason: String,
}

impl Store {
    /// Makes the first revision if there is none.
    pub(crate) async fn begin(&self, resources: &Resources) -> Result<()> {
        let body = serde_json::to_value(resources).or_internal()?;
        sqlx::query!(
            "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(7231004))
             INSERT INTO control.revisions (author, reason, resources)
             SELECT 'meshbase', 'the first start', $1 FROM turn
             WHERE NOT EXISTS (SELECT FROM control.revisions)",
            body,
        )
        .execute(&self.pool)
        .await
        .or_internal()?;
        Ok(())
    }

    /// The revision in force.
    pub(crate) async fn latest(&self) -> Result<Revision> {
        let row = sqlx::query!("SELECT id, resources FROM control.revisions ORDER BY id DESC LIMIT 1")
            .fetch_one(&self.pool)
            .await
            .or_internal()?;
        revision(row.id, row.resources)
    }

    /// The number of the revision in force.
    pub(crate) async fn latest_id(&self) -> Result<i64> {
        sqlx::query_scalar!(r#"SELECT max(id) AS "id!" FROM control.revisions"#)
            .fetch_one(&self.pool)
            .await
            .or_internal()
    }

    /// The revision `id`.
    ///
    /// Errors: `no_such_revision` (404).
    pub(crate) async fn revision(&self, id: i64) -> Result<Revision> {
        let row = sqlx::query!("SELECT id, resources FROM control.revisions WHERE id = $1", id)
            .fetch_optional(&self.pool)
            .await
            .or_internal()?;
        let row = row.ok_or_else(|| NO_REVISION.error(format!("there is no revision {id}")))?;
        revision(row.id, row.resources)
    }

    /// The last revisions, the newest first.
    pub(crate) async fn history(&self, count: i64) -> Result<Vec<Listed>> {
        sqlx::query_as!(
            Listed,
            "SELECT id, applied_at, author, reason FROM control.revisions ORDER BY id DESC LIMIT $1",
            count,
        )
        .fetch_all(&self.pool)
        .await
        .or_internal()
    }

    /// Adds a revision after `base`, tells the replicas, and forgets the oldest ones.
    ///
    /// Errors: `conflict` (409) if `base` is not the last one any more.
    pub(crate) async fn apply(
        &self,
        base: i64,
        resources: &Resources,
        author: &str,
        reason: &str,
    ) -> Result<i64> {
        let body = serde_json::to_value(resources).or_internal()?;
        let mut tx = self.pool.begin().await.or_internal()?;
        sqlx::query!("SELECT pg_advisory_xact_lock(7231004)").fetch_one(&mut *tx).await.or_internal()?;
        let added = sqlx::query_scalar!(
            "INSERT INTO control.revisions (author, reason, resources)
             SELECT $2, $3, $4 WHERE (SELECT max(id) FROM control.revisions) = $1
             RETURNING id",
            base,
            author,
            reason,
            body,
        )
        .fetch_optional(&mut *tx)
        .await
        .or_internal()?;
        let id = added.ok_or_else(|| CONFLICT.error("somebody applied something since: look again"))?;
        sqlx::query!(
            "DELETE FROM control.revisions WHERE id <=
                 (SELECT id FROM control.revisions ORDER BY id DESC OFFSET $1 LIMIT 1)",
            KEPT,
        )
        .execute(&mut *tx)
        .await
        .or_internal()?;
        sqlx::query!("SELECT pg_notify($1, 'resources')", CHANNEL).fetch_one(&mut *tx).await.or_internal()?;
        tx.commit().await.or_internal()?;
        Ok(id)
    }
}

fn revision(id: i64, resources: Value) -> Result<Revision> {
    Ok(Revision { id, resources: serde_json::from_value(resources).or_internal()? })
}
