//! What a request does inside a transaction: settings, the function that may run before, the statement.

use base::{Error, Result};

use super::Outcome;
use super::check::Check;
use super::connection::Connection;
use super::lease::Lease;
use super::wire::{Failure, Flush, Reading};
use crate::error::database::failed;
use crate::render::Sql;

/// One request's part of a transaction.
pub(crate) struct Step {
    /// The caller's role; statements are prepared for it alone.
    pub(crate) role: String,
    /// Whether that is another than the anonymous role.
    pub(crate) authenticated: bool,
    /// The schema cache's generation.
    pub(crate) generation: u64,
    /// Sets role, claims and the rest.
    pub(crate) settings: Sql,
    /// Runs before the statement.
    pub(crate) pre_request: Option<Sql>,
    /// The statement.
    pub(crate) main: Sql,
    /// Whether it only says how the statement would be run.
    pub(crate) explains: bool,
    /// The planner's estimate of the total, and how far the statement itself counts.
    pub(crate) estimate: Option<(Sql, Option<u64>)>,
    /// What must hold of the result.
    pub(crate) checks: Vec<Check>,
    /// Whether it must not change anything.
    pub(crate) read_only: bool,
}

/// The commands around a step, all in its flush.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) before: &'a [&'static str],
    pub(crate) after: &'a [&'static str],
    /// Whether the transaction has ended with them.
    pub(crate) ends: bool,
    /// Whether settings and the function before were there already, for an earlier statement of the same request.
    pub(crate) goes_on: bool,
}

impl Step {
    /// Does all in one flush. The lease is finished if the transaction's end was confirmed.
    ///
    /// Errors: what PostgreSQL says, and what must hold and does not. Whatever is open then stays open.
    pub(crate) async fn perform(&self, lease: &mut Lease, around: Around<'_>) -> Result<Outcome> {
        let connection = lease.connection();
        let settings = connection.reading_of_settings(self.settings.values().len());
        let main = self.reading(connection);
        let mut flush = connection.wire.ask();
        if around.goes_on {
            flush.commands(around.before);
        } else {
            self.begin(&mut flush, around.before, settings);
        }
        // before the statement: behind an answer that nobody reads yet, no long question must wait to be sent
        if let Some((estimate, _)) = &self.estimate {
            flush.statement(estimate, Reading::Once);
        }
        flush.statement(&self.main, main);
        flush.commands(around.after);
        let answers = flush.answers().await;
        if !around.goes_on {
            connection.was_read_for_settings(self.settings.values().len(), settings, answers.is_ok());
        }
        connection.was_read(&self.role, self.main.text(), main, answers.is_ok());
        let answers = answers.map_err(|failure| self.failed(failure))?;
        if around.ends {
            lease.finish();
        }
        let before = if around.goes_on { around.before.len() } else { self.before(around.before) };
        let mut answers = answers.into_iter().skip(before);
        let estimate = self.estimate.as_ref().and_then(|_| answers.next());
        let rows = answers.next().unwrap_or_default();
        let outcome = if self.explains { Outcome::of_plan(&rows) } else { Outcome::of(&rows)? };
        for check in &self.checks {
            check.verify(&outcome)?;
        }
        match &self.estimate {
            Some((_, most)) => outcome.estimated(&estimate.unwrap_or_default(), *most),
            None => Ok(outcome),
        }
    }

    /// How the statement is sent. With a function that runs before, the role may be another than the caller's when the
    /// statement is read, so nothing is kept.
    fn reading(&self, connection: &mut Connection) -> Reading {
        if self.pre_request.is_some() {
            return Reading::Once;
        }
        connection.reading(self.generation, &self.role, self.main.text())
    }

    /// Everything before the statement.
    pub(crate) fn begin(&self, flush: &mut Flush<'_>, before: &[&'static str], settings: Reading) {
        flush.commands(before).statement(&self.settings, settings);
        if let Some(pre_request) = &self.pre_request {
            flush.statement(pre_request, Reading::Once);
        }
    }

    /// How many answers come before the statement's.
    pub(crate) fn before(&self, before: &[&'static str]) -> usize {
        before.len() + 1 + usize::from(self.pre_request.is_some())
    }

    /// What this API says to a failure.
    pub(crate) fn failed(&self, failure: Failure) -> Error {
        failed(failure, self.authenticated)
    }
}
