//! Live views of what proxies see: an operator looks, every proxy on this replica's streams is asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base::Body;
use base::error::BAD_REQUEST;
use base::{Code, Result};
use bytes::Bytes;
use futures_util::stream;
use mesh::steer::{FromControl, TAP_LIFE, tap_filter};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};

use crate::Control;

/// As many look as may.
const TOO_MANY_TAPS: Code = Code::new(429, "too_many_taps");
/// Who may look at once.
const MOST: usize = 8;
/// Lines that may wait for one of them. What comes beyond is lost.
const QUEUE: usize = 1024;

/// Who looks. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Taps(Arc<Inner>);

#[derive(Default)]
struct Inner {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

struct Open {
    filter: String,
    lines: mpsc::Sender<Bytes>,
}

impl Open {
    fn asked(&self, tap: u64) -> FromControl {
        FromControl::Tap { tap, filter: self.filter.clone() }
    }
}

impl Taps {
    /// What a proxy whose stream begins is to be asked for.
    pub(crate) fn asked(&self) -> Vec<FromControl> {
        let open = self.0.open.lock().expect("no holder of this lock panics");
        open.iter().map(|(tap, open)| open.asked(*tap)).collect()
    }

    /// Shows lines of a proxy to who looks.
    pub(crate) fn show(&self, tap: u64, service: &str, instance: &str, lines: Vec<Value>) {
        let open = self.0.open.lock().expect("no holder of this lock panics");
        let Some(Open { lines: who, .. }) = open.get(&tap) else { return };
        for mut line in lines {
            // whose word it is, whatever the line says
            let Some(fields) = line.as_object_mut() else { continue };
            fields.insert("told_by".to_owned(), json!({ "service": service, "instance": instance }));
            let _ = who.try_send(Bytes::from(format!("{line}\n")));
        }
    }
}

/// Ends the view, here and at the proxies.
struct Looking {
    control: Control,
    tap: u64,
}

impl Drop for Looking {
    fn drop(&mut self) {
        let taps = &self.control.0.taps.0;
        taps.open.lock().expect("no holder of this lock panics").remove(&self.tap);
        self.control.0.proxies.ask(&FromControl::Untap { tap: self.tap });
    }
}

/// NDJSON of what passes the filter `query`, without an end. The first line says how many proxies are asked, and how many
/// more are on other replicas' streams.
///
/// Errors: `bad_request` (400), `too_many_taps` (429).
pub(crate) async fn look(control: &Control, query: &str) -> Result<Body> {
    tap_filter(query).map_err(|wrong| BAD_REQUEST.error(wrong))?;
    let taps = &control.0.taps.0;
    let tap = taps.next.fetch_add(1, Ordering::Relaxed);
    let (sender, lines) = mpsc::channel(QUEUE);
    {
        let mut open = taps.open.lock().expect("no holder of this lock panics");
        if open.len() >= MOST {
            return Err(TOO_MANY_TAPS.error(format!("{MOST} look already, as many as may")));
        }
        open.insert(tap, Open { filter: query.to_owned(), lines: sender });
    }
    let looking = Looking { control: control.clone(), tap };
    let what = FromControl::Tap { tap, filter: query.to_owned() };
    let asked = control.0.proxies.ask(&what);
    let elsewhere = control.elsewhere(&asked).await;
    let first = json!({ "event": "looking", "proxies": asked.len(), "elsewhere": elsewhere });
    let first = Some(Bytes::from(format!("{first}\n")));
    let again = interval_at(Instant::now() + TAP_LIFE / 2, TAP_LIFE / 2);
    let begin = (looking, first, lines, again);
    let shown = stream::unfold(begin, move |(looking, first, mut lines, mut again)| {
        let what = what.clone();
        async move {
            let line = match first {
                Some(first) => first,
                None => loop {
                    tokio::select! {
                        line = lines.recv() => break line?,
                        _ = again.tick() => drop(looking.control.0.proxies.ask(&what)),
                    }
                },
            };
            Some((Ok::<_, std::convert::Infallible>(line), (looking, None, lines, again)))
        }
    });
    Ok(Body::from_stream(shown))
}
