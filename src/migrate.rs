//! Our own migrations: forward only, one folder and one history per owner, each file in a transaction of its own.

use base::Result;
use base::error::OrInternal;
use common::project::Endpoint;
use futures_util::future::{BoxFuture, FutureExt};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

/// What is migrated as one: the database of the platform, or of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The platform database.
    Platform,
    /// The control plane's store.
    Control,
    /// A project's database: roles and schemas first, then what each service keeps there.
    Project,
}

/// Brings a database up to date. Runs as its superuser; several at once wait for each other.
pub fn run(target: Target, connection: &mut PgConnection) -> BoxFuture<'_, Result<()>> {
    async move {
        for (owner, mut migrator) in migrators(target) {
            migrator.create_schema("meshbase");
            migrator.dangerous_set_table_name(format!("meshbase.migrations_{owner}"));
            // N-1: an older binary may run on a database that a newer one has migrated
            migrator.set_ignore_missing(true);
            migrator.run_direct(None, connection, false).await.or_internal()?;
        }
        Ok(())
    }
    .boxed()
}

fn migrators(target: Target) -> Vec<(&'static str, Migrator)> {
    match target {
        Target::Platform => vec![("platform", sqlx::migrate!("migrations/platform"))],
        Target::Control => vec![("control", sqlx::migrate!("migrations/control"))],
        Target::Project => vec![
            ("project", sqlx::migrate!("migrations/project")),
            ("auth", sqlx::migrate!("migrations/auth")),
            ("storage", sqlx::migrate!("migrations/storage")),
        ],
    }
}

/// Opens one connection.
pub fn connect(endpoint: &Endpoint) -> BoxFuture<'static, Result<PgConnection>> {
    let options = common::db::options(endpoint);
    async move { PgConnection::connect_with(&options).await.or_internal() }.boxed()
}
