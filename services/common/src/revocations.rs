//! Sessions that ended before their tokens did: auth tells, whoever verifies tokens refuses them within a second.
//!
//! One feed per project in use. A feed that is silent is opened anew, at another replica if there is one, and begins with
//! everything that ended lately. While none is heard – auth is away, or the feed has not begun – whoever verifies asks the
//! project's database about each session, once a second at most.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use base::error::{OrInternal, UNAVAILABLE};
use base::{Body, Error, Result, header};
use futures_util::StreamExt;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::claims::Claims;
use crate::outbound::Outbound;
use crate::project::ProjectRef;
use crate::service::Tasks;

/// A feed that says nothing for this time is opened anew.
const SILENCE: Duration = Duration::from_secs(3);
/// The pause before one that broke off is opened anew.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the first requests of a project wait for the beginning of its feed.
const BEGIN: Duration = Duration::from_millis(250);
/// What the database said of a session holds for this time.
const CHECKED: Duration = Duration::from_secs(1);
/// Sessions of which it is remembered what the database said.
const MOST_CHECKED: usize = 10_000;
/// A feed that nobody needed for this time ends: the project's database may rest.
const IDLE: Duration = Duration::from_secs(120);
/// Asks whether a session (`$1`, as text) has ended, as a role that callers have.
pub const HAS_ENDED: &str = "SELECT auth.session_has_ended($1::text::uuid)";
/// Longest line, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// Sessions that are remembered of one project; beyond that the feed begins again with the newest.
const MOST: usize = 200_000;

/// One line of the feed `GET http://auth.mesh/internal/revocations` (NDJSON).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// The sessions.
    pub ended: Vec<Uuid>,
    /// Whether more of what is known already comes in the next line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// What is known of ended sessions. Cheap to clone.
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    outbound: Outbound,
    tasks: Tasks,
    feeds: Mutex<HashMap<ProjectRef, Arc<Feed>>>,
}

#[derive(Default)]
struct Feed {
    ended: RwLock<HashSet<Uuid>>,
    /// When it was last heard of; `None` until all that ended before is known.
    heard: Mutex<Option<Instant>>,
    /// Whether it has begun, or could not.
    begun: watch::Sender<bool>,
    used: AtomicBool,
    /// Sessions that had not ended when the database was asked.
    checked: Mutex<HashMap<Uuid, Instant>>,
}

impl Revocations {
    /// Follows nothing until a token of a project is seen.
    pub fn new(outbound: Outbound, tasks: Tasks) -> Revocations {
        Revocations(Arc::new(Inner { outbound, tasks, feeds: Mutex::default() }))
    }

    /// Whether the session that a verified token is of has ended. A token without one cannot be revoked.
    ///
    /// `ask` says it by [`HAS_ENDED`] in the project's database, where the feed cannot.
    ///
    /// Errors: those of `ask`.
    pub async fn is_ended(
        &self,
        project: &ProjectRef,
        claims: &Claims,
        ask: impl AsyncFnOnce(Uuid) -> Result<bool>,
    ) -> Result<bool> {
        let session = claims.get("session_id").and_then(Value::as_str);
        let Some(session) = session.and_then(|id| id.parse::<Uuid>().ok()) else { return Ok(false) };
        let feed = self.feed(project);
        feed.used.store(true, Ordering::Relaxed);
        if !*feed.begun.borrow() {
            let _ = timeout(BEGIN, feed.begun.subscribe().wait_for(|begun| *begun)).await;
        }
        if feed.knows(&session) {
            return Ok(true);
        }
        if feed.is_heard() || feed.was_checked(&session) {
            return Ok(false);
        }
        let has_ended = ask(session).await?;
        feed.checked(session, has_ended);
        Ok(has_ended)
    }

    fn feed(&self, project: &ProjectRef) -> Arc<Feed> {
        let mut feeds = self.0.feeds.lock().expect("no holder of this lock panics");
        if let Some(feed) = feeds.get(project) {
            return feed.clone();
        }
        let feed = Arc::<Feed>::default();
        feeds.insert(project.clone(), feed.clone());
        let (revocations, project, followed) = (self.clone(), project.clone(), feed.clone());
        self.0.tasks.spawn(async move { revocations.follow(project, &followed).await });
        feed
    }

