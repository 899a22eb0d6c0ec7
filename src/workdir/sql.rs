//! Runs a user's SQL file, and says where it went wrong.

use std::path::Path;

use base::Result;
use base::error::BAD_REQUEST;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, PgConnection};

use super::extensions::without_extensions;
use super::in_file;
use super::role_settings::{RoleSetting, taken_out};

/// Runs a whole file. Extensions in `skip` are not created; settings of the API's roles are the database's alone.
///
/// Errors: file, line and PostgreSQL's message; for a missing extension the way round.
pub(super) async fn run_file(connection: &mut PgConnection, path: &Path, skip: &[String]) -> Result<()> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| BAD_REQUEST.error(format!("{} cannot be read: {error}", path.display())))?;
    let text = without_extensions(&text, skip);
    let (text, role_settings) = taken_out(&text);
    match run(connection, &text, role_settings).await {
        Ok(()) => Ok(()),
        Err(sqlx::Error::Database(error)) => {
            let error = error.downcast_ref::<PgDatabaseError>();
            let line = line_of(&text, error);
            let failed = in_file(path, line, error.message());
            Err(match missing_extension(error) {
                Some(name) => failed.with_hint(format!(
                    "install it for the server, or go on without it: --skip-extension {name}"
                )),
                None => {
                    failed.with_hint(error.hint().unwrap_or("nothing of this file was applied").to_owned())
                }
            })
        }
        Err(error) => Err(base::Error::internal(error)),
    }
}

async fn run(connection: &mut PgConnection, text: &str, role_settings: Vec<RoleSetting>) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut *connection).await?;
    for RoleSetting { role, setting, value } in role_settings {
        sqlx::query("SELECT meshbase.set_role_setting($1, $2, $3)")
            .bind(role)
            .bind(setting)
            .bind(value)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The line of the error's position. PostgreSQL counts characters from 1; without a position it is line 1.
fn line_of(text: &str, error: &PgDatabaseError) -> usize {
    let position = match error.position() {
        Some(PgErrorPosition::Original(position)) => position,
        _ => 1,
    };
    1 + text.chars().take(position.saturating_sub(1)).filter(|c| *c == '\n').count()
}

fn missing_extension(error: &PgDatabaseError) -> Option<&str> {
    let rest = error.message().strip_prefix("extension \"")?;
    let (name, what) = rest.split_once('"')?;
    (what.contains("is not available") || what.contains("has no installation script")).then_some(name)
}
