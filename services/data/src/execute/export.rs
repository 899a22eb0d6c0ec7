//! Answers of any length in constant memory: lines are sent on while PostgreSQL makes the next ones.
//!
//! What fits into one buffer is answered as ever, after the end of its transaction. Of what does not, the head is sent
//! before the end is known: an answer that breaks off later is cut, so that no client takes it for whole.

use std::sync::Arc;
use std::time::Duration;

use base::{Body, Result};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::sync::mpsc;

use super::lease::Lease;
use super::transaction::{Frame, end, roll_back};
use super::wire::{Answers, Failure, Paused, Reading, Row};
use super::{Outcome, Step};
use crate::error::envelope::internal;
use crate::render::Sql;

/// Bytes that are sent at once, and below which an answer is no stream.
const CHUNK: usize = 64 * 1024;
/// Longest time for which a client may take nothing: it holds a connection and its transaction.
const STALL: Duration = Duration::from_secs(60);

/// A read whose lines are sent as they come.
pub(crate) struct Export {
    /// The read; its statement has a row for each line.
    pub(crate) step: Step,
    /// How the total is counted, if it is.
    pub(crate) total: Option<Sql>,
    /// Whether lines are separated by line ends instead of each having one, and the first is a header.
    pub(crate) is_csv: bool,
    /// The rows to skip and the most to return.
    pub(crate) range: (i64, Option<i64>),
}

/// What came of an export.
pub(crate) enum Exported {
    /// The outcome, with all of the body.
    Whole(Outcome),
    /// The outcome, and the body to send.
    Begun(Outcome, Body),
    /// It is longer than one buffer, and its connection holds no turn. Nothing of it was sent.
    Waits,
}

/// Runs an export. What its connection holds is free when all is sent.
///
/// Errors: as for any read, as long as nothing was sent.
pub(crate) async fn run(mut lease: Lease, frame: Frame, export: &Arc<Export>) -> Result<Exported> {
    let exported = match export.begin(&mut lease, frame).await {
        Ok((outcome, None)) => Ok(Exported::Whole(outcome)),
        Ok((outcome, Some(lines))) if lease.holds_a_turn() => {
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(lines.send(lease, frame, export.clone(), sender));
            let chunks = stream::unfold(receiver, async |mut receiver| {
                receiver.recv().await.map(|chunk| (chunk, receiver))
            });
            return Ok(Exported::Begun(outcome, Body::from_stream(chunks)));
        }
        Ok((_, Some(_))) => Ok(Exported::Waits),
        Err(error) => Err(error),
    };
    // what waits is dropped with its answers half read: the server is told to stop
    if exported.is_err() && !lease.is_finished() {
        roll_back(&mut lease).await;
    }
    exported
}

impl Export {
    async fn begin(&self, lease: &mut Lease, frame: Frame) -> Result<(Outcome, Option<Lines>)> {
        let Export { step, total, is_csv, range } = self;
        let connection = lease.connection();
        let settings = connection.reading_of_settings(step.settings.values().len());
        let mut flush = connection.wire.ask();
        step.begin(&mut flush, &[frame.begin], settings);
        for counted in total.iter().chain(step.estimate.iter().map(|(estimate, _)| estimate)) {
            flush.statement(counted, Reading::Once);
        }
        flush.statement(&step.main, Reading::Once);
        let answers = flush.send().await;
        let before = match answers {
            Ok(answers) => before(answers).await,
            Err(failure) => Err(failure),
        };
        connection.was_read_for_settings(step.settings.values().len(), settings, before.is_ok());
        let (answers, paused) = before.map_err(|failure| step.failed(failure))?;
        let mut answers = answers.into_iter().skip(step.before(&[frame.begin]));
        let mut outcome = Outcome::default();
        if total.is_some() {
            outcome.total = answers.next().unwrap_or_default().first().and_then(|row| row.integer(0));
        }
        if let Some((_, most)) = &step.estimate {
            outcome = outcome.estimated(&answers.next().unwrap_or_default(), *most)?;
        }
        let mut lines = Lines { paused: Some(paused), is_csv: *is_csv, count: 0, buffer: BytesMut::new() };
        let mut first = None;
        let more = lines.fill(lease, step, &mut first).await?;
        if let Some(first) = first {
            (outcome.headers, outcome.status) = first;
        }
        if more {
            let (offset, limit) = *range;
            // an estimate knows less than what is there already
            outcome.total = outcome.total.map(|total| total.max(offset.saturating_add(lines.count)));
            if step.estimate.is_none() {
                // as many as there must be, if all were counted
                outcome.page =
                    outcome.total.map_or(0, |total| (total - offset).min(limit.unwrap_or(i64::MAX)));
            }
            return Ok((outcome, Some(lines)));
        }
        end(lease, frame.end()).await.map_err(|failure| step.failed(failure))?;
        Ok((Outcome { page: lines.count, body: lines.take(), ..outcome }, None))
    }
}