    /// Follows one project until nobody needs it.
    async fn follow(&self, project: ProjectRef, feed: &Feed) {
        let mut needed = Instant::now();
        while needed.elapsed() < IDLE {
            let began = Instant::now();
            let heard = self.listen(&project, feed, &mut needed).await;
            feed.begun.send_replace(true);
            // one that lasted ended in order: there is no gap
            let is_in_order = heard.is_ok() && began.elapsed() > SILENCE;
            if feed.used.swap(false, Ordering::Relaxed) {
                needed = Instant::now();
            }
            if let Err(error) = heard {
                tracing::debug!(%project, error = %base::error::chain(&error), "ended sessions are not heard of");
            }
            if !is_in_order {
                sleep(PAUSE).await;
            }
        }
        self.0.feeds.lock().expect("no holder of this lock panics").remove(&project);
    }

    async fn listen(&self, project: &ProjectRef, feed: &Feed, needed: &mut Instant) -> Result<()> {
        let request = http::Request::get("http://auth.mesh/internal/revocations")
            .header(header::PROJECT, HeaderValue::from_str(project.as_str()).or_internal()?)
            .body(Body::empty());
        let sent = timeout(SILENCE, self.0.outbound.send(request.or_internal()?)).await;
        let response = sent.map_err(|_| UNAVAILABLE.error("auth does not answer"))??;
        if !response.status().is_success() {
            return Err(Error::internal(format!("the feed answered {}", response.status())));
        }
        let mut chunks = response.into_body().into_data_stream();
        let mut line = Vec::new();
        loop {
            let chunk = timeout(SILENCE, chunks.next()).await;
            let Some(chunk) = chunk.map_err(|_| UNAVAILABLE.error("the feed is silent"))? else {
                return Ok(());
            };
            for byte in chunk.or_internal()? {
                if byte == b'\n' {
                    feed.hear(serde_json::from_slice(&line).or_internal()?)?;
                    line.clear();
                } else if line.len() < MAX_LINE {
                    line.push(byte);
                }
            }
            if feed.used.swap(false, Ordering::Relaxed) {
                *needed = Instant::now();
            } else if needed.elapsed() > IDLE {
                return Ok(());
            }
        }
    }
}

impl Feed {
    /// Errors: more than is remembered.
    fn hear(&self, line: Ended) -> Result<()> {
        let mut ended = self.ended.write().expect("no holder of this lock panics");
        ended.extend(line.ended);
        if ended.len() > MOST {
            // the database knows what is forgotten here
            self.set_heard(None);
            ended.clear();
            return Err(Error::internal("more sessions ended than are remembered"));
        }
        if !line.more {
            self.set_heard(Some(Instant::now()));
            self.begun.send_replace(true);
        }
        Ok(())
    }

    fn knows(&self, session: &Uuid) -> bool {
        self.ended.read().expect("no holder of this lock panics").contains(session)
    }

    fn is_heard(&self) -> bool {
        let heard = self.heard.lock().expect("no holder of this lock panics");
        heard.is_some_and(|heard| heard.elapsed() <= SILENCE)
    }

    fn set_heard(&self, heard: Option<Instant>) {
        *self.heard.lock().expect("no holder of this lock panics") = heard;
    }

    fn was_checked(&self, session: &Uuid) -> bool {
        let checked = self.checked.lock().expect("no holder of this lock panics");
        checked.get(session).is_some_and(|at| at.elapsed() <= CHECKED)
    }

