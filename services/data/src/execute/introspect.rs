//! Reads a catalog over a connection: the settings that the database holds, then what it offers.

use base::Result;
use base::error::{Source, chain};

use super::lease::Lease;
use super::transaction::COMMIT;
use super::wire::{Reading, Wire};
use crate::error::{NO_SCHEMA_CACHE, unavailable};
use crate::given::IN_DATABASE;
use crate::render::sql::array;
use crate::render::{Sql, Value, session};
use crate::schema::load::{Catalog, STATEMENTS};
use crate::schema::options::{OF_FUNCTION, OF_LOGIN};
use crate::settings::Settings;
use crate::snapshot::settled;

/// One snapshot for all statements; with an empty path PostgreSQL qualifies every name it writes.
const BEGIN: &[&str] = &["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SET LOCAL search_path = ''"];

/// Reads the database's settings and its catalog.
///
/// Errors: PGRST002.
pub(crate) async fn read(mut lease: Lease, settings: &Settings) -> Result<Catalog> {
    let wire = &mut lease.connection().wire;
    let options = in_database(wire, settings).await.map_err(not_loaded)?;
    let (settings, _) = settled(settings, &options);
    let schemas = names(settings.schemas.iter().map(String::as_str));
    let mut flush = wire.ask();
    for text in STATEMENTS {
        flush.statement(&Sql::fixed(text, vec![schemas.clone()]), Reading::Once);
    }
    flush.commands(COMMIT);
    let answers = flush.answers().await.map_err(|failure| not_loaded(failure.into()))?;
    let texts: Vec<String> = answers.iter().flatten().filter_map(|row| row.text(0)).collect();
    lease.finish();
    let answers = texts.try_into().map_err(|_| not_loaded("a statement returned no row".into()))?;
    Ok(Catalog { options, answers })
}

/// Begins the transaction, and reads the settings that the database holds: those of the login come last and so count.
async fn in_database(wire: &mut Wire, settings: &Settings) -> Result<Vec<(String, String)>, Source> {
    let mut flush = wire.ask();
    flush.commands(BEGIN);
    if !settings.in_database {
        flush.answers().await?;
        return Ok(Vec::new());
    }
    let mut asked = BEGIN.len();
    if let Some(pre_config) = settings.pre_config.as_deref().map(session::pre_request) {
        let known = IN_DATABASE.map(|option| option.replace('-', "_"));
        let of_function = Sql::fixed(OF_FUNCTION, vec![names(known.iter().map(String::as_str))]);
        flush.statement(&pre_config, Reading::Once).statement(&of_function, Reading::Once);
        // what the function itself returns says nothing
        asked += 1;
    }
    flush.statement(&Sql::fixed(OF_LOGIN, Vec::new()), Reading::Once);
    let mut found = Vec::new();
    for row in flush.answers().await?.iter().skip(asked).flatten() {
        found.extend(serde_json::from_slice::<Vec<(String, String)>>(row.slice(0).unwrap_or_default())?);
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
