//! One look-out per project for sessions that ended, for as long as somebody listens; its findings go to all who do.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use base::error::OrInternal;
use base::{Body, Result};
use bytes::Bytes;
use common::Document;
use common::db::Databases;
use common::revocations::Ended;
use futures_util::stream::unfold;
use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::models::ended_session::{self, Ended as Ending};

/// How often the database is asked. A session is over everywhere within a second.
const LOOK: Duration = Duration::from_millis(500);
/// Look-outs that keep a connection. Beyond, each connects for every look,
const KEPT: usize = 16;
/// a few at a time,
const PASSING: usize = 4;
/// and less often: who listens takes a feed for silent after three seconds.
const LOOK_IN_PASSING: Duration = Duration::from_secs(2);
/// A feed ends after this time, and who listens begins another: so they spread over replicas that were added.
const LIFE: Duration = Duration::from_secs(30);
/// Sessions in one line.
const LINE: usize = 1000;
/// The line after those that it ends.
const NO_MORE: &[u8] = b"{\"ended\":[]}\n";
/// Sessions that one look-out remembers.
const MOST: usize = 200_000;

/// The look-outs of this process, by project.
pub(crate) struct LookOuts {
    all: Mutex<HashMap<Uuid, Weak<LookOut>>>,
    places: Places,
}

/// How many connections there may be.
#[derive(Clone)]
struct Places {
    kept: Arc<Semaphore>,
    passing: Arc<Semaphore>,
}

/// Ends with the last one who listens.
struct LookOut {
    /// That of the project's document: another one may lead elsewhere.
    version: i64,
    seen: watch::Sender<Seen>,
    asking: Mutex<Option<AbortHandle>>,
}

/// What one look-out has found.
#[derive(Default)]
struct Seen {
    lines: Vec<Bytes>,
    /// How often the database has answered: who listens hears of each, so that silence means trouble.
    answers: usize,
    /// It knows too much and ends; who still listens begins anew.
    is_over: bool,
}

impl Drop for LookOut {
    fn drop(&mut self) {
        if let Some(asking) = self.asking.lock().expect("no holder of this lock panics").take() {
            asking.abort();
        }
    }
}

impl Default for LookOuts {
    fn default() -> LookOuts {
        let places =
            Places { kept: Arc::new(Semaphore::new(KEPT)), passing: Arc::new(Semaphore::new(PASSING)) };
        LookOuts { all: Mutex::default(), places }
    }
}

impl LookOuts {
    /// Lines of [`Ended`], without an end: all that ended lately, then each as it ends, and an empty one where none did.
    pub(crate) fn listen(&self, databases: &Databases, project: Arc<Document>) -> Body {
        let look_out = self.of(databases, project);
        let heard = look_out.seen.subscribe();
        let begin = (look_out, heard, Instant::now() + LIFE, [0, 0]);
        let lines = unfold(begin, async |(look_out, mut heard, end, [answers, told])| {
            let seen = heard.wait_for(|seen| seen.answers > answers || seen.is_over).await.ok()?;
            if seen.is_over || Instant::now() > end {
                return None;
            }
            let text = [&seen.lines[told..], &[Bytes::from_static(NO_MORE)]].concat().concat();
            let told = [seen.answers, seen.lines.len()];
            drop(seen);
            Some((Ok::<_, Infallible>(Bytes::from(text)), (look_out, heard, end, told)))
        });
        Body::from_stream(lines)
    }

    fn of(&self, databases: &Databases, project: Arc<Document>) -> Arc<LookOut> {
        let mut all = self.all.lock().expect("no holder of this lock panics");
        all.retain(|_, look_out| look_out.strong_count() > 0);
        if let Some(look_out) = all.get(&project.id).and_then(Weak::upgrade)
            && !look_out.seen.borrow().is_over
            && look_out.version == project.version
        {
            return look_out;
        }
        let (id, version) = (project.id, project.version);
        let look_out =
            Arc::new(LookOut { version, seen: watch::Sender::default(), asking: Mutex::default() });
        let line = Line { databases: databases.clone(), project, places: self.places.clone(), kept: None };
        let asking = tokio::spawn(ask(Arc::downgrade(&look_out), line));
        *look_out.asking.lock().expect("no holder of this lock panics") = Some(asking.abort_handle());
        all.insert(id, Arc::downgrade(&look_out));
        look_out
    }
}

/// The way to one project's database.
struct Line {
    databases: Databases,
    project: Arc<Document>,
    places: Places,
    kept: Option<(PgConnection, OwnedSemaphorePermit)>,
}

impl Line {
    /// What ended since `horizon`; and how long to wait before the next look.
    async fn look(&mut self, horizon: Option<&str>) -> Result<(Ending, Duration)> {
        if self.kept.is_none()
            && let Ok(place) = self.places.kept.clone().try_acquire_owned()
        {
            self.kept = Some((self.databases.connect(&self.project).await?, place));
        }
        // one that failed is not kept
        if let Some((mut connection, place)) = self.kept.take() {
            let ended = look(&mut connection, horizon).await?;
            self.kept = Some((connection, place));
            return Ok((ended, LOOK));
        }
        let _turn = self.places.passing.acquire().await.or_internal()?;
        let mut connection = self.databases.connect(&self.project).await?;
        let ended = look(&mut connection, horizon).await?;
        connection.close().await.or_internal()?;
        Ok((ended, LOOK_IN_PASSING))
    }
}

async fn look(connection: &mut PgConnection, horizon: Option<&str>) -> Result<Ending> {
    if horizon.is_none() {
        ended_session::forget(connection).await?;
    }
    ended_session::since(connection, horizon).await
}

async fn ask(look_out: Weak<LookOut>, mut line: Line) {
    let (mut horizon, mut known) = (None::<String>, HashSet::new());
    loop {
        let mut pause = LOOK;
        match line.look(horizon.as_deref()).await {
            Ok((mut ended, next)) => {
                pause = next;
                ended.ids.retain(|id| known.insert(*id));
                horizon = Some(ended.horizon);
                let Some(look_out) = look_out.upgrade() else { return };
                look_out.seen.send_modify(|seen| {
                    seen.lines.extend(ended.ids.chunks(LINE).map(told));
                    seen.answers += 1;
                    seen.is_over = known.len() > MOST;
                });
                if known.len() > MOST {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(error = %base::error::chain(&error), "ended sessions are not known")
            }
        }
        tokio::time::sleep(pause).await;
    }
}

fn told(ids: &[Uuid]) -> Bytes {
    let line = Ended { ended: ids.to_vec(), more: true };
    let mut text = serde_json::to_vec(&line).expect("UUIDs are text");
    text.push(b'\n');
    Bytes::from(text)
}
