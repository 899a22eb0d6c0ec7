//! Reads a catalog over a connection: the settings that the database holds, then what it offers.

use base::Result;
use base::error::{Source, chain};
use futures_util::future::join_all;
use tokio_postgres::Client;

use super::lease::Lease;
use super::step::{command, query};
use super::value::Raw;
use crate::error::{NO_SCHEMA_CACHE, unavailable};
use crate::given::IN_DATABASE;
use crate::render::sql::array;
use crate::render::{Sql, Value, session};
use crate::schema::load::{Catalog, STATEMENTS};
use crate::schema::options::{OF_FUNCTION, OF_LOGIN};
use crate::settings::Settings;
use crate::snapshot::settled;

/// One snapshot for all statements; with an empty path PostgreSQL qualifies every name it writes.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = ''";
const END: &str = "COMMIT; RESET ALL";

/// Reads the database's settings and its catalog.
///
/// Errors: PGRST002.
pub(crate) async fn read(mut lease: Lease, settings: &Settings) -> Result<Catalog> {
    let client = &lease.connection().client;
    let options = in_database(client, settings).await.map_err(not_loaded)?;
    let (settings, _) = settled(settings, &options);
    let schemas = names(settings.schemas.iter().map(String::as_str));
    let statements = STATEMENTS.map(|text| Sql::fixed(text, vec![schemas.clone()]));
    let mut steps: Vec<_> = statements.iter().map(|sql| query(client, sql, None)).collect();
    steps.push(command(client, END));
    let mut texts = Vec::new();
    for answer in join_all(steps).await {
        for row in answer.map_err(|error| not_loaded(error.into()))? {
            let Raw(json) = row.try_get(0).map_err(|error| not_loaded(error.into()))?;
            texts.push(String::from_utf8_lossy(json).into_owned());
        }
    }
    lease.finish();
    let answers = texts.try_into().map_err(|_| not_loaded("a statement returned no row".into()))?;
    Ok(Catalog { options, answers })
}

/// Begins the transaction, and reads the settings that the database holds: those of the login come last and so count.
async fn in_database(client: &Client, settings: &Settings) -> Result<Vec<(String, String)>, Source> {
    let pre_config = settings.pre_config.as_deref().map(session::pre_request);
    let known = IN_DATABASE.map(|option| option.replace('-', "_"));
    let of_function = Sql::fixed(OF_FUNCTION, vec![names(known.iter().map(String::as_str))]);
    let of_login = Sql::fixed(OF_LOGIN, Vec::new());
    let mut steps = vec![command(client, BEGIN)];
    if !settings.in_database {
        join_all(steps).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        return Ok(Vec::new());
    }
    if let Some(pre_config) = &pre_config {
        steps.extend([query(client, pre_config, None), query(client, &of_function, None)]);
    }
    steps.push(query(client, &of_login, None));
    let mut found = Vec::new();
    let reads_function = pre_config.is_some();
    for (step, answer) in join_all(steps).await.into_iter().enumerate() {
        let rows = answer?;
        // what the function itself returns says nothing
        if step == 0 || (reads_function && step == 1) {
            continue;
        }
        for row in rows {
            let Raw(json) = row.try_get(0)?;
            found.extend(serde_json::from_slice::<Vec<(String, String)>>(json)?);
        }
    }
    Ok(found)
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    Value::Text(array(names).into())
}

/// What could not be read, for the log; the caller hears that it was not.
pub(crate) fn not_loaded(cause: Source) -> base::Error {
    tracing::warn!(error = %chain(&*cause), "a schema cache was not loaded");
    unavailable(NO_SCHEMA_CACHE, "Could not query the database for the schema cache. Retrying.")
        .caused_by(cause)
}
