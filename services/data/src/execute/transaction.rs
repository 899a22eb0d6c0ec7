//! Transactions, in as few flushes as their checks allow.
//!
//! The driver writes what is asked of it at once, so futures that are first polled together leave together: when
//! nothing decides about the end, BEGIN, settings, statement and COMMIT are one flush and one round trip. A
//! connection is finished only after the server answered the last command, which leaves it outside a transaction.

use std::time::Duration;

use base::Result;

use super::Outcome;
use super::lease::Lease;
use super::step::Step;
use crate::error::database::failed;

/// Ends a transaction well. What a function set for the session goes too, so that the next request starts fresh.
const COMMIT: &str = "COMMIT; RESET ROLE; RESET ALL";
/// Ends it without effect, but not without the checks that a commit would have made.
const CHECK_AND_ROLL_BACK: &str = "SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK; RESET ROLE; RESET ALL";
/// Ends whatever is open.
const ROLL_BACK: &str = "ROLLBACK; RESET ROLE; RESET ALL";
/// How long a failed request waits for its rollback before the connection is given up instead.
const ROLL_BACK_TIMEOUT: Duration = Duration::from_secs(2);
/// What one step must not find as the one before it left it. Without a role: what is set next may be what only the login
/// may set.
const AFRESH: &str = "SET LOCAL ROLE NONE; SET LOCAL response.headers = ''; SET LOCAL response.status = ''; \
                      SET LOCAL pgrst.inserted = ''";
/// The same before a step that must not write, in a transaction that may: PostgreSQL gives the right back with the savepoint's end.
const BEGIN_READING: &str = "SAVEPOINT pgrst_read; SET TRANSACTION READ ONLY; SET LOCAL ROLE NONE; \
                             SET LOCAL response.headers = ''; SET LOCAL response.status = ''";
const END_READING: &str = "RELEASE SAVEPOINT pgrst_read";

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
    pub(crate) fn end(self) -> &'static str {
        if self.rolls_back { CHECK_AND_ROLL_BACK } else { COMMIT }
    }
}

/// Runs a transaction of one step. When this returns without an error, the server has confirmed its end.
pub(crate) async fn run(mut lease: Lease, frame: Frame, step: &Step) -> Result<Outcome> {
    // a step that could not write has nothing to undo: its checks need not come before its end
    let at_once = step.checks.is_empty() || step.read_only;
    let end = frame.end();
    let mut done = step.perform(&mut lease, frame.begin, at_once.then_some(end)).await;
    if done.is_ok() && !lease.is_finished() {
        let ended = lease.connection().client.batch_execute(end).await;
        match ended {
            Ok(()) => lease.finish(),
            Err(error) => done = Err(step.failed(error)),
        }
    }
    if !lease.is_finished() {
        Box::pin(roll_back(&mut lease)).await;
    }
    done
}

/// Ends whatever is open; if the server confirms it, the connection may serve others.
pub(super) async fn roll_back(lease: &mut Lease) {
    let rolled_back = lease.connection().client.batch_execute(ROLL_BACK);
    if let Ok(Ok(())) = tokio::time::timeout(ROLL_BACK_TIMEOUT, rolled_back).await {
        lease.finish();
    }
}

/// A transaction of several steps, each of which may depend on what came of those before.
pub(crate) struct Series {
    lease: Lease,
    frame: Frame,
    begun: bool,
}

impl Series {
    /// Begins with the first step.
    pub(crate) fn new(lease: Lease, frame: Frame) -> Series {
        Series { lease, frame, begun: false }
    }

    /// Ends as the frame says if all steps were `done`, else without effect.
    pub(crate) async fn end<T>(mut self, done: Result<T>) -> Result<T> {
        let mut done = done;
        if done.is_ok() {
            match self.lease.connection().client.batch_execute(self.frame.end()).await {
                Ok(()) => self.lease.finish(),
                Err(error) => done = Err(failed(error, true)),
            }
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
        if !self.begun {
            let begun = self.lease.connection().client.batch_execute(self.frame.begin).await;
            begun.map_err(|error| step.failed(error))?;
            self.begun = true;
        }
        if !step.read_only {
            return step.perform(&mut self.lease, AFRESH, None).await;
        }
        let outcome = step.perform(&mut self.lease, BEGIN_READING, None).await?;
        let ended = self.lease.connection().client.batch_execute(END_READING).await;
        ended.map_err(|error| step.failed(error))?;
        Ok(outcome)
    }
}
