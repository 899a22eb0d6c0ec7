//! The access log: one line of JSON per exchange.
//!
//! Fields: `at` (RFC 3339), `side`, `source`, `destination`, `route`, `method`, `host`, `path` (never the query),
//! `status`, `grpc_status`, `class` (`answer`, `fault`, `overload`), `cause`, `endpoint`, `attempts`, `head_ms`,
//! `total_ms`, `request_bytes`, `response_bytes`, `request_id`, `project`, `trace_id`, `span_id`. Those without a
//! value are absent.
//!
//! A request never waits for its line: what the writer cannot keep up with is lost and counted.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use base::{Clock, Timestamp};
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::json::{ExchangeLine, rfc3339};
use super::{Event, Exchange, Observer};

/// Lines that may wait for the writer.
const QUEUE: usize = 8_192;

/// The way to the writer, which ends when all of these are gone. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    queue: mpsc::Sender<Message>,
    clock: Clock,
    lost: Counter,
}

enum Message {
    Line(Timestamp, Box<Exchange>),
    Flush(oneshot::Sender<()>),
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(flatten)]
    exchange: ExchangeLine<'a>,
}

impl AccessLog {
    /// Starts a thread that writes to `out`, which may block it. `lost` counts lines that were lost.
    ///
    /// Errors: no thread could be started.
    pub fn start(out: impl Write + Send + 'static, clock: Clock, lost: Counter) -> io::Result<AccessLog> {
        let (queue, lines) = mpsc::channel(QUEUE);
        let out = BufWriter::with_capacity(64 * 1024, out);
        let writer = Writer { out, line: Vec::new(), lost: lost.clone() };
        std::thread::Builder::new().name("mesh-access-log".to_owned()).spawn(move || writer.run(lines))?;
        Ok(AccessLog { queue, clock, lost })
    }

    /// The same to standard output.
    pub fn stdout(clock: Clock, lost: Counter) -> io::Result<AccessLog> {
        AccessLog::start(io::stdout(), clock, lost)
    }

    /// An observer that writes here.
    pub fn observer(&self) -> Observer {
        let log = self.clone();
        Observer::new(move |event| log.observe(event))
    }

    pub(super) fn observe(&self, event: &Event) {
        let Event::Ended(exchange) = event else { return };
        let Ok(place) = self.queue.try_reserve() else {
            self.lost.inc();
            return;
        };
        place.send(Message::Line(self.clock.now(), Box::new(exchange.clone())));
    }

    /// Waits until everything so far is written, at most `within`. Whether it is.
    pub async fn flush(&self, within: Duration) -> bool {
        let flushed = async {
            let (done, wait) = oneshot::channel();
            self.queue.send(Message::Flush(done)).await.is_ok() && wait.await.is_ok()
        };
        tokio::time::timeout(within, flushed).await.unwrap_or(false)
    }
}

struct Writer<W: Write> {
    out: BufWriter<W>,
    /// The line that is being made: a line is written whole or not at all.
    line: Vec<u8>,
    lost: Counter,
}

impl<W: Write> Writer<W> {
    /// Writes until nobody is left who could send; hands on what is written whenever it would wait.
    fn run(mut self, mut lines: mpsc::Receiver<Message>) {
        loop {
            let message = match lines.try_recv() {
                Ok(message) => message,
                Err(_) => {
                    // what cannot be handed on now stays in the buffer: a full disk must not end the log
                    let _ = self.out.flush();
                    let Some(message) = lines.blocking_recv() else { return };
                    message
                }
            };
            match message {
                Message::Line(at, exchange) => self.write(at, &exchange),
                Message::Flush(done) => {
                    let _ = self.out.flush();
                    let _ = done.send(());
                }
            }
        }
    }

    fn write(&mut self, at: Timestamp, exchange: &Exchange) {
        self.line.clear();
        let line = Line { at: rfc3339(at), exchange: exchange.into() };
        serde_json::to_writer(&mut self.line, &line).expect("text and finite numbers are JSON");
        self.line.push(b'\n');
        if self.out.write_all(&self.line).is_err() {
            self.lost.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar, Mutex};

    use serde_json::Value;

    use super::super::sample::{everything, exchange};
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A writer that keeps everything, and that may be held up.
    #[derive(Clone, Default)]
    struct Out {
        state: Arc<(Mutex<State>, Condvar)>,
    }

    #[derive(Default)]
    struct State {
        held: bool,
        broken: bool,
        text: Vec<u8>,
    }

    impl Out {
        fn hold(&self, held: bool) {
            self.state.0.lock().unwrap().held = held;
            self.state.1.notify_all();
        }

        fn lines(&self) -> Vec<Value> {
            let text = String::from_utf8(self.state.0.lock().unwrap().text.clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let state = self.state.0.lock().unwrap();
            let mut state = self.state.1.wait_while(state, |state| state.held).unwrap();
            if state.broken {
                return Err(io::Error::other("disk full"));
            }
            state.text.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start(out: &Out) -> (AccessLog, Counter) {
        let lost = Counter::default();
        let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
        (AccessLog::start(out.clone(), clock, lost.clone()).unwrap(), lost)
    }

    #[tokio::test]
    async fn each_exchange_is_one_line_without_secrets_and_other_events_are_none() {
        let out = Out::default();
        let (log, lost) = start(&out);
        let observer = log.observer();

        everything().iter().for_each(|event| observer.observe(event));
        assert!(log.flush(LONG).await);

        let lines = out.lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(lines[0]["path"], "/rest/v1/people");
        assert_eq!(lines[0]["trace_id"], "00000000000000070000000000000007");
        assert!(!lines[0].to_string().contains("hunter2"));
        assert_eq!(lost.get(), 0);
    }

    #[tokio::test]
    async fn a_writer_that_hangs_costs_lines_and_no_time() {
        let out = Out::default();
        let (log, lost) = start(&out);
        out.hold(true);

        let line = Event::Ended(exchange());
        let sent = QUEUE as u64 + 20_000;
        (0..sent).for_each(|_| log.observe(&line));
        assert!(lost.get() > 0);
        assert!(!log.flush(Duration::ZERO).await);
        out.hold(false);
        assert!(log.flush(LONG).await);

        assert_eq!(out.lines().len() as u64 + lost.get(), sent);
    }

    #[tokio::test]
    async fn a_writer_that_fails_for_a_while_costs_whole_lines() {
        let out = Out::default();
        let (log, lost) = start(&out);
        let line = Event::Ended(exchange());

        out.state.0.lock().unwrap().broken = true;
        (0..1_000).for_each(|_| log.observe(&line));
        assert!(log.flush(LONG).await);
        out.state.0.lock().unwrap().broken = false;
        log.observe(&line);
        assert!(log.flush(LONG).await);

        assert!(lost.get() > 0);
        assert_eq!(out.lines().len() as u64 + lost.get(), 1_001);
    }
}
