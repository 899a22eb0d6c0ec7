//! Spans of exchanges, sent to a collector by OTLP over HTTP in JSON.
//!
//! A request never waits for its span: what the collector does not take in time is dropped and counted.
//! Source: OpenTelemetry protocol specification 1.x, §"OTLP/HTTP".

mod collector;
mod span;

use std::time::Duration;

use base::{Clock, Timestamp};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Event, Exchange, Observer};
use crate::resource::Otlp;
use collector::{Collector, Outcome};

/// Spans that may wait for the exporter.
const QUEUE: usize = 4_096;
/// Spans of one export.
const BATCH: usize = 512;
/// Longest time that a span waits for others to go with.
const PAUSE: Duration = Duration::from_secs(1);
/// Exports of one batch before it is dropped.
const ATTEMPTS: u32 = 5;
/// The wait after the first failed export, which doubles, and the longest one.
const BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The way to the collector. The exporter ends when all of these are gone and all spans are sent. Cheap to clone.
#[derive(Clone)]
pub struct Exporter {
    queue: mpsc::Sender<Message>,
    clock: Clock,
    dropped: Counter,
}

enum Message {
    Span(Box<Finished>),
    Flush(oneshot::Sender<()>),
}

/// An exchange whose trace is recorded, and when it was over.
struct Finished {
    exchange: Exchange,
    ended_at: Timestamp,
}

impl Exporter {
    /// Starts an exporter on the current runtime. `dropped` counts spans that were not delivered.
    ///
    /// Errors: the endpoint or a header of `config` cannot be used.
    pub fn start(config: &Otlp, clock: Clock, dropped: Counter) -> Result<Exporter, String> {
        let collector = Collector::new(config, crate::identity::web_roots())?;
        let (queue, spans) = mpsc::channel(QUEUE);
        let worker = Worker { collector, dropped: dropped.clone() };
        // it ends by itself, when the last sender is gone
        tokio::spawn(worker.run(spans));
        Ok(Exporter { queue, clock, dropped })
    }

    /// An observer that exports the exchanges of recorded traces.
    pub fn observer(&self) -> Observer {
        let exporter = self.clone();
        Observer::new(move |event| exporter.observe(event))
    }

    pub(super) fn observe(&self, event: &Event) {
        let Event::Ended(exchange) = event else { return };
        if !exchange.trace.is_some_and(|trace| trace.sampled) {
            return;
        }
        let Ok(place) = self.queue.try_reserve() else {
            self.dropped.inc();
            return;
        };
        let finished = Finished { exchange: exchange.clone(), ended_at: self.clock.now() };
        place.send(Message::Span(Box::new(finished)));
    }

    /// Sends everything so far without waiting for more, at most `within`. Whether nothing is left to send.
    pub async fn flush(&self, within: Duration) -> bool {
        let flushed = async {
            let (done, wait) = oneshot::channel();
            self.queue.send(Message::Flush(done)).await.is_ok() && wait.await.is_ok()
        };
        tokio::time::timeout(within, flushed).await.unwrap_or(false)
    }
}

struct Worker {
    collector: Collector,
    dropped: Counter,
}

impl Worker {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        loop {
            let Batch { spans, flushed, is_last } = Batch::next(&mut queue).await;
            if !spans.is_empty() {
                self.export(&spans).await;
            }
            if let Some(flushed) = flushed {
                let _ = flushed.send(());
            }
            if is_last {
                return;
            }
        }
    }

    /// Sends a batch, again and again as long as the collector says that it may.
    async fn export(&mut self, spans: &[Finished]) {
        let body = span::request(spans);
        for attempt in 0..ATTEMPTS {
            match self.collector.post(body.clone()).await {
                Outcome::Taken { rejected } => {
                    self.dropped.inc_by(rejected);
                    return;
                }
                Outcome::Refused => break,
                Outcome::Later(asked) if attempt + 1 < ATTEMPTS => {
                    tokio::time::sleep(backoff(attempt, asked, spans)).await;
                }
                Outcome::Later(_) => {}
            }
        }
        self.dropped.inc_by(spans.len() as u64);
        tracing::warn!(target: "mesh", spans = spans.len(), "the collector did not take spans: they are dropped");
    }
}

/// The wait that the collector asked for, or twice the last one with jitter.
fn backoff(attempt: u32, asked: Option<Duration>, spans: &[Finished]) -> Duration {
    if let Some(asked) = asked {
        return asked.min(MAX_BACKOFF);
    }
    // a span's id is random, and another one in each process: dice enough to keep proxies from retrying together
    let id = spans.first().and_then(|span| span.exchange.trace).map_or(0, |trace| trace.span[7]);
    let jitter = 0.5 + f64::from(id) / 512.0;
    (BACKOFF * 2_u32.saturating_pow(attempt)).min(MAX_BACKOFF).mul_f64(jitter)
}

/// Spans that go together.
#[derive(Default)]
struct Batch {
    spans: Vec<Finished>,
    /// Who waits until they are sent.
    flushed: Option<oneshot::Sender<()>>,
    /// Whether nobody is left who could send more.
    is_last: bool,
}

impl Batch {
    /// Waits for a first span, then for others until the batch is full, a pause is over, or somebody cannot wait.
    async fn next(queue: &mut mpsc::Receiver<Message>) -> Batch {
        let mut batch = Batch::default();
        let mut until = None;
        while batch.spans.len() < BATCH {
            let message = match until {
                None => queue.recv().await,
                Some(until) => match tokio::time::timeout_at(until, queue.recv()).await {
                    Ok(message) => message,
                    Err(_) => break,
                },
            };
            match message {
                Some(Message::Span(span)) => batch.spans.push(*span),
                Some(Message::Flush(done)) => {
                    batch.flushed = Some(done);
                    break;
                }
                None => {
                    batch.is_last = true;
                    break;
                }
            }
            until.get_or_insert_with(|| Instant::now() + PAUSE);
        }
        batch
    }
}

#[cfg(test)]
mod tests;
