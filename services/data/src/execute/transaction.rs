//! One request's transaction, in as few flushes as its checks allow.
//!
//! The driver writes what is asked of it at once, so futures that are first polled together leave together: when
//! nothing decides about the end, BEGIN, settings, statement and COMMIT are one flush and one round trip. A
//! connection is finished only after the server answered the last command, which leaves it outside a transaction.

use std::time::Duration;

use base::{Error, Result};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use postgres_types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::Outcome;
use super::check::Check;
use super::lease::Lease;
use super::prepared::Lookup;
use crate::error::database::failed;
use crate::render::{Sql, Value};

/// Ends a transaction well. What a function set for the session goes too, so that the next request starts fresh.
const COMMIT: &str = "COMMIT; RESET ROLE; RESET ALL";
/// Ends it without effect, but not without the checks that a commit would have made.
const CHECK_AND_ROLL_BACK: &str = "SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK; RESET ROLE; RESET ALL";
/// Ends whatever is open.
const ROLL_BACK: &str = "ROLLBACK; RESET ROLE; RESET ALL";
/// How long a failed request waits for its rollback before the connection is given up instead.
const ROLL_BACK_TIMEOUT: Duration = Duration::from_secs(2);

/// A transaction.
pub(crate) struct Transaction {
    /// `BEGIN …`.
    pub(crate) begin: &'static str,
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
    /// Whether the transaction cannot have changed anything.
    pub(crate) read_only: bool,
    /// Whether it ends without effect.
    pub(crate) rolls_back: bool,
}

type Answer = std::result::Result<Vec<Row>, tokio_postgres::Error>;
type Step<'a> = BoxFuture<'a, Answer>;

/// Runs a transaction. When this returns without an error, the server has confirmed its end.
pub(crate) async fn run(mut lease: Lease, transaction: &Transaction) -> Result<Outcome> {
    let result = transaction.perform(&mut lease).await;
    if !lease.is_finished() {
        roll_back(&mut lease).await;
    }
    result
}

/// Ends whatever is open; if the server confirms it, the connection may serve others.
async fn roll_back(lease: &mut Lease) {
    let rolled_back = lease.connection().client.batch_execute(ROLL_BACK);
    if let Ok(Ok(())) = tokio::time::timeout(ROLL_BACK_TIMEOUT, rolled_back).await {
        lease.finish();
    }
}

impl Transaction {
    async fn perform(&self, lease: &mut Lease) -> Result<Outcome> {
        let prepared = self.statement(lease);
        // a transaction that could not write has nothing to undo: its checks need not come before its end
        let at_once = self.checks.is_empty() || self.read_only;
        let (rows, estimate) = match prepared {
            Lookup::Again => self.prepare_and_query(lease).await?,
            Lookup::First => self.query(lease, None, at_once).await?,
            Lookup::Ready(statement) => self.query(lease, Some(statement), at_once).await?,
        };
        let outcome = if self.explains { Outcome::of_plan(&rows)? } else { Outcome::of(&rows)? };
        for check in &self.checks {
            check.verify(&outcome)?;
        }
        let outcome = match &self.estimate {
            Some((_, most)) => outcome.estimated(&estimate, *most)?,
            None => outcome,
        };
        if !lease.is_finished() {
            let ended = lease.connection().client.batch_execute(self.end()).await;
            ended.map_err(|error| self.failed(error))?;
            lease.finish();
        }
        Ok(outcome)
    }

    /// What the connection knows of the statement. With a function that runs before, the role may be another than
    /// the caller's when the statement is read, so nothing is kept.
    fn statement(&self, lease: &mut Lease) -> Lookup {
        if self.pre_request.is_some() {
            return Lookup::First;
        }
        lease.connection().prepared.look_up(self.generation, &self.role, self.main.text())
    }

    fn end(&self) -> &'static str {
        if self.rolls_back { CHECK_AND_ROLL_BACK } else { COMMIT }
    }

    /// Everything up to the result – and the end, if `at_once` – in one flush.
    async fn query(
        &self,
        lease: &mut Lease,
        statement: Option<Statement>,
        at_once: bool,
    ) -> Result<(Vec<Row>, Vec<Row>)> {
        let was_prepared = statement.is_some();
        let client = &lease.connection().client;
        let mut steps = self.beginning(client);
        let main = steps.len();
        steps.push(query(client, &self.main, statement));
        if let Some((estimate, _)) = &self.estimate {
            steps.push(query(client, estimate, None));
        }
        if at_once {
            steps.push(command(client, self.end()));
        }
        let mut answers = join_all(steps).await;
        if at_once && answers.last().is_some_and(Answer::is_ok) {
            lease.finish();
        }
        if was_prepared && answers[main].is_err() {
            lease.connection().prepared.forget(&self.role, self.main.text());
        }
        if let Some(position) = answers.iter().position(Answer::is_err) {
            let Err(error) = answers.swap_remove(position) else {
                unreachable!("the answer there is an error")
            };
            return Err(self.failed(error));
        }
        let mut results = answers.into_iter().skip(main).map(Answer::unwrap_or_default);
        Ok((results.next().unwrap_or_default(), results.next().unwrap_or_default()))
    }

    /// Prepares the statement inside the transaction, where role and search path are what they must be, then runs
    /// it.
    async fn prepare_and_query(&self, lease: &mut Lease) -> Result<(Vec<Row>, Vec<Row>)> {
        let client = &lease.connection().client;
        let (began, statement) = futures_util::future::join(
            join_all(self.beginning(client)),
            client.prepare_typed(self.main.text(), &[]),
        )
        .await;
        for answer in began {
            answer.map_err(|error| self.failed(error))?;
        }
        let statement = statement.map_err(|error| self.failed(error))?;
        lease.connection().prepared.keep(&self.role, self.main.text(), statement.clone());
        let client = &lease.connection().client;
        let main = query(client, &self.main, Some(statement)).await.map_err(|error| self.failed(error))?;
        let estimate = match &self.estimate {
            Some((estimate, _)) => query(client, estimate, None).await.map_err(|error| self.failed(error))?,
            None => Vec::new(),
        };
        Ok((main, estimate))
    }

    fn beginning<'a>(&'a self, client: &'a Client) -> Vec<Step<'a>> {
        let mut steps = vec![command(client, self.begin), query(client, &self.settings, None)];
        if let Some(pre_request) = &self.pre_request {
            steps.push(query(client, pre_request, None));
        }
        steps
    }

    fn failed(&self, error: tokio_postgres::Error) -> Error {
        failed(error, self.authenticated)
    }
}

/// A command without values or result.
pub(crate) fn command<'a>(client: &'a Client, text: &'static str) -> Step<'a> {
    async move { client.batch_execute(text).await.map(|()| Vec::new()) }.boxed()
}

/// A statement: prepared, or read, bound and run in one message.
pub(crate) fn query<'a>(client: &'a Client, sql: &'a Sql, statement: Option<Statement>) -> Step<'a> {
    async move {
        match statement {
            Some(statement) => {
                let values: Vec<&(dyn ToSql + Sync)> = sql.values().iter().map(as_parameter).collect();
                client.query(&statement, &values).await
            }
            None => {
                // type 0 is "infer it"; the driver knows the pseudo-type `unknown`, which means the same
                let values: Vec<_> =
                    sql.values().iter().map(|value| (as_parameter(value), Type::UNKNOWN)).collect();
                client.query_typed(sql.text(), &values).await
            }
        }
    }
    .boxed()
}

fn as_parameter(value: &Value) -> &(dyn ToSql + Sync) {
    value
}
