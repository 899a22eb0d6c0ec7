//! What a request does inside a transaction: settings, the function that may run before, the statement.

use base::{Error, Result};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join, join_all};
use postgres_types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::Outcome;
use super::check::Check;
use super::connection::Connection;
use super::lease::Lease;
use super::prepared::Lookup;
use crate::error::database::failed;
use crate::render::{Sql, Value};

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

/// Rows, or why there are none.
type Answer = std::result::Result<Vec<Row>, tokio_postgres::Error>;
/// Something asked of the server.
pub(crate) type Asked<'a> = BoxFuture<'a, Answer>;

impl Step {
    /// Begins with `begin`, does all and, if `end` is given, ends with it: in one flush, unless the statement is
    /// prepared on the way, which leaves the end to be asked for. The lease is finished if the end was confirmed.
    ///
    /// Errors: what PostgreSQL says, and what must hold and does not. Whatever is open then stays open.
    pub(crate) async fn perform(
        &self,
        lease: &mut Lease,
        begin: &'static str,
        end: Option<&'static str>,
    ) -> Result<Outcome> {
        let settings = self.prepared_settings(lease).await?;
        let (rows, estimate) = match self.statement(lease) {
            Lookup::Again => Box::pin(self.prepare_and_query(lease, settings, begin)).await?,
            Lookup::First => self.query(lease, settings, None, begin, end).await?,
            Lookup::Ready(statement) => self.query(lease, settings, Some(statement), begin, end).await?,
        };
        let outcome = if self.explains { Outcome::of_plan(&rows)? } else { Outcome::of(&rows)? };
        for check in &self.checks {
            check.verify(&outcome)?;
        }
        match &self.estimate {
            Some((_, most)) => outcome.estimated(&estimate, *most),
            None => Ok(outcome),
        }
    }

    /// What the connection knows of the statement. With a function that runs before, the role may be another than
    /// the caller's when the statement is read, so nothing is kept.
    fn statement(&self, lease: &mut Lease) -> Lookup {
        if self.pre_request.is_some() {
            return Lookup::First;
        }
        lease.connection().prepared.look_up(self.generation, &self.role, self.main.text())
    }

    /// The statement that sets everything, which only the number of settings tells from others: worth preparing at once.
    pub(crate) async fn prepared_settings(&self, lease: &mut Lease) -> Result<Statement> {
        let Connection { client, prepared, .. } = lease.connection();
        if let Some(ready) = prepared.settings(self.settings.values().len()) {
            return Ok(ready);
        }
        let statement = Box::pin(client.prepare_typed(self.settings.text(), &[])).await;
        let statement = statement.map_err(|error| self.failed(error))?;
        prepared.keep_settings(self.settings.values().len(), statement.clone());
        Ok(statement)
    }

    async fn query(
        &self,
        lease: &mut Lease,
        settings: Statement,
        statement: Option<Statement>,
        begin: &'static str,
        end: Option<&'static str>,
    ) -> Result<(Vec<Row>, Vec<Row>)> {
        let was_prepared = statement.is_some();
        let client = &lease.connection().client;
        let mut steps = self.beginning(client, settings, begin);
        let main = steps.len();
        steps.push(query(client, &self.main, statement));
        if let Some((estimate, _)) = &self.estimate {
            steps.push(query(client, estimate, None));
        }
        if let Some(end) = end {
            steps.push(command(client, end));
        }
        let mut answers = join_all(steps).await;
        if end.is_some() && answers.last().is_some_and(Answer::is_ok) {
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
    async fn prepare_and_query(
        &self,
        lease: &mut Lease,
        settings: Statement,
        begin: &'static str,
    ) -> Result<(Vec<Row>, Vec<Row>)> {
        let client = &lease.connection().client;
        let began = join_all(self.beginning(client, settings, begin));
        let (began, statement) = join(began, client.prepare_typed(self.main.text(), &[])).await;
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

    /// Everything before the statement.
    pub(crate) fn beginning<'a>(
        &'a self,
        client: &'a Client,
        settings: Statement,
        begin: &'static str,
    ) -> Vec<Asked<'a>> {
        let mut steps = vec![command(client, begin), query(client, &self.settings, Some(settings))];
        if let Some(pre_request) = &self.pre_request {
            steps.push(query(client, pre_request, None));
        }
        steps
    }

    /// What this API says to an error of the database.
    pub(crate) fn failed(&self, error: tokio_postgres::Error) -> Error {
        failed(error, self.authenticated)
    }
}

/// A command without values or result.
pub(crate) fn command<'a>(client: &'a Client, text: &'static str) -> Asked<'a> {
    async move { client.batch_execute(text).await.map(|()| Vec::new()) }.boxed()
}

/// A statement: prepared, or read, bound and run in one message.
pub(crate) fn query<'a>(client: &'a Client, sql: &'a Sql, statement: Option<Statement>) -> Asked<'a> {
    async move {
        match statement {
            Some(statement) => {
                let values: Vec<&(dyn ToSql + Sync)> = sql.values().iter().map(as_parameter).collect();
                client.query(&statement, &values).await
            }
            None => client.query_typed(sql.text(), &untyped(sql)).await,
        }
    }
    .boxed()
}

/// The values of a statement whose types PostgreSQL is to infer: type 0 says so, and the driver knows the pseudo-type
/// `unknown`, which means the same.
pub(crate) fn untyped(sql: &Sql) -> Vec<(&(dyn ToSql + Sync), Type)> {
    sql.values().iter().map(|value| (as_parameter(value), Type::UNKNOWN)).collect()
}

fn as_parameter(value: &Value) -> &(dyn ToSql + Sync) {
    value
}
