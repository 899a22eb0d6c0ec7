//! What a project's objects take up.

use base::Result;
use common::usage::Usage;
use sqlx::PgConnection;

use crate::error::OrDatabase;

/// The sum over all buckets. A row that somebody inserted without bytes counts for nothing, and no row for less than that
/// or more than an object may have: whoever owns the project may write what it likes there.
pub(crate) async fn of_all(connection: &mut PgConnection) -> Result<Usage> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "objects!",
            coalesce(sum(CASE WHEN jsonb_typeof(metadata -> 'size') = 'number'
                THEN least(greatest((metadata ->> 'size')::numeric, 0), 1::bigint << 50) END), 0)::bigint AS "bytes!"
        FROM storage.objects WHERE version IS NOT NULL"#
    )
    .fetch_one(connection)
    .await
    .or_database()?;
    Ok(Usage { objects: row.objects, bytes: row.bytes })
}
