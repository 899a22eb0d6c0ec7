//! Connections to one project's database, and their pool.

use std::io;
use std::time::Duration;

use common::db::Budget;
use common::project::Endpoint;
use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Pool as ManagedPool, RecycleError, RecycleResult, Timeouts};
use tokio_postgres::{Config, NoTls};

use super::prepared::{Lookup, Prepared};
use super::tls::Tls;
use super::wire::stream::Stream;
use super::wire::{Failure, Reading, Wire};

/// How long a cancellation may take before the connection is closed all the same.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// A project's connections.
pub(crate) type Pool = ManagedPool<Manager>;
/// A connection on loan from the pool.
pub(crate) type Loan = managed::Object<Manager>;

/// One connection, with the statements that are prepared on it.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    prepared: Prepared,
    config: Config,
    tls: Tls,
}

impl Connection {
    /// How to send a statement of a role.
    pub(crate) fn reading(&mut self, generation: u64, role: &str, sql: &str) -> Reading {
        let known = self.prepared.look_up(generation, role, sql);
        for number in self.prepared.dropped() {
            self.wire.forget(number);
        }
        match known {
            Lookup::First => Reading::Once,
            Lookup::Again => Reading::Kept(self.wire.number()),
            Lookup::Ready(number) => Reading::Known(number),
        }
    }

    /// What came of it.
    pub(crate) fn was_read(&mut self, role: &str, sql: &str, reading: Reading, well: bool) {
        match reading {
            Reading::Kept(number) if well => self.prepared.keep(role, sql, number),
            Reading::Kept(number) | Reading::Known(number) if !well => {
                self.prepared.forget(role, sql, number)
            }
            _ => {}
        }
    }

    /// How to send the statement that sets so many values, which only their number tells from others.
    pub(crate) fn reading_of_settings(&mut self, values: usize) -> Reading {
        match self.prepared.settings(values) {
            Some(number) => Reading::Known(number),
            None => Reading::Kept(self.wire.number()),
        }
    }

    /// What came of it.
    pub(crate) fn was_read_for_settings(&mut self, values: usize, reading: Reading, well: bool) {
        match reading {
            Reading::Kept(number) if well => self.prepared.keep_settings(values, number),
            Reading::Kept(number) => self.wire.forget(number),
            _ => {}
        }
    }

    /// Asks the server to give up what the connection is doing.
    ///
    /// Without it a statement that nobody waits for any more would run on in the server.
    pub(crate) async fn cancel(&self) {
        let cancelled = async {
            let stream = Stream::connect(&self.config, self.tls.client()).await?;
            self.wire.cancel().cancel_query_raw(stream, NoTls).await.map_err(Failure::Handshake)
        };
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, cancelled).await;
    }
}

/// Opens connections.
pub(crate) struct Manager {
    config: Config,
    tls: Tls,
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Failure;

    async fn create(&self) -> Result<Connection, Failure> {
        // in a box: most loans are of connections that are there
        let wire = Box::pin(Wire::connect(&self.config, self.tls.client())).await?;
        let (config, tls) = (self.config.clone(), self.tls.clone());
        Ok(Connection { wire, prepared: Prepared::default(), config, tls })
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Failure> {
        if !connection.wire.is_open() {
            return Err(RecycleError::message("the connection is closed"));
        }
        Ok(())
    }
}

/// The pool of an endpoint; it opens nothing yet. One connection of the budget is left to the listener.
pub(crate) fn pool(endpoint: &Endpoint, budget: &Budget) -> Pool {
    let manager = Manager { config: config(endpoint, budget.wait), tls: Tls::of(endpoint.tls) };
    let timeouts =
        Timeouts { wait: Some(budget.wait), create: Some(budget.wait), recycle: Some(budget.wait) };
    ManagedPool::builder(manager)
        .max_size(budget.per_project.saturating_sub(1).max(1) as usize)
        .timeouts(timeouts)
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a pool with timeouts has a runtime")
}

/// The driver's form of an endpoint.
pub(crate) fn config(endpoint: &Endpoint, connect_timeout: Duration) -> Config {
    let mut config = Config::new();
    config
        .host(&endpoint.host)
        .port(endpoint.port)
        .dbname(&endpoint.database)
        .user(&endpoint.user)
        .password(endpoint.password.expose())
        .application_name("meshbase data")
        .connect_timeout(connect_timeout)
        .keepalives_idle(Duration::from_secs(30));
    if !endpoint.options.is_empty() {
        config.options(&endpoint.options);
    }
    if endpoint.tls {
        config.ssl_mode(tokio_postgres::config::SslMode::Require);
    } else {
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    }
    config
}

/// Whether nothing serves where the database should be: it was stopped for being idle, or is just stopping or starting.
pub(crate) fn is_asleep(failure: &Failure) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    match failure {
        Failure::Connection(error) => matches!(error.kind(), ConnectionRefused | NotFound),
        other => other.code().is_some_and(common::db::is_stopping),
    }
}
