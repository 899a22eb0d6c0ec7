//! One look-out per project for sessions that ended, for as long as somebody listens; its findings go to all who do.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use base::Body;
use bytes::Bytes;
use common::Db;
use common::revocations::Ended;
use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::models::ended_session;

/// How often the database is asked. A session is over everywhere within a second.
const LOOK: Duration = Duration::from_millis(500);
/// A feed ends after this time, and who listens begins another: so they spread over replicas that were added.
const LIFE: Duration = Duration::from_secs(30);
/// Sessions in one line.
const LINE: usize = 1000;
/// The line after those that it ends.
const NO_MORE: &[u8] = b"{\"ended\":[]}\n";
/// Sessions that one look-out remembers.
const MOST: usize = 200_000;

/// The look-outs of this process, by project.
#[derive(Default)]
pub(crate) struct LookOuts(Mutex<HashMap<Uuid, Weak<LookOut>>>);

/// Ends with the last one who listens.
struct LookOut {
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

impl LookOuts {
    /// Lines of [`Ended`], without an end: all that ended lately, then each as it ends, and an empty one where none did.
    pub(crate) fn listen(&self, project: Uuid, db: Db) -> Body {
        let look_out = self.of(project, db);
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

    fn of(&self, project: Uuid, db: Db) -> Arc<LookOut> {
        let mut all = self.0.lock().expect("no holder of this lock panics");
        all.retain(|_, look_out| look_out.strong_count() > 0);
        if let Some(look_out) = all.get(&project).and_then(Weak::upgrade)
            && !look_out.seen.borrow().is_over
        {
            return look_out;
        }
        let look_out = Arc::new(LookOut { seen: watch::Sender::default(), asking: Mutex::default() });
        let asking = tokio::spawn(ask(Arc::downgrade(&look_out), db));
        *look_out.asking.lock().expect("no holder of this lock panics") = Some(asking.abort_handle());
        all.insert(project, Arc::downgrade(&look_out));
        look_out
    }
}

async fn ask(look_out: Weak<LookOut>, db: Db) {
    let (mut horizon, mut known) = (None::<String>, HashSet::new());
    loop {
        let asked = async { ended_session::since(&mut *db.acquire().await?, horizon.as_deref()).await };
        match asked.await {
            Ok(mut ended) => {
                ended.ids.retain(|id| known.insert(*id));
                horizon = Some(ended.horizon);
                let Some(look_out) = look_out.upgrade() else { return };
                look_out.seen.send_modify(|seen| {
                    seen.lines.extend(ended.ids.chunks(LINE).map(line));
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
        tokio::time::sleep(LOOK).await;
    }
}

fn line(ids: &[Uuid]) -> Bytes {
    let line = Ended { ended: ids.to_vec(), more: true };
    let mut text = serde_json::to_vec(&line).expect("UUIDs are text");
    text.push(b'\n');
    Bytes::from(text)
}
