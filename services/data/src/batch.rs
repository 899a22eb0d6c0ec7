//! Batches: several requests in one transaction, whole or not at all; later ones may refer to results of earlier ones.

mod document;
mod reference;

use std::collections::BTreeMap;

use base::{Body, Error, Request, Response, Result};
use bytes::Bytes;
use common::project::Document;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, VARY};
use http::request::Parts;
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::Data;
use crate::error::envelope::internal;
use crate::error::{BATCH, envelope};
use crate::execute::{Frame, Series};
use crate::pipeline::{Call, perform, read};
use crate::plan::plan;
use crate::render::session::begin;
use crate::request::preferences::Preferences;
use crate::request::{self, ApiRequest, Resource, accept};
use crate::respond::respond;
use crate::schema::Name;
use crate::snapshot::Snapshot;
use crate::visit::Visit;
use document::Part;
use reference::Results;

/// All answers of a batch together, in bytes: they are in memory at once.
const MAX_ANSWERS: usize = 32 * 1024 * 1024;
/// The media type that a batch has in any case.
const BATCH_TYPE: &str = "application/vnd.meshbase.batch+json";

/// Answers a batch; or, where a relation has that name, an insert into it.
///
/// Errors: those of the request that failed, with its name; MB100 for a batch that cannot be.
pub(crate) async fn answer(data: &Data, project: &Document, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let visit = Visit::of(data, project, &parts.headers).await?;
    let body = read(body, data.max_body_bytes).await?;
    if is_insert(&parts, &visit.snapshot)? {
        return Call::read(visit, parts, body)?.answer().await;
    }
    run(visit, &parts, document::read(&body)?).await
}

/// Whether it is what it would be without batches: an insert into a relation of that name.
fn is_insert(parts: &Parts, snapshot: &Snapshot) -> Result<bool> {
    if accept::content_type(&parts.headers).to_string().starts_with(BATCH_TYPE) {
        return Ok(false);
    }
    let settings = &snapshot.settings;
    let (schema, _) = request::profile::schema(&parts.method, &parts.headers, &settings.schemas)?;
    Ok(snapshot.schema.tables.contains_key(&Name::new(schema, "batch")))
}

async fn run(mut visit: Visit<'_>, parts: &Parts, batch: Vec<Part>) -> Result<Response> {
    let max = visit.data.max_body_bytes;
    let ((), snapshot) = visit.planned(|snapshot| look_ahead(snapshot, parts, &batch, max)).await?;
    let Snapshot { schema, settings, .. } = &*snapshot;
    let preferred = Preferences::parse(&parts.headers, settings.tx_end.may_be_overridden()).transaction;
    let read_only = batch.iter().all(Part::only_reads);
    let frame = Frame {
        begin: begin(schema.isolation_of(&visit.caller.role), read_only),
        rolls_back: settings.rolls_back(preferred),
    };
    visit.timing.ends("plan");
    let mut series = Series::new(visit.lease().await?, frame);
    let done = all(&visit, &mut series, &snapshot, parts, &batch).await;
    let answers = match done {
        Ok(answers) => series.end(Ok(answers)).await?,
        Err(Failure::Error(error)) => return series.end(Err(error)).await,
        // it may be an answer, but not of something that was done
        Err(Failure::Answer(response)) => {
            series.roll_back().await;
            return Ok(visit.timing.tell(response));
        }
    };
    visit.timing.ends("transaction");
    let mut response = Response::new(Body::from(serde_json::to_vec(&answers).map_err(internal)?));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(VARY, envelope::VARIES_BY);
    if let Some(preferred) = preferred {
        headers.insert("preference-applied", HeaderValue::from_static(preferred.as_str()));
    }
    Ok(visit.timing.tell(response))
}

/// What can be known to be wrong is said before the database is asked.
fn look_ahead(snapshot: &Snapshot, parts: &Parts, batch: &[Part], max: usize) -> Result<()> {
    for (index, part) in batch.iter().enumerate().filter(|(_, part)| !part.refers()) {
        let looked = part.request(parts, &mut Results::default(), max).and_then(|(mut parts, body)| {
            let request = of_part(&mut parts, body, snapshot)?;
            plan(&request, &snapshot.schema, &snapshot.settings).map(|_| ())
        });
        looked.map_err(|error| named(error, part, index))?;
    }
    Ok(())
}

