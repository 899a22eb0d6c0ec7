//! One connection pool per active project, bounded over the process; and the transaction that runs as the caller.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use base::error::{OrInternal, UNAVAILABLE};
use base::header::{FAULT, Fault};
use base::{Error, Result};
use moka::future::Cache;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use tokio::time::timeout;

use crate::project::{Document, Endpoint, ProjectRef};
use crate::projects::Projects;

/// A transaction on a project's database.
pub type Tx = Transaction<'static, Postgres>;

/// How many connections a process may hold.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Over all projects.
    pub total: u32,
    /// For one project.
    pub per_project: u32,
    /// How long an unused connection, and an unused project's pool, is kept.
    pub idle: Duration,
    /// How long a request waits for a connection.
    pub wait: Duration,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { total: 64, per_project: 8, idle: Duration::from_secs(120), wait: Duration::from_secs(5) }
    }
}

impl Budget {
    /// Projects whose pools fit into the budget at once.
    pub fn projects(&self) -> u64 {
        u64::from((self.total / self.per_project.max(1)).max(1))
    }
}

/// The pools of all active projects, least recently used first out. Cheap to clone.
///
/// A pool that goes is not closed but dropped: its connections end when the last request on them is done.
#[derive(Clone)]
pub struct Databases {
    pools: Cache<ProjectRef, Arc<Pool>>,
    projects: Projects,
    budget: Budget,
}

struct Pool {
    version: i64,
    pool: PgPool,
}

impl Databases {
    /// Opens nothing yet.
    pub fn new(projects: Projects, budget: Budget) -> Databases {
        let pools = Cache::builder()
            .max_capacity(budget.projects())
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(budget.idle)
            .build();
        Databases { pools, projects, budget }
    }

    /// The project's database. A changed document gets a new pool.
    pub async fn of(&self, project: &Document) -> Result<Db> {
        let current = |pool: &Pool| pool.version == project.version;
        let pool = match self.pools.get(&project.reference).await {
            Some(pool) if current(&pool) => pool,
            _ => {
                let endpoint = project
                    .database
                    .as_ref()
                    .ok_or_else(|| Error::internal("the project has no database"))?;
                // of several requests that find none, one opens it
                let opened = self.pools.entry_by_ref(&project.reference).and_compute_with(|open| {
                    ready(match open {
                        Some(open) if current(open.value()) => Op::Nop,
                        _ => Op::Put(Arc::new(Pool { version: project.version, pool: self.open(endpoint) })),
                    })
                });
                opened
                    .await
                    .into_entry()
                    .ok_or_else(|| Error::internal("the pool was not kept"))?
                    .into_value()
            }
        };
        Ok(Db {
            pool: pool.pool.clone(),
            reference: project.reference.clone(),
            projects: self.projects.clone(),
        })
    }

    /// A connection beside the pools, for who keeps one. A sleeping database is woken once.
    ///
    /// Errors: unavailable, marked as this project's fault.
    pub async fn connect(&self, project: &Document) -> Result<PgConnection> {
        let endpoint =
            project.database.as_ref().ok_or_else(|| Error::internal("the project has no database"))?;
        let options = options(endpoint);
        let connect = || async {
            let connected = timeout(self.budget.wait, PgConnection::connect_with(&options)).await;
            connected.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        };
        match connect().await {
            Err(error) if is_asleep(&error) => {
                self.projects.wake(&project.reference).await.map_err(|wake| unavailable(wake.into()))?;
                connect().await.map_err(unavailable_db)
            }
            other => other.map_err(unavailable_db),
        }
    }

    fn open(&self, endpoint: &Endpoint) -> PgPool {
        PgPoolOptions::new()
            .max_connections(self.budget.per_project)
            .min_connections(0)
            .idle_timeout(self.budget.idle)
            .acquire_timeout(self.budget.wait)
            .connect_lazy_with(options(endpoint))
    }
}

/// The driver's form of an endpoint.
pub fn options(endpoint: &Endpoint) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .database(&endpoint.database)
        .username(&endpoint.user)
        .password(endpoint.password.expose())
        .application_name("meshbase");
    match (endpoint.host.starts_with('/'), endpoint.tls) {
        (true, _) => options.socket(&endpoint.host),
        (false, true) => options.ssl_mode(PgSslMode::VerifyFull),
        (false, false) => options.ssl_mode(PgSslMode::Prefer),
    }
}

/// One project's database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: PgPool,
    reference: ProjectRef,
    projects: Projects,
}

impl Db {
    /// Begins a transaction as the service's own login.
    ///
    /// A sleeping database is woken once. Errors: unavailable, marked as this project's fault.
    pub async fn begin(&self) -> Result<Tx> {
        match self.pool.begin().await {
            Err(error) if is_asleep(&error) => {
                self.projects.wake(&self.reference).await.map_err(|wake| unavailable(wake.into()))?;
                self.pool.begin().await.map_err(unavailable_db)
            }
            other => other.map_err(unavailable_db),
        }
    }

    /// A connection for single statements, each its own transaction: what one statement does needs no
    /// `BEGIN` and `COMMIT` around it.
    ///
    /// Wakes a sleeping database and fails as [`Db::begin`] does.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>> {
        match self.pool.acquire().await {
            Err(error) if is_asleep(&error) => {
                self.projects.wake(&self.reference).await.map_err(|wake| unavailable(wake.into()))?;
                self.pool.acquire().await.map_err(unavailable_db)
            }
            other => other.map_err(unavailable_db),
        }
    }

    /// Begins a transaction that runs under `settings`, in order; see [`crate::claims::session_settings`].
    ///
    /// They are local to the transaction, so that nothing of the caller stays on the connection.
    pub async fn begin_as(&self, settings: &[(&str, String)]) -> Result<Tx> {
        let mut tx = self.begin().await?;
        set_local(&mut tx, settings).await?;
        Ok(tx)
    }
}

/// Puts the rest of the transaction under `settings`, in order; see [`Db::begin_as`].
pub async fn set_local(tx: &mut Tx, settings: &[(&str, String)]) -> Result<()> {
    let names: Vec<String> = settings.iter().map(|(name, _)| (*name).to_owned()).collect();
    let values: Vec<String> = settings.iter().map(|(_, value)| value.clone()).collect();
    sqlx::query(
        "SELECT set_config(s.name, s.value, true) \
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS s(name, value, n) ORDER BY s.n",
    )
    .bind(names)
    .bind(values)
    .execute(&mut **tx)
    .await
    .or_internal()?;
    Ok(())
}

/// Whether nothing serves where the database should be: it was stopped for being idle, or is just stopping or
/// starting. Waking it waits for either.
pub fn is_asleep(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match error {
        sqlx::Error::Io(io) => matches!(io.kind(), ConnectionRefused | NotFound),
        sqlx::Error::Database(database) => database.code().is_some_and(|code| is_stopping(&code)),
        _ => false,
    }
}

/// Whether an SQLSTATE says that the server is stopping or starting: `admin_shutdown`, `cannot_connect_now`.
pub fn is_stopping(sqlstate: &str) -> bool {
    matches!(sqlstate, "57P01" | "57P03")
}

fn unavailable_db(error: sqlx::Error) -> Error {
    unavailable(error.into())
}

fn unavailable(source: base::error::Source) -> Error {
    UNAVAILABLE
        .error("the project's database is not available")
        .caused_by(source)
        .with_header(FAULT, Fault::Tenant.value())
        .with_header(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"))
}
