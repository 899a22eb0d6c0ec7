//! Connections to one project's database, and their pool.

use std::time::Duration;

use common::db::Budget;
use common::project::Endpoint;
use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Pool as ManagedPool, RecycleError, RecycleResult, Timeouts};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Connection as Wire, Error, Socket};

use super::prepared::Prepared;
use super::tls::{Driver, Stream, Tls};

/// How long a cancellation may take before the connection is closed all the same.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// A project's connections.
pub(crate) type Pool = ManagedPool<Manager>;
/// A connection on loan from the pool.
pub(crate) type Loan = managed::Object<Manager>;

/// One connection, with the statements that are prepared on it.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) prepared: Prepared,
    tls: Tls,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Asks the server to give up what the connection is doing.
    ///
    /// Without it a statement that nobody waits for any more would run on in the server.
    pub(crate) async fn cancel(&self) {
        let token = self.client.cancel_token();
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, self.tls.cancel(&token)).await;
    }

    /// Closes the connection at once, whatever it is doing.
    pub(crate) fn close(self) {
        self.driver.abort();
    }
}

/// Opens connections.
pub(crate) struct Manager {
    config: Config,
    tls: Tls,
}

struct Spawn;

impl Driver for Spawn {
    type Output = (Client, JoinHandle<()>);

    fn drive<S: Stream>(self, client: Client, connection: Wire<Socket, S>) -> Self::Output {
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %base::error::chain(&error), "a database connection ended");
            }
        });
        (client, driver)
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        // in a box: most loans are of connections that are there
        let (client, driver) = Box::pin(self.tls.connect(&self.config, Spawn)).await?;
        Ok(Connection { client, prepared: Prepared::default(), tls: self.tls.clone(), driver })
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        if connection.client.is_closed() {
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
pub(crate) fn is_asleep(error: &Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    if error.code().is_some_and(|state| common::db::is_stopping(state.code())) {
        return true;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return matches!(io.kind(), ConnectionRefused | NotFound);
        }
        cause = error.source();
    }
    false
}
