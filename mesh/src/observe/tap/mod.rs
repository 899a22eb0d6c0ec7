//! A live view of events for whoever asks, through a filter.
//!
//! It costs one atomic load per event while nobody looks. Who looks and does not keep up loses lines and is told how
//! many.

mod filter;

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use serde_json::json;
use tokio::sync::mpsc;

pub use filter::Filter;

use super::{Event, Observer, to_json};

/// Subscribers at once.
const MAX_SUBSCRIBERS: usize = 16;
/// Lines that may wait for one subscriber.
const QUEUE: usize = 256;

/// As many look already as may.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{MAX_SUBSCRIBERS} taps are open, as many as there may be")
    }
}

impl std::error::Error for Full {}

/// Where events are shown live. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tap(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// As many as in `subscribers`: to look there only if there is somebody.
    count: AtomicUsize,
    subscribers: RwLock<Vec<Subscriber>>,
    next_id: AtomicU64,
}

struct Subscriber {
    id: u64,
    filter: Filter,
    queue: mpsc::Sender<Bytes>,
    lost: Arc<AtomicU64>,
}

impl Tap {
    /// Nobody looks yet.
    pub fn new() -> Tap {
        Tap::default()
    }

    /// An observer that shows events here.
    pub fn observer(&self) -> Observer {
        let tap = self.clone();
        Observer::new(move |event| tap.observe(event))
    }

    /// Shows one event to those whose filter it passes.
    pub fn observe(&self, event: &Event) {
        if self.0.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut line: Option<Bytes> = None;
        let subscribers = self.0.subscribers.read().expect("no holder of this lock panics");
        for subscriber in subscribers.iter().filter(|subscriber| subscriber.filter.passes(event)) {
            let Ok(place) = subscriber.queue.try_reserve() else {
                subscriber.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            place.send(line.get_or_insert_with(|| ndjson(&to_json(event))).clone());
        }
    }

    /// Looks from now on, until the subscription is dropped. At most 16 at once.
    pub fn subscribe(&self, filter: Filter) -> Result<Subscription, Full> {
        let mut subscribers = self.0.subscribers.write().expect("no holder of this lock panics");
        if subscribers.len() >= MAX_SUBSCRIBERS {
            return Err(Full);
        }
        let (queue, lines) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        subscribers.push(Subscriber { id, filter, queue, lost: Arc::clone(&lost) });
        self.0.count.store(subscribers.len(), Ordering::Relaxed);
        Ok(Subscription { tap: self.clone(), id, lines, lost })
    }

    /// Ends every subscription, so that a proxy that stops need not wait for who looks.
    pub fn close(&self) {
        let mut subscribers = self.0.subscribers.write().expect("no holder of this lock panics");
        subscribers.clear();
        self.0.count.store(0, Ordering::Relaxed);
    }

    fn unsubscribe(&self, id: u64) {
        let mut subscribers = self.0.subscribers.write().expect("no holder of this lock panics");
        subscribers.retain(|subscriber| subscriber.id != id);
        self.0.count.store(subscribers.len(), Ordering::Relaxed);
    }
}

/// Lines of JSON, each with its end. Ends with [`Tap::close`].
pub struct Subscription {
    tap: Tap,
    id: u64,
    lines: mpsc::Receiver<Bytes>,
    lost: Arc<AtomicU64>,
}

impl Stream for Subscription {
    type Item = Bytes;

    /// The next line; after a gap `{"event":"lost","lines":n}`, once the lines that waited are out.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.lines.is_empty() {
            let lines = self.lost.swap(0, Ordering::Relaxed);
            if lines > 0 {
                return Poll::Ready(Some(ndjson(&json!({ "event": "lost", "lines": lines }))));
            }
        }
        self.lines.poll_recv(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.tap.unsubscribe(self.id);
    }
}

fn ndjson(value: &serde_json::Value) -> Bytes {
    let mut line = value.to_string();
    line.push('\n');
    Bytes::from(line)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use serde_json::Value;

    use super::super::sample::{everything, exchange};
    use super::*;

    /// The lines that wait.
    fn lines(subscription: &mut Subscription) -> Vec<Value> {
        std::iter::from_fn(|| subscription.next().now_or_never().flatten())
            .map(|line| serde_json::from_slice(line.strip_suffix(b"\n").unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn who_looks_sees_every_event_that_passes() {
        let tap = Tap::new();
        let mut all = tap.subscribe(Filter::default()).unwrap();
        let mut none = tap.subscribe(Filter { service: Some("auth".into()), ..Filter::default() }).unwrap();

        everything().iter().for_each(|event| tap.observe(event));

        assert_eq!(lines(&mut all).len(), everything().len());
        assert_eq!(lines(&mut none).len(), 0);
    }

    #[test]
    fn who_does_not_keep_up_is_told_what_was_lost() {
        let tap = Tap::new();
        let mut slow = tap.subscribe(Filter::default()).unwrap();

        for _ in 0..QUEUE + 7 {
            tap.observe(&Event::Ended(exchange()));
        }

        let seen = lines(&mut slow);
        assert_eq!(seen.len(), QUEUE + 1);
        assert_eq!(seen[QUEUE], json!({ "event": "lost", "lines": 7 }));
    }

    #[test]
    fn there_are_sixteen_places_and_who_goes_leaves_his() {
        let tap = Tap::new();
        let mut open: Vec<_> =
            (0..MAX_SUBSCRIBERS).map(|_| tap.subscribe(Filter::default()).unwrap()).collect();
        assert_eq!(tap.subscribe(Filter::default()).err(), Some(Full));

        open.pop();

        assert!(tap.subscribe(Filter::default()).is_ok());
        open.clear();
        assert_eq!(tap.0.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_tap_that_closes_ends_its_subscriptions_after_what_waits() {
        let tap = Tap::new();
        let mut open = tap.subscribe(Filter::default()).unwrap();
        tap.observe(&Event::Ended(exchange()));

        tap.close();

        assert!(open.next().now_or_never().flatten().is_some());
        assert_eq!(open.next().now_or_never(), Some(None));
    }
}
