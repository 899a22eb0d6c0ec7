//! Which projects changed: one listener on the platform database, many streams from it.

use std::time::Duration;

use base::error::OrInternal;
use base::{Body, Result};
use bytes::Bytes;
use common::project::ProjectRef;
use common::projects::Change;
use common::service::Tasks;
use futures_util::stream::{self, StreamExt};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;

/// A line is written at least this often, so that a dead stream is noticed.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Pause before the listener connects again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// The newest version, followed by a task.
pub(crate) struct Changes {
    db: PgPool,
    newest: watch::Receiver<i64>,
}

impl Changes {
    /// Follows the database's notifications for as long as the process lives.
    pub(crate) fn follow(db: PgPool, tasks: &Tasks) -> Changes {
        let (sender, newest) = watch::channel(0);
        let source = db.clone();
        tasks.spawn(async move {
            loop {
                if let Err(error) = listen(&source, &sender).await {
                    tracing::warn!(error = %base::error::chain(&error), "project changes are not heard");
                }
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        });
        Changes { db, newest }
    }

    /// NDJSON: a line per project that changed after `since`, then more as they come.
    ///
    /// The last line of each batch has no reference and says how far it went.
    pub(crate) fn stream(&self, since: i64) -> Body {
        let (db, newest) = (self.db.clone(), self.newest.clone());
        let lines = stream::unfold((db, newest, since, true), async |(db, mut newest, since, first)| {
            if !first {
                let _ = tokio::time::timeout(HEARTBEAT, newest.wait_for(|version| *version > since)).await;
            }
            let batch = batch(&db, since).await;
            let next = batch.as_ref().map_or(since, |(_, version)| *version);
            Some((batch.map(|(lines, _)| lines), (db, newest, next, false)))
        });
        // an error ends the stream: the watcher connects again and asks from where it was
        Body::from_stream(lines.map(|line| line.map_err(std::io::Error::other)))
    }
}

async fn listen(db: &PgPool, newest: &watch::Sender<i64>) -> Result<()> {
    let mut listener = PgListener::connect_with(db).await.or_internal()?;
    listener.listen("platform_changes").await.or_internal()?;
    loop {
        // at the start, and whenever the connection broke and is back, anything may have been missed
        newest.send_replace(newest_version(db).await?);
        while let Some(notice) = listener.try_recv().await.or_internal()? {
            newest.send_replace(notice.payload().parse().or_internal()?);
        }
    }
}

async fn batch(db: &PgPool, since: i64) -> Result<(Bytes, i64)> {
    let changes = changed_since(db, since).await?;
    let newest = changes.last().map_or(since, |change| change.version);
    let mut lines = Vec::new();
    for change in changes.into_iter().chain([Change { reference: None, version: newest }]) {
        serde_json::to_writer(&mut lines, &change).or_internal()?;
        lines.push(b'\n');
    }
    Ok((lines.into(), newest))
}

async fn newest_version(db: &PgPool) -> Result<i64> {
    let newest = sqlx::query_scalar!("SELECT max(version) FROM platform.projects").fetch_one(db).await;
    Ok(newest.or_internal()?.unwrap_or(0))
}

/// The projects that changed after `since`, oldest change first.
async fn changed_since(db: &PgPool, since: i64) -> Result<Vec<Change>> {
    let rows = sqlx::query!(
        "SELECT reference, version FROM platform.projects WHERE version > $1 ORDER BY version",
        since
    )
    .fetch_all(db)
    .await
    .or_internal()?;
    let change = |reference: &str, version| {
        let reference: ProjectRef = reference.parse()?;
        Ok(Change { reference: Some(reference), version })
    };
    rows.iter().map(|row| change(&row.reference, row.version)).collect()
}