fn of_part(parts: &mut Parts, body: Bytes, snapshot: &Snapshot) -> Result<ApiRequest> {
    let request = request::parse(parts, body, &snapshot.settings)?;
    if request.target.resource == Resource::Root || request.target.action.is_describe() {
        return Err(BATCH.error("a batch reads, writes and calls, but describes nothing"));
    }
    if request.preferences.transaction.is_some() {
        return Err(BATCH.error("the batch has one end: Prefer: tx= is a header of the whole"));
    }
    Ok(request)
}

/// Why a batch stops.
enum Failure {
    Error(Error),
    /// A request's own answer says that it failed.
    Answer(Response),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

/// The answer to a batch.
#[derive(Serialize)]
struct Answers {
    responses: Vec<Answer>,
}

/// The answer to one of its requests.
#[derive(Serialize)]
struct Answer {
    id: Option<String>,
    status: u16,
    headers: BTreeMap<String, String>,
    body: Option<Box<RawValue>>,
    #[serde(skip)]
    is_json: bool,
}

async fn all(
    visit: &Visit<'_>,
    series: &mut Series,
    snapshot: &Snapshot,
    parts: &Parts,
    batch: &[Part],
) -> Result<Answers, Failure> {
    let mut results = Results::default();
    let mut responses = Vec::new();
    let mut size = 0;
    for (index, part) in batch.iter().enumerate() {
        let answered =
            one(visit, series, snapshot, part.request(parts, &mut results, visit.data.max_body_bytes));
        let response = answered.await.map_err(|error| named(error, part, index))?;
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(Failure::Answer(response));
        }
        let answer =
            Answer::of(part.id.clone(), response).await.map_err(|error| named(error, part, index))?;
        if let Some(id) = &part.id {
            results.add(id, answer.body.as_deref().filter(|_| answer.is_json));
        }
        size += answer.body.as_ref().map_or(0, |body| body.get().len());
        if size > MAX_ANSWERS {
            let error = BATCH.error(format!("the answers of a batch have {MAX_ANSWERS} bytes at most"));
            return Err(named(error, part, index).into());
        }
        responses.push(answer);
    }
    Ok(Answers { responses })
}

async fn one(
    visit: &Visit<'_>,
    series: &mut Series,
    snapshot: &Snapshot,
    request: Result<(Parts, Bytes)>,
) -> Result<Response> {
    let (mut parts, body) = request?;
    let request = of_part(&mut parts, body, snapshot)?;
    let plan = plan(&request, &snapshot.schema, &snapshot.settings)?;
    let (plan, outcome) = perform(series, visit.session(&parts, &request, snapshot), plan).await?;
    respond(&request, &plan, outcome)
}

/// The error of one request, saying which.
fn named(error: Error, part: &Part, index: usize) -> Error {
    let message = format!("request '{}': {}", part.label(index), error.message);
    Error { message: message.into(), ..error }
}

impl Answer {
    async fn of(id: Option<String>, response: Response) -> Result<Answer> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(internal)?.to_bytes();
        let is_json = parts.headers.get(CONTENT_TYPE).is_some_and(is_json);
        let headers = parts.headers.iter().filter(|(name, _)| *name != VARY);
        let headers = headers.map(|(name, value)| (name.to_string(), text(value)));
        Ok(Answer {
            id,
            status: parts.status.as_u16(),
            headers: headers.collect(),
            body: raw(body, is_json)?,
            is_json,
        })
    }
}

fn is_json(value: &HeaderValue) -> bool {
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence == "application/json" || essence.ends_with("+json")
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// A body inside JSON: as it is, or as a string.
fn raw(body: Bytes, is_json: bool) -> Result<Option<Box<RawValue>>> {
    if body.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(body.into())
        .map_err(|_| BATCH.error("the answer is not text, which a batch cannot show"))?;
    let raw = if is_json { RawValue::from_string(text) } else { serde_json::value::to_raw_value(&text) };
    raw.map(Some).map_err(internal)
}
