//! Parse: from an HTTP request to what it asks for. Pure; nothing here knows the database.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod cursor;
pub(crate) mod field;
pub(crate) mod filter;
pub(crate) mod logic;
pub(crate) mod longhand;
pub(crate) mod order;
pub(crate) mod preferences;
pub(crate) mod profile;
pub(crate) mod query;
pub(crate) mod question;
pub(crate) mod range;
pub(crate) mod scanner;
pub(crate) mod select;
pub(crate) mod target;

use base::Result;
use bytes::Bytes;
use http::request::Parts;

use crate::error::PUT_LIMIT;
use crate::media::MediaType;
use crate::settings::Settings;
pub(crate) use body::{Body, Payload};
pub(crate) use preferences::Preferences;
pub(crate) use query::Query;
pub(crate) use question::Question;
pub(crate) use range::Range;
pub(crate) use target::{Action, Resource, Target};

/// Everything a request asks for.
#[derive(Debug)]
pub(crate) struct ApiRequest {
    /// What it is about and what is to be done.
    pub(crate) target: Target,
    /// The exposed schema it works in.
    pub(crate) schema: String,
    /// Whether the answer names the schema, because there was a choice.
    pub(crate) names_schema: bool,
    /// The query string.
    pub(crate) query: Query,
    /// The rows of the first level that are wanted.
    pub(crate) range: Range,
    /// `Prefer`.
    pub(crate) preferences: Preferences,
    /// `Accept`, best first.
    pub(crate) accept: Vec<MediaType>,
    /// `Content-Type`.
    pub(crate) content_type: MediaType,
    /// The body, for actions that have one.
    pub(crate) body: Body,
}

/// Reads a request. One that asks in its body becomes the GET that it stands for.
///
/// Errors: the codes from PGRST100 to PGRST125 that concern the request alone.
pub(crate) fn parse(parts: &mut Parts, body: Bytes, settings: &Settings) -> Result<ApiRequest> {
    let (query, body) = longhand::query(parts, body)?;
    let Question { method, address, headers } = Question::of(parts);
    let target = Target::of(&method, address.path())?.at_root(settings.root_function.as_deref());
    let (schema, names_schema) = profile::schema(&method, &headers, &settings.schemas)?;
    let query = Query::parse(&query, target.action.takes_arguments())?;
    let range = range::requested(&method, &headers, &query)?;
    if target.action == Action::Upsert && !range.is_all() {
        return Err(PUT_LIMIT.error("limit/offset querystring parameters are not allowed for PUT"));
    }
    let content_type = accept::content_type(&headers);
    let body = body::read(body, &content_type, query.columns.as_ref(), &target)?;
    Ok(ApiRequest {
        schema,
        names_schema,
        range,
        preferences: Preferences::parse(&headers, settings.tx_end.may_be_overridden()),
        accept: accept::accepted(&headers),
        content_type,
        body,
        query,
        target,
    })
}
