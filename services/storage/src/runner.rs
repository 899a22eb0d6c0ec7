//! Works on the deferred jobs of the projects in use: one task per project, poked after commits, sweeping each minute.
//!
//! A project that nobody used for a while loses its task, so that its database may fall asleep.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Result, Timestamp};
use common::service::Tasks;
use common::{Databases, Db, ProjectRef, Projects, jobs};
use serde::{Deserialize, Serialize};
use time::serde::rfc3339;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::blobs::{BlobId, Blobs};
use crate::error::OrDatabase;
use crate::models::object::StoredObject;
use crate::operation::BUCKET_EMPTY;
use crate::session::begin_unattended;

/// How often a project's jobs are looked for without a poke.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Sweeps without a request until a project's task ends; longer than an upload's lease.
const IDLE_SWEEPS: u32 = 5;
/// Objects that emptying a bucket deletes in one transaction.
const EMPTY_BATCH: i64 = 1000;

/// Discards the blob of a version that no row refers to. Also written by the triggers on `storage.objects`.
pub(crate) const DISCARD: &str = "storage.discard";
/// Deletes a bucket's objects.
pub(crate) const EMPTY: &str = "storage.empty_bucket";

/// The payload of [`DISCARD`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Discard {
    /// Text, because a row that users' SQL wrote may say anything.
    pub(crate) version: String,
}

/// The payload of [`EMPTY`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Empty {
    pub(crate) bucket: String,
    /// What is uploaded later stays.
    #[serde(with = "rfc3339")]
    pub(crate) before: Timestamp,
}

/// The tasks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Runner(Arc<Inner>);

struct Inner {
    projects: Projects,
    databases: Databases,
    blobs: Blobs,
    tasks: Tasks,
    lanes: Mutex<HashMap<ProjectRef, Arc<Lane>>>,
}

/// One project's task, as the others see it.
#[derive(Default)]
struct Lane {
    poked: Notify,
    used: AtomicBool,
}

impl Runner {
    pub(crate) fn new(projects: Projects, databases: Databases, blobs: Blobs, tasks: Tasks) -> Runner {
        Runner(Arc::new(Inner { projects, databases, blobs, tasks, lanes: Mutex::default() }))
    }

    /// Notes that the project is in use, and starts its task if it has none.
    pub(crate) fn attend(&self, project: &ProjectRef) {
        let mut lanes = self.0.lanes.lock().expect("no holder of this lock panics");
        match lanes.entry(project.clone()) {
            Entry::Occupied(lane) => lane.get().used.store(true, Ordering::Relaxed),
            Entry::Vacant(place) => {
                let lane = place.insert(Arc::default()).clone();
                let (runner, project) = (self.clone(), project.clone());
                self.0.tasks.spawn(async move { runner.follow(project, lane).await });
            }
        }
    }

    /// Says that there is something to do.
    pub(crate) fn poke(&self, project: &ProjectRef) {
        if let Some(lane) = self.0.lanes.lock().expect("no holder of this lock panics").get(project) {
            lane.poked.notify_one();
        }
    }

    async fn follow(&self, project: ProjectRef, lane: Arc<Lane>) {
        let mut idle_sweeps = 0;
        while self.stays(&project, &lane, &mut idle_sweeps) {
            if let Err(error) = self.sweep(&project).await {
                tracing::warn!(%project, error = %base::error::chain(&error), "jobs could not be worked on");
            }
            let _ = tokio::time::timeout(SWEEP_EVERY, lane.poked.notified()).await;
        }
    }

    /// Whether the task goes on; it leaves under the lock, so that a new request finds it there or starts another.
    fn stays(&self, project: &ProjectRef, lane: &Lane, idle_sweeps: &mut u32) -> bool {
        let mut lanes = self.0.lanes.lock().expect("no holder of this lock panics");
        *idle_sweeps = if lane.used.swap(false, Ordering::Relaxed) { 0 } else { *idle_sweeps + 1 };
        let stays = *idle_sweeps <= IDLE_SWEEPS;
        if !stays {
            lanes.remove(project);
        }
        stays
    }

    async fn sweep(&self, project: &ProjectRef) -> Result<()> {
        let document = self.0.projects.get(project).await?;
        let db = self.0.databases.of(&document).await?;
        // emptying first: it is what leaves blobs to discard
        jobs::run_due(&db, EMPTY, async |job: Empty| empty(&db, &job).await).await?;
        jobs::run_due(&db, DISCARD, async |job: Discard| self.discard(&db, document.id, &job).await).await?;
        Ok(())
    }

    async fn discard(&self, db: &Db, project: Uuid, job: &Discard) -> Result<()> {
        // a row without a version of ours never had a blob
        let Ok(version) = Uuid::parse_str(&job.version) else {
            return Ok(());
        };
        let mut connection = db.acquire().await?;
        let kept = StoredObject::refers_to(&mut connection, version).await?;
        drop(connection);
        if kept { Ok(()) } else { self.0.blobs.discard(BlobId { project, version }).await }
    }
}

async fn empty(db: &Db, job: &Empty) -> Result<()> {
    loop {
        let mut tx = begin_unattended(db, BUCKET_EMPTY).await?;
        let deleted = StoredObject::delete_some(&mut tx, &job.bucket, job.before, EMPTY_BATCH).await?;
        tx.commit().await.or_database()?;
        if deleted == 0 {
            return Ok(());
        }
    }
}