/// What functions set: headers and status.
type Set = (Option<String>, Option<String>);

/// Lines on their way.
struct Lines {
    /// What is still to be read; nothing once all was.
    paused: Option<Paused>,
    is_csv: bool,
    count: i64,
    buffer: BytesMut,
}

impl Lines {
    /// Fills the buffer. Returns whether there may be more; what stands beside the first line goes into `first`.
    async fn fill(&mut self, lease: &mut Lease, step: &Step, first: &mut Option<Set>) -> Result<bool> {
        let Some(paused) = self.paused.take() else { return Ok(false) };
        let mut answers = lease.connection().wire.resume(paused);
        while self.buffer.len() < CHUNK {
            let Some(row) = answers.next().await.map_err(|failure| step.failed(failure))? else {
                answers.end().await.map_err(|failure| step.failed(failure))?;
                // a document of no rows has a header of no columns
                if self.is_csv && self.count == 0 {
                    self.buffer.extend_from_slice(b"\n");
                }
                return Ok(false);
            };
            let set = self.add(&row)?;
            *first = first.take().or(set);
        }
        self.paused = Some(answers.pause());
        Ok(true)
    }

    fn add(&mut self, row: &Row) -> Result<Option<Set>> {
        let line = row.slice(0).unwrap_or_default();
        let mut set = None;
        if let Some(first) = row.slice(1) {
            let (header, headers, status): (Option<String>, Option<String>, Option<String>) =
                serde_json::from_slice(first).map_err(internal)?;
            self.buffer.extend_from_slice(header.unwrap_or_default().as_bytes());
            set = Some((headers, status));
        }
        self.count += 1;
        if self.is_csv {
            self.buffer.extend_from_slice(b"\n");
            self.buffer.extend_from_slice(line);
        } else {
            self.buffer.extend_from_slice(line);
            self.buffer.extend_from_slice(b"\n");
        }
        Ok(set)
    }

    fn take(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    /// Sends what is there and what comes, then ends the transaction. A client that is gone or takes nothing for too
    /// long ends it too: the lease is dropped unfinished, which cancels the statement.
    async fn send(
        mut self,
        mut lease: Lease,
        frame: Frame,
        export: Arc<Export>,
        sender: mpsc::Sender<Result<Bytes>>,
    ) {
        let step = &export.step;
        let mut more = true;
        while more {
            let chunk = self.take();
            if !chunk.is_empty() && !sent(&sender, Ok(chunk)).await {
                return;
            }
            let mut first = None;
            let filled = tokio::select! {
                filled = self.fill(&mut lease, step, &mut first) => filled,
                () = sender.closed() => return,
            };
            match filled {
                Ok(is_more) => more = is_more,
                Err(error) => {
                    tracing::warn!(%error, "an answer broke off");
                    roll_back(&mut lease).await;
                    drop(lease);
                    sent(&sender, Err(error)).await;
                    return;
                }
            }
        }
        let last = match end(&mut lease, frame.end()).await {
            Ok(()) => Ok(self.take()),
            Err(failure) => Err(step.failed(failure)),
        };
        drop(lease);
        sent(&sender, last).await;
    }
}

/// The answers to all but the last statement.
async fn before(mut answers: Answers<'_>) -> Result<(Vec<Vec<Row>>, Paused), Failure> {
    let mut all = Vec::new();
    while answers.left > 1 {
        all.push(answers.rows().await?);
    }
    Ok((all, answers.pause()))
}

async fn sent(sender: &mpsc::Sender<Result<Bytes>>, chunk: Result<Bytes>) -> bool {
    matches!(tokio::time::timeout(STALL, sender.send(chunk)).await, Ok(Ok(())))
}
