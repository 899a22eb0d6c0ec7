//! Answers of any length in constant memory: lines are sent on while PostgreSQL makes the next ones.
//!
//! What fits into one buffer is answered as ever, after the end of its transaction. Of what does not, the head is sent
//! before the end is known: an answer that breaks off later is cut, so that no client takes it for whole.

use std::pin::Pin;
use std::time::Duration;

use base::{Body, Result};
use bytes::{Bytes, BytesMut};
use futures_util::future::{join, join_all};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_postgres::{Row, RowStream};

use super::lease::Lease;
use super::step::{query, untyped};
use super::transaction::{Frame, roll_back};
use super::value::Raw;
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

/// Runs an export: the outcome, with all of the body, or else with the body to send.
///
/// Errors: as for any read, as long as nothing was sent.
pub(crate) async fn run(mut lease: Lease, frame: Frame, export: Export) -> Result<(Outcome, Option<Body>)> {
    match export.begin(&mut lease, frame).await {
        Ok((outcome, None)) => Ok((outcome, None)),
        Ok((outcome, Some(lines))) => {
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(lines.send(lease, frame, export.step, sender));
            let chunks = stream::unfold(receiver, async |mut receiver| {
                receiver.recv().await.map(|chunk| (chunk, receiver))
            });
            Ok((outcome, Some(Body::from_stream(chunks))))
        }
        Err(error) => {
            if !lease.is_finished() {
                roll_back(&mut lease).await;
            }
            Err(error)
        }
    }
}

impl Export {
    async fn begin(&self, lease: &mut Lease, frame: Frame) -> Result<(Outcome, Option<Lines>)> {
        let Export { step, total, is_csv, range } = self;
        let settings = step.prepared_settings(lease).await?;
        let client = &lease.connection().client;
        let mut steps = step.beginning(client, settings, frame.begin);
        let begun = steps.len();
        steps.extend(total.iter().map(|total| query(client, total, None)));
        steps.extend(step.estimate.iter().map(|(estimate, _)| query(client, estimate, None)));
        // polled in this order, all leave in one flush
        let main = client.query_typed_raw(step.main.text(), untyped(&step.main));
        let (before, rows) = join(join_all(steps), main).await;
        let mut answers = before.into_iter();
        for answer in answers.by_ref().take(begun) {
            answer.map_err(|error| step.failed(error))?;
        }
        let mut outcome = Outcome::default();
        if total.is_some() {
            let counted = answers.next().transpose().map_err(|error| step.failed(error))?;
            outcome.total = counted.and_then(|rows| rows.first()?.try_get(0).ok());
        }
        for answer in answers {
            let rows = answer.map_err(|error| step.failed(error))?;
            if let Some((_, most)) = &step.estimate {
                outcome = outcome.estimated(&rows, *most)?;
            }
        }
        let rows = rows.map_err(|error| step.failed(error))?;
        let mut lines = Lines { rows: Box::pin(rows), is_csv: *is_csv, count: 0, buffer: BytesMut::new() };
        let mut first = None;
        let more = lines.fill(step, &mut first).await?;
        if let Some(first) = first {
            (outcome.headers, outcome.status) = first;
        }
        if more {
            // as many as there must be, if all were counted
            let (offset, limit) = *range;
            outcome.page = outcome.total.map_or(0, |total| (total - offset).min(limit.unwrap_or(i64::MAX)));
            return Ok((outcome, Some(lines)));
        }
        let ended = lease.connection().client.batch_execute(frame.end()).await;
        ended.map_err(|error| step.failed(error))?;
        lease.finish();
        Ok((Outcome { page: lines.count, body: lines.take(), ..outcome }, None))
    }
}

/// What functions set: headers and status.
type Set = (Option<String>, Option<String>);

/// Lines on their way.
struct Lines {
    rows: Pin<Box<RowStream>>,
    is_csv: bool,
    count: i64,
    buffer: BytesMut,
}

impl Lines {
    /// Fills the buffer. Returns whether there may be more; what stands beside the first line goes into `first`.
    async fn fill(&mut self, step: &Step, first: &mut Option<Set>) -> Result<bool> {
        while self.buffer.len() < CHUNK {
            let Some(row) = self.rows.next().await else {
                // a document of no rows has a header of no columns
                if self.is_csv && self.count == 0 {
                    self.buffer.extend_from_slice(b"\n");
                }
                return Ok(false);
            };
            let set = self.add(&row.map_err(|error| step.failed(error))?)?;
            *first = first.take().or(set);
        }
        Ok(true)
    }

    fn add(&mut self, row: &Row) -> Result<Option<Set>> {
        let Raw(line) = row.try_get(0).map_err(internal)?;
        let first: Option<Raw<'_>> = row.try_get(1).map_err(internal)?;
        let mut set = None;
        if let Some(Raw(first)) = first {
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
    async fn send(mut self, mut lease: Lease, frame: Frame, step: Step, sender: mpsc::Sender<Result<Bytes>>) {
        let mut more = true;
        while more {
            let chunk = self.take();
            if !chunk.is_empty() && !sent(&sender, Ok(chunk)).await {
                return;
            }
            match self.fill(&step, &mut None).await {
                Ok(is_more) => more = is_more,
                Err(error) => {
                    tracing::warn!(%error, "an answer broke off");
                    sent(&sender, Err(error)).await;
                    roll_back(&mut lease).await;
                    return;
                }
            }
        }
        let last = match lease.connection().client.batch_execute(frame.end()).await {
            Ok(()) => {
                lease.finish();
                Ok(self.take())
            }
            Err(error) => Err(step.failed(error)),
        };
        sent(&sender, last).await;
    }
}

async fn sent(sender: &mpsc::Sender<Result<Bytes>>, chunk: Result<Bytes>) -> bool {
    matches!(tokio::time::timeout(STALL, sender.send(chunk)).await, Ok(Ok(())))
}
