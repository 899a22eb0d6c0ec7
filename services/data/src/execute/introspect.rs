//! Loads a schema cache over a connection.

use base::Result;
use base::error::chain;
use futures_util::future::join_all;

use super::lease::Lease;
use super::transaction::{command, query};
use super::value::Raw;
use crate::error::{NO_SCHEMA_CACHE, unavailable};
use crate::render::sql::array;
use crate::render::{Sql, Value};
use crate::schema::SchemaCache;
use crate::schema::load::{STATEMENTS, assemble};

/// One snapshot for all statements; with an empty path PostgreSQL qualifies every name it writes.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = ''";
const END: &str = "COMMIT; RESET ALL";

/// Reads the catalog, in one flush.
///
/// Errors: PGRST002.
pub(crate) async fn load(mut lease: Lease, schemas: &[String], generation: u64) -> Result<SchemaCache> {
    let schemas = Value::Text(array(schemas.iter().map(String::as_str)).into());
    let statements = STATEMENTS.map(|text| Sql::fixed(text, vec![schemas.clone()]));
    let client = &lease.connection().client;
    let mut steps = vec![command(client, BEGIN)];
    steps.extend(statements.iter().map(|sql| query(client, sql, None)));
    steps.push(command(client, END));
    let mut texts = Vec::new();
    for answer in join_all(steps).await {
        let rows = answer.map_err(|error| not_loaded(error.into()))?;
        for row in rows {
            let Raw(json) = row.try_get(0).map_err(|error| not_loaded(error.into()))?;
            texts.push(String::from_utf8_lossy(json).into_owned());
        }
    }
    lease.finish();
    let texts =
        <[String; 8]>::try_from(texts).map_err(|_| not_loaded("a statement returned no row".into()))?;
    assemble(generation, &texts).map_err(|error| not_loaded(error.into()))
}

fn not_loaded(cause: base::error::Source) -> base::Error {
    tracing::warn!(error = %chain(&*cause), "a schema cache was not loaded");
    unavailable(NO_SCHEMA_CACHE, "Could not query the database for the schema cache. Retrying.")
        .caused_by(cause)
}
