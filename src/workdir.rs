//! A Supabase project folder, used as it is: `supabase/config.toml`, `migrations/*.sql`, seeds.

mod config;
mod extensions;
mod role_settings;
mod sql;
mod statements;

pub use config::ProjectConfig;

use std::path::{Path, PathBuf};

use base::error::{BAD_REQUEST, OrInternal};
use base::{Error, Result};
use common::project::Endpoint;
use sqlx::{Connection, PgConnection};

use crate::migrate;

/// The folder `DIR/supabase`.
pub struct Workdir {
    supabase: PathBuf,
    /// What its `config.toml` says.
    pub config: ProjectConfig,
}

impl Workdir {
    /// Reads the folder's configuration.
    ///
    /// Errors: no `supabase` folder, a `config.toml` that cannot be read.
    pub fn open(dir: &Path) -> Result<Workdir> {
        let supabase = dir.join("supabase");
        if !supabase.is_dir() {
            let message = format!("{} has no folder `supabase`", dir.display());
            return Err(BAD_REQUEST.error(message).with_hint("give --workdir the folder that contains it"));
        }
        let path = supabase.join("config.toml");
        let config = match std::fs::read_to_string(&path) {
            Ok(text) => ProjectConfig::parse(&text)
                .map_err(|why| BAD_REQUEST.error(format!("{} cannot be read: {why}", path.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => ProjectConfig::default(),
            Err(error) => {
                return Err(BAD_REQUEST.error(format!("{} cannot be read: {error}", path.display())));
            }
        };
        Ok(Workdir { supabase, config })
    }

    /// Names what of the configuration has no effect.
    pub fn warn(&self) {
        for what in &self.config.unsupported {
            tracing::warn!("config.toml: {what} has no effect yet");
        }
    }

    /// Brings a project's database to where the folder wants it: our settings, migrations once each in order, and
    /// the seed once, unless the database came with a history of its own. What failed is tried again the next time.
    pub async fn apply(&self, owner: &Endpoint, skip_extensions: &[String]) -> Result<()> {
        let mut connection = migrate::connect(owner).await?;
        sqlx::query("UPDATE meshbase.settings SET default_deny = false")
            .execute(&mut connection)
            .await
            .or_internal()?;
        make_history(&mut connection).await?;
        if self.config.migrations_enabled {
            for file in self.migrations()? {
                apply_once(&mut connection, &file, skip_extensions).await?;
            }
        }
        if self.config.seed_enabled && seedable(&mut connection).await? {
            seed_once(&mut connection, &self.seeds()?, skip_extensions).await?;
        }
        warn_of_open_tables(&mut connection, &self.config.exposed_schemas).await?;
        connection.close().await.or_internal()
    }

    /// The migration files in the order of their versions.
    fn migrations(&self) -> Result<Vec<Migration>> {
        let mut found = Vec::new();
        let Ok(entries) = std::fs::read_dir(self.supabase.join("migrations")) else { return Ok(found) };
        for entry in entries {
            let path = entry.or_internal()?.path();
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let (version, name) = stem.split_once('_').unwrap_or((&stem, ""));
            if version.is_empty() || !version.bytes().all(|b| b.is_ascii_digit()) {
                tracing::warn!(file = %path.display(), "skipped: a migration is named <version>_<name>.sql");
                continue;
            }
            found.push(Migration { version: version.to_owned(), name: name.to_owned(), path });
        }
        found.sort_by(|a, b| a.version.cmp(&b.version));
        Ok(found)
    }

    fn seeds(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for pattern in &self.config.seed_paths {
            let pattern = self.supabase.join(pattern.trim_start_matches("./"));
            let paths = glob::glob(&pattern.to_string_lossy())
                .map_err(|error| BAD_REQUEST.error(format!("[db.seed] sql_paths: {error}")))?;
            found.extend(paths.flatten());
        }
        Ok(found)
    }
}

/// One file of `supabase/migrations`.
struct Migration {
    version: String,
    name: String,
    path: PathBuf,
}

/// Makes the history table where the Supabase tools have it, and with it our own that says whether we seeded: a
/// history from elsewhere comes without one, and its database has its data already.
async fn make_history(connection: &mut PgConnection) -> Result<()> {
    if exists(connection, "supabase_migrations.schema_migrations").await? {
        return Ok(());
    }
    // one message is one transaction
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS supabase_migrations;
         CREATE TABLE supabase_migrations.schema_migrations
             (version text PRIMARY KEY, statements text[], name text);
         ALTER TABLE supabase_migrations.schema_migrations ENABLE ROW LEVEL SECURITY;
         CREATE TABLE IF NOT EXISTS supabase_migrations.meshbase_seed
             (seeded boolean PRIMARY KEY CHECK (seeded), seeded_at timestamptz NOT NULL DEFAULT now());
         ALTER TABLE supabase_migrations.meshbase_seed ENABLE ROW LEVEL SECURITY;",
    )
    .execute(connection)
    .await
    .or_internal()?;
    Ok(())
}

/// Whether the history is ours, so that the seed is too.
async fn seedable(connection: &mut PgConnection) -> Result<bool> {
    exists(connection, "supabase_migrations.meshbase_seed").await
}

async fn exists(connection: &mut PgConnection, table: &str) -> Result<bool> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(connection)
        .await
        .or_internal()
}

/// Runs the seed files and writes that down in one transaction, unless it is written down already.
async fn seed_once(connection: &mut PgConnection, seeds: &[PathBuf], skip: &[String]) -> Result<()> {
    let mut tx = connection.begin().await.or_internal()?;
    let first = sqlx::query(
        "INSERT INTO supabase_migrations.meshbase_seed (seeded) VALUES (true) ON CONFLICT DO NOTHING",
    )
    .execute(&mut *tx)
    .await
    .or_internal()?;
    if first.rows_affected() == 0 {
        return Ok(());
    }
    for path in seeds {
        tracing::info!(file = %path.display(), "seeding");
        sql::run_file(&mut tx, path, skip).await?;
    }
    tx.commit().await.or_internal()
}

/// Applies a migration and writes it down in one transaction, unless it is written down already.
async fn apply_once(connection: &mut PgConnection, migration: &Migration, skip: &[String]) -> Result<()> {
    let applied: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM supabase_migrations.schema_migrations WHERE version = $1)",
    )
    .bind(&migration.version)
    .fetch_one(&mut *connection)
    .await
    .or_internal()?;
    if applied {
        return Ok(());
    }
    tracing::info!(file = %migration.path.display(), "migrating");
    let mut tx = connection.begin().await.or_internal()?;
    sql::run_file(&mut tx, &migration.path, skip).await?;
    sqlx::query("INSERT INTO supabase_migrations.schema_migrations (version, name) VALUES ($1, $2)")
        .bind(&migration.version)
        .bind(&migration.name)
        .execute(&mut *tx)
        .await
        .or_internal()?;
    tx.commit().await.or_internal()
}

/// An imported folder decides itself what is open; whoever runs it should know.
async fn warn_of_open_tables(connection: &mut PgConnection, schemas: &[String]) -> Result<()> {
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
           AND has_table_privilege('anon', c.oid, 'SELECT') ORDER BY 1",
    )
    .bind(schemas)
    .fetch_all(connection)
    .await
    .or_internal()?;
    for table in open {
        tracing::warn!(table, "anybody with the anon key can read this table: it has no row-level security");
    }
    Ok(())
}

/// An error of the user's own SQL, for the user.
fn in_file(path: &Path, line: usize, message: &str) -> Error {
    BAD_REQUEST.error(format!("{}:{line}: {message}", path.display()))
}
