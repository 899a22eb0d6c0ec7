//! Transactions, in as few flushes as their checks allow.
//!
//! When nothing decides about the end, BEGIN, settings, statement and COMMIT are one flush and one round trip. A
//! connection is finished only after the server answered the last command, which leaves it outside a transaction.

use std::time::Duration;

use base::Result;

use super::Outcome;
use super::lease::Lease;
use super::step::{Around, Step};
use super::wire::Failure;
use crate::error::database::failed;

/// Ends a transaction well. What a function set for the session goes too, so that the next request starts fresh.
pub(super) const COMMIT: &[&str] = &["COMMIT", "RESET ROLE", "RESET ALL"];
/// Ends it without effect, but not without the checks that a commit would have made.
const CHECK_AND_ROLL_BACK: &[&str] =
    &["SET CONSTRAINTS ALL IMMEDIATE", "ROLLBACK", "RESET ROLE", "RESET ALL"];
/// Ends whatever is open.
const ROLL_BACK: &[&str] = &["ROLLBACK", "RESET ROLE", "RESET ALL"];
/// How long a failed request waits for its rollback before the connection is given up instead.
const ROLL_BACK_TIMEOUT: Duration = Duration::from_secs(2);
/// What one request must not find as the one before it in the transaction left it: everything that can be set. Without a
/// role, because what is set next may be what only the login may set.
const AFRESH: &[&str] = &["SET LOCAL ROLE NONE", "RESET ALL"];
/// Around a step that must not write, in a transaction that may: PostgreSQL gives the right back with the savepoint's end.
const BEGIN_READING: &[&str] = &["SAVEPOINT pgrst_read", "SET TRANSACTION READ ONLY"];
const END_READING: &[&str] = &["RELEASE SAVEPOINT pgrst_read"];

/// How a transaction begins and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// `BEGIN …`.
    pub(crate) begin: &'static str,
    /// Whether it ends without effect.
    pub(crate) rolls_back: bool,
}

impl Frame {
    /// The last command.
    pub(crate) fn end(self) -> &'static [&'static str] {
        if self.rolls_back { CHECK_AND_ROLL_BACK } else { COMMIT }
    }
}

/// Runs a transaction of one step. When this returns without an error, the server has confirmed its end.
pub(crate) async fn run(mut lease: Lease, frame: Frame, step: &Step) -> Result<Outcome> {
    // a step that could not write has nothing to undo: its checks need not come before its end
    let at_once = step.checks.is_empty() || step.read_only;
    let after = if at_once { frame.end() } else { &[] };
    let around = Around { before: &[frame.begin], after, ends: at_once, goes_on: false };
    let mut done = step.perform(&mut lease, around).await;
    if done.is_ok()
        && !lease.is_finished()
        && let Err(failure) = end(&mut lease, frame.end()).await
    {
        done = Err(step.failed(failure));
    }
    if !lease.is_finished() {
        Box::pin(roll_back(&mut lease)).await;
    }
    done
}

/// Ends whatever is open; if the server confirms it, the connection may serve others.
pub(super) async fn roll_back(lease: &mut Lease) {
    let _ = tokio::time::timeout(ROLL_BACK_TIMEOUT, end(lease, ROLL_BACK)).await;
}

/// Ends a transaction by these commands; once the server confirmed them, the connection may serve others.
pub(super) async fn end(lease: &mut Lease, commands: &[&'static str]) -> Result<(), Failure> {
    let mut flush = lease.connection().wire.ask();
    flush.commands(commands);
    flush.answers().await?;
    lease.finish();
    Ok(())
}

/// A transaction of several steps, each of which may depend on what came of those before.
pub(crate) struct Series {
    lease: Lease,
    frame: Frame,
    begun: bool,
    /// Whether the caller of the last step is another than the anonymous role.
    authenticated: bool,
}

impl Series {
    /// Begins with the first step.
    pub(crate) fn new(lease: Lease, frame: Frame) -> Series {
        Series { lease, frame, begun: false, authenticated: true }
    }

    /// Ends as the frame says if all steps were `done`, else without effect.
    pub(crate) async fn end<T>(mut self, done: Result<T>) -> Result<T> {
        let mut done = done;
        if done.is_ok() {
            let ended = end(&mut self.lease, self.frame.end()).await;
            done = match ended {
                Ok(()) => done,
                Err(failure) => Err(failed(failure, self.authenticated)),
            };
        }
        if !self.lease.is_finished() {
            roll_back(&mut self.lease).await;
        }
        done
    }

    /// Ends without effect.
    pub(crate) async fn roll_back(mut self) {
        roll_back(&mut self.lease).await;
    }

    /// Runs a step. After an error nothing but the end may come.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<Outcome> {
        let mut before = if self.begun { Vec::new() } else { vec![self.frame.begin] };
        let mut after: &[&str] = &[];
        before.extend(AFRESH);
        if step.read_only {
            before.extend(BEGIN_READING);
            after = END_READING;
        }
        self.begun = true;
        self.authenticated = step.authenticated;
        let around = Around { before: &before, after, ends: false, goes_on: false };
        step.perform(&mut self.lease, around).await
    }

    /// Runs one more step of the same request.
    pub(crate) async fn next(&mut self, step: &Step) -> Result<Outcome> {
        let around = Around { before: &[], after: &[], ends: false, goes_on: true };
        step.perform(&mut self.lease, around).await
    }
}
