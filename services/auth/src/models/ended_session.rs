//! Sessions that ended before their tokens did. The database notes them: see the migration.

use base::Result;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::OrDatabase;

/// Sessions that a verifier is told of at once: the newest. More than that in a week is a fleet that signs out all day.
const MOST: i64 = 50_000;

/// Those that ended, and from where to read on.
pub(crate) struct Ended {
    pub(crate) ids: Vec<Uuid>,
    /// A transaction; what it and later ones noted may not have been seen.
    pub(crate) horizon: String,
}

/// Takes away what no token can be of any more: none lives for longer than a week.
pub(crate) async fn forget(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!(
        "DELETE FROM meshbase.ended_sessions WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM meshbase.ended_sessions WHERE ended_at < now() - interval '8 days'
            LIMIT 10000 FOR UPDATE SKIP LOCKED))"
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}

/// Those noted from `horizon` on; of the last week if there is none. What was open at `horizon` comes again.
pub(crate) async fn since(connection: &mut PgConnection, horizon: Option<&str>) -> Result<Ended> {
    let row = sqlx::query!(
        r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS "horizon!",
            ARRAY(SELECT id FROM meshbase.ended_sessions
                WHERE CASE WHEN $1::text IS NULL THEN ended_at > now() - interval '7 days'
                    ELSE transaction >= ($1::text)::xid8 END
                ORDER BY ended_at DESC LIMIT $2) AS "ids!: Vec<Uuid>""#,
        horizon,
        MOST
    )
    .fetch_one(connection)
    .await
    .or_database()?;
    Ok(Ended { ids: row.ids, horizon: row.horizon })
}