    fn checked(&self, session: Uuid, has_ended: bool) {
        if has_ended {
            self.ended.write().expect("no holder of this lock panics").insert(session);
            return;
        }
        let mut checked = self.checked.lock().expect("no holder of this lock panics");
        if checked.len() >= MOST_CHECKED {
            checked.retain(|_, at| at.elapsed() <= CHECKED);
        }
        if checked.len() < MOST_CHECKED {
            checked.insert(session, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    use bytes::Bytes;
    use futures_util::stream;
    use serde_json::json;

    use super::*;

    fn claims(session: &Uuid) -> Claims {
        json!({ "session_id": session }).as_object().unwrap().clone()
    }

    /// An auth service whose feeds say `lines`, then nothing; how often it was asked.
    fn auth(lines: Vec<String>) -> (Revocations, Arc<AtomicUsize>) {
        let asked = Arc::<AtomicUsize>::default();
        let counted = asked.clone();
        let outbound = Outbound::new(tower::service_fn(move |_: base::Request| {
            counted.fetch_add(1, Ordering::Relaxed);
            let said = lines.clone().into_iter().map(|line| Ok::<_, Infallible>(Bytes::from(line)));
            let body = Body::from_stream(stream::iter(said).chain(stream::pending()));
            async move { Ok::<_, Infallible>(http::Response::new(body)) }
        }));
        (Revocations::new(outbound, Tasks::default()), asked)
    }

    fn project() -> ProjectRef {
        "shop".parse().unwrap()
    }

    /// Whether the session has ended, without a database that could be asked.
    async fn is_ended(revocations: &Revocations, session: &Uuid) -> bool {
        let ask = async |_| panic!("the feed says it");
        revocations.is_ended(&project(), &claims(session), ask).await.unwrap()
    }

    /// The same with a database that says `answer`, and whether it was asked.
    async fn asked(revocations: &Revocations, session: u128, answer: bool) -> (bool, bool) {
        let mut asked = false;
        let ask = async |_| {
            asked = true;
            Ok(answer)
        };
        let ended = revocations.is_ended(&project(), &claims(&Uuid::from_u128(session)), ask).await;
        (ended.unwrap(), asked)
    }

    fn nobody() -> Revocations {
        let away = tower::service_fn(|_: base::Request| async {
            sleep(Duration::from_secs(600)).await;
            Err::<base::Response, std::io::Error>(std::io::ErrorKind::TimedOut.into())
        });
        Revocations::new(Outbound::new(away), Tasks::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_an_ended_session_is_known_from_the_first_request_on() {
        let (ended, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = format!("{{\"ended\":[\"{ended}\"],\"more\":true}}\n");
        let (revocations, _) = auth(vec![first, "{\"ended\":[]}\n".to_owned()]);

        assert!(is_ended(&revocations, &ended).await);
        assert!(!is_ended(&revocations, &other).await);
        let ask = async |_| panic!("it is of no session");
        assert!(!revocations.is_ended(&project(), &Claims::new(), ask).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_feed_is_opened_anew_and_forgets_nothing() {
        let (ended, other) = (1, 2);
        let line = format!("{{\"ended\":[\"{}\"]}}\n", Uuid::from_u128(ended));
        let (revocations, opened) = auth(vec![line]);
        assert!(is_ended(&revocations, &Uuid::from_u128(ended)).await);

        // for longer than an unused feed lives
        for _ in 0..100 {
            sleep(SILENCE).await;
            assert_eq!(asked(&revocations, ended, false).await, (true, false));
        }

        assert!(opened.load(Ordering::Relaxed) >= 50);
        assert!(!asked(&revocations, other, false).await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_heard_the_database_says_once_a_second() {
        let revocations = nobody();
        let begun = Instant::now();

        assert_eq!(asked(&revocations, 1, false).await, (false, true));
        assert!(begun.elapsed() <= BEGIN);
        assert_eq!(asked(&revocations, 1, true).await, (false, false), "it was asked just now");
        sleep(CHECKED * 2).await;
        assert_eq!(asked(&revocations, 1, true).await, (true, true));
        assert_eq!(asked(&revocations, 1, false).await, (true, false), "what ended stays so");

        // once the feed could not begin, nobody waits for it
        sleep(SILENCE).await;
        let again = Instant::now();
        assert_eq!(asked(&revocations, 2, false).await, (false, true));
        assert_eq!(again.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_does_not_answer_lets_nobody_in() {
        let ask = async |_| Err(UNAVAILABLE.error("no database"));

        assert!(nobody().is_ended(&project(), &claims(&Uuid::from_u128(1)), ask).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_that_fell_silent_is_not_believed() {
        let (revocations, _) = auth(vec!["{\"ended\":[]}\n".to_owned()]);
        assert_eq!(asked(&revocations, 1, true).await, (false, false));

        // the feed is heard again each time that it is opened anew: between two of them it is silent for too long
        sleep(SILENCE + PAUSE / 2).await;

        assert_eq!(asked(&revocations, 1, true).await, (true, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_that_nobody_uses_has_no_feed() {
        let (revocations, asked) = auth(vec!["{\"ended\":[]}\n".to_owned()]);
        is_ended(&revocations, &Uuid::from_u128(1)).await;

        sleep(IDLE * 2).await;
        let before = asked.load(Ordering::Relaxed);
        sleep(IDLE).await;

        assert_eq!(asked.load(Ordering::Relaxed), before);
        assert!(revocations.0.feeds.lock().unwrap().is_empty());
    }
}
