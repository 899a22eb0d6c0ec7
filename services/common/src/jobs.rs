//! Deferred work: one outbox per project, written in the transaction that causes it.
//!
//! A job is done at least once: its handler must bear a repetition. A failed one comes back later and later.

use std::time::Duration;

use base::Result;
use base::error::OrInternal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::types::Json;

use crate::db::{Db, Tx};

/// A job that is being worked on is another runner's again after this time.
const LEASE: Duration = Duration::from_secs(60);
/// Jobs taken at once.
const BATCH: i64 = 100;

/// Writes a job of `kind`; it exists if the transaction commits.
pub async fn enqueue<T: Serialize + Sync>(tx: &mut Tx, kind: &str, payload: &T) -> Result<()> {
    sqlx::query("INSERT INTO meshbase.jobs (kind, payload) VALUES ($1, $2)")
        .bind(kind)
        .bind(Json(payload))
        .execute(&mut **tx)
        .await
        .or_internal()?;
    Ok(())
}

/// A job that is held back; see [`hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held(i64);

/// Writes a job that undoes what its writer has begun: it comes due after `lease`, unless it is held on or released.
///
/// The writer commits it first, [`hold_on`]s while it works, and [`release`]s it in the transaction that makes the
/// work count. Whoever dies on the way leaves the job, and with it the clearing up.
pub async fn hold<T: Serialize + Sync>(
    tx: &mut Tx,
    kind: &str,
    payload: &T,
    lease: Duration,
) -> Result<Held> {
    let id = sqlx::query_scalar(
        "INSERT INTO meshbase.jobs (kind, payload, due_at) \
         VALUES ($1, $2, now() + make_interval(secs => $3)) RETURNING id",
    )
    .bind(kind)
    .bind(Json(payload))
    .bind(lease.as_secs_f64())
    .fetch_one(&mut **tx)
    .await
    .or_internal()?;
    Ok(Held(id))
}

/// Holds the job back for another `lease`; `false` if a runner has begun it, so that the work is lost.
pub async fn hold_on(tx: &mut Tx, job: Held, lease: Duration) -> Result<bool> {
    let held = sqlx::query(
        "UPDATE meshbase.jobs SET due_at = now() + make_interval(secs => $2) WHERE id = $1 AND attempts = 0",
    )
    .bind(job.0)
    .bind(lease.as_secs_f64())
    .execute(&mut **tx)
    .await
    .or_internal()?;
    Ok(held.rows_affected() == 1)
}

/// Takes the job back; `false` if a runner has begun it, so that the transaction must not commit.
pub async fn release(tx: &mut Tx, job: Held) -> Result<bool> {
    let released = sqlx::query("DELETE FROM meshbase.jobs WHERE id = $1 AND attempts = 0")
        .bind(job.0)
        .execute(&mut **tx)
        .await
        .or_internal()?;
    Ok(released.rows_affected() == 1)
}

/// Works on every due job of `kind`; returns how many were done.
///
/// A failure is logged, and the job is due again after 1 s, 2 s, 4 s … up to an hour.
pub async fn run_due<T, F, W>(db: &Db, kind: &str, work: F) -> Result<usize>
where
    T: DeserializeOwned + Send,
    F: Fn(T) -> W + Send + Sync,
    W: Future<Output = Result<()>> + Send,
{
    let mut done = 0;
    loop {
        let jobs = claim(db, kind).await?;
        if jobs.is_empty() {
            return Ok(done);
        }
        for (id, Json(payload)) in jobs {
            // one that cannot be read must not keep the others from being done
            let outcome = match serde_json::from_value(payload) {
                Ok(payload) => work(payload).await,
                Err(error) => Err(base::Error::internal(error)),
            };
            match outcome {
                Ok(()) => {
                    finish(db, id).await?;
                    done += 1;
                }
                Err(error) => {
                    tracing::warn!(kind, id, error = %base::error::chain(&error), "a job failed");
                    postpone(db, id).await?;
                }
            }
        }
    }
}

async fn claim(db: &Db, kind: &str) -> Result<Vec<(i64, Json<serde_json::Value>)>> {
    let mut tx = db.begin().await?;
    let jobs = sqlx::query_as(
        "UPDATE meshbase.jobs SET due_at = now() + make_interval(secs => $3), attempts = attempts + 1 \
         WHERE id IN (SELECT id FROM meshbase.jobs WHERE kind = $1 AND due_at <= now() \
                      ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
         RETURNING id, payload",
    )
    .bind(kind)
    .bind(BATCH)
    .bind(LEASE.as_secs_f64())
    .fetch_all(&mut *tx)
    .await
    .or_internal()?;
    tx.commit().await.or_internal()?;
    Ok(jobs)
}

async fn finish(db: &Db, id: i64) -> Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query("DELETE FROM meshbase.jobs WHERE id = $1").bind(id).execute(&mut *tx).await.or_internal()?;
    tx.commit().await.or_internal()
}

async fn postpone(db: &Db, id: i64) -> Result<()> {
    let mut tx = db.begin().await?;
    sqlx::query(
        "UPDATE meshbase.jobs \
         SET due_at = now() + make_interval(secs => least(3600, 2 ^ least(attempts, 12))) WHERE id = $1",
    )
    .bind(id)
    .execute(&mut *tx)
    .await
    .or_internal()?;
    tx.commit().await.or_internal()
}
