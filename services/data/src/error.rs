//! Every error this API can answer with: PostgREST's codes, statuses and words, which clients match on.
//!
//! Source: PostgREST v16 documentation, "Errors"; the words are part of the wire protocol.

pub(crate) mod database;
pub(crate) mod envelope;
pub(crate) mod missing;
pub(crate) mod token;

use base::header::{FAULT, Fault};
use base::{Code, Error};
use http::HeaderValue;
use http::header::RETRY_AFTER;
use serde_json::Value;

/// No connection to the database.
pub(crate) const CONNECTION: Code = Code::new(503, "PGRST000");
/// The connection broke while it was in use.
pub(crate) const CLIENT: Code = Code::new(503, "PGRST001");
/// The schema cache could not be loaded yet.
pub(crate) const NO_SCHEMA_CACHE: Code = Code::new(503, "PGRST002");
/// All connections are busy.
pub(crate) const POOL_TIMEOUT: Code = Code::new(504, "PGRST003");
/// The query string cannot be read.
pub(crate) const QUERY: Code = Code::new(400, "PGRST100");
/// A method that functions do not have.
pub(crate) const FUNCTION_METHOD: Code = Code::new(405, "PGRST101");
/// The body cannot be read.
pub(crate) const BODY: Code = Code::new(400, "PGRST102");
/// The range cannot be satisfied.
pub(crate) const RANGE: Code = Code::new(416, "PGRST103");
/// PUT without a filter on exactly the primary key.
pub(crate) const PUT_FILTERS: Code = Code::new(405, "PGRST105");
/// A schema that is not exposed.
pub(crate) const SCHEMA: Code = Code::new(406, "PGRST106");
/// No acceptable media type.
pub(crate) const MEDIA_TYPE: Code = Code::new(406, "PGRST107");
/// A filter, order or limit on a relation that `select` does not embed.
pub(crate) const NOT_EMBEDDED: Code = Code::new(400, "PGRST108");
/// `response.headers` is not what it must be.
pub(crate) const RESPONSE_HEADERS: Code = Code::new(500, "PGRST111");
/// `response.status` is not a status.
pub(crate) const RESPONSE_STATUS: Code = Code::new(500, "PGRST112");
/// PUT with a limit or offset.
pub(crate) const PUT_LIMIT: Code = Code::new(400, "PGRST114");
/// PUT whose body names another row than the filter.
pub(crate) const PUT_MISMATCH: Code = Code::new(400, "PGRST115");
/// One object was asked for and the result has another number of rows.
pub(crate) const SINGULAR: Code = Code::new(406, "PGRST116");
/// A method the resource does not have.
pub(crate) const METHOD: Code = Code::new(405, "PGRST117");
/// An order by a relation that is not to-one.
pub(crate) const RELATED_ORDER: Code = Code::new(400, "PGRST118");
/// `RAISE SQLSTATE 'PGRST'` with a message or detail that is not the JSON it must be.
pub(crate) const RAISED_JSON: Code = Code::new(500, "PGRST121");
/// Unknown preferences under `handling=strict`.
pub(crate) const PREFERENCES: Code = Code::new(400, "PGRST122");
/// Aggregates are switched off.
pub(crate) const AGGREGATES: Code = Code::new(400, "PGRST123");
/// More rows were affected than `max-affected` allows.
pub(crate) const MAX_AFFECTED: Code = Code::new(400, "PGRST124");
/// No such path.
pub(crate) const PATH: Code = Code::new(404, "PGRST125");
/// The root describes nothing.
pub(crate) const ROOT_DISABLED: Code = Code::new(404, "PGRST126");
/// A feature that this API does not have.
pub(crate) const NOT_IMPLEMENTED: Code = Code::new(400, "PGRST127");
/// `max-affected` on a function that returns one value.
pub(crate) const MAX_AFFECTED_FUNCTION: Code = Code::new(400, "PGRST128");
/// No relationship between two relations.
pub(crate) const NO_RELATIONSHIP: Code = Code::new(400, "PGRST200");
/// More than one relationship between two relations.
pub(crate) const AMBIGUOUS_RELATIONSHIP: Code = Code::new(300, "PGRST201");
/// No function of that name and those arguments.
pub(crate) const NO_FUNCTION: Code = Code::new(404, "PGRST202");
/// More than one function of that name and those arguments.
pub(crate) const AMBIGUOUS_FUNCTION: Code = Code::new(300, "PGRST203");
/// No such column to write.
pub(crate) const NO_COLUMN: Code = Code::new(400, "PGRST204");
/// No such table or view.
pub(crate) const NO_TABLE: Code = Code::new(404, "PGRST205");
/// There is no key that a token could be checked with.
pub(crate) const NO_SECRET: Code = Code::new(500, "PGRST300");
/// The token cannot be read or its signature is not good.
pub(crate) const TOKEN: Code = Code::new(401, "PGRST301");
/// No token, where nobody may be anonymous.
pub(crate) const ANONYMOUS: Code = Code::new(401, "PGRST302");
/// The token's claims are not good.
pub(crate) const CLAIMS: Code = Code::new(401, "PGRST303");
/// A batch that cannot be.
pub(crate) const BATCH: Code = Code::new(400, "MB100");
/// A relational insert that cannot be.
pub(crate) const NESTED: Code = Code::new(400, "MB101");
/// A page of rows that cannot be.
pub(crate) const CURSOR: Code = Code::new(400, "MB102");
pub(crate) const EXPORTS: Code = Code::new(429, "MB103");
/// Something of ours failed.
pub(crate) const INTERNAL: Code = Code::new(500, "PGRSTX00");

/// The body cannot be read, for the reason given.
pub(crate) fn body(reason: impl Into<String>) -> Error {
    BODY.error(reason.into())
}

/// The requested range cannot be satisfied, for the reason given.
pub(crate) fn range(reason: impl Into<String>) -> Error {
    RANGE.error("Requested range not satisfiable").with_details(Value::String(reason.into()))
}

/// None of the accepted media types can be produced.
pub(crate) fn media_type(accepted: &[String]) -> Error {
    MEDIA_TYPE.error(format!("None of these media types are available: {}", accepted.join(", ")))
}

/// The database is away or in trouble: this project's fault alone, and worth another try.
pub(crate) fn unavailable(code: Code, message: &'static str) -> Error {
    code.error(message)
        .with_header(FAULT, Fault::Tenant.value())
        .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
}
