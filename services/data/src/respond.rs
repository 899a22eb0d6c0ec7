//! Respond: from a result to an HTTP answer.

pub(crate) mod call;
pub(crate) mod describe;
pub(crate) mod overrides;
mod page;
pub(crate) mod read;
pub(crate) mod write;

use std::convert::Infallible;

use base::{Body, Response, Result};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, VARY, WARNING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::error::envelope::{VARIES_BY, internal};
use crate::execute::Outcome;
use crate::plan::{Format, Operation, Plan};
use crate::request::{ApiRequest, Preferences};

const CONTENT_RANGE: &str = "content-range";

/// An answer in the making.
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    is_head: bool,
}

/// A body of unknown length: the answer to HEAD must not claim that there is nothing to GET.
pub(crate) fn headless() -> Body {
    Body::from_stream(futures_util::stream::empty::<std::result::Result<Bytes, Infallible>>())
}

/// The answer to a request.
///
/// Errors: PGRST111 and PGRST112 for what a function set in place of status and headers.
pub(crate) fn respond(request: &ApiRequest, plan: &Plan, outcome: Outcome) -> Result<Response> {
    let set_status = overrides::status(outcome.status.as_deref())?;
    let set_headers = overrides::headers(outcome.headers.as_deref())?;
    let mut answer = match &plan.operation {
        _ if plan.format.media_type.explain().is_some() => of_plan(request, plan, outcome)?,
        Operation::Read(name) => read::answer(request, plan, name, outcome)?,
        Operation::Write(write) => write::answer(request, plan, write, outcome)?,
        Operation::Call(call) => call::answer(request, plan, &call.function, outcome)?,
    };
    answer.is_head = request.target.action.is_head();
    answer.status = set_status.unwrap_or(answer.status);
    for (name, alias) in request.query.passed_aliases() {
        answer.warn(name, alias);
    }
    overrides::apply(&mut answer.headers, set_headers);
    Ok(answer.into_response())
}

/// How the database would go about it, instead of the answer.
fn of_plan(request: &ApiRequest, plan: &Plan, outcome: Outcome) -> Result<Answer> {
    let mut answer = Answer::new(StatusCode::OK);
    answer.with_body(outcome.body, &plan.format, request)?;
    Ok(answer)
}

impl Answer {
    fn new(status: StatusCode) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Bytes::new(), is_head: false }
    }

    /// Sets a header. Errors: a value that is none, such as a line break in a name.
    fn header(
        &mut self,
        name: &'static str,
        value: impl TryInto<HeaderValue, Error = http::header::InvalidHeaderValue>,
    ) -> Result<()> {
        let value = value.try_into().map_err(internal)?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(())
    }

    /// Warns of a name that will mean nothing one day (RFC 7234 §5.5: 299 is a lasting warning).
    fn warn(&mut self, name: &str, alias: &str) {
        let warning = format!(
            "299 meshbase \"Embedded resource was referenced by relation name even though it has an alias. This is \
             deprecated and will stop working in a future release. Update `{name}` to `{alias}` in query string filters, \
             orders or limits.\""
        );
        // a name that no header may hold goes without
        if let Ok(warning) = HeaderValue::from_bytes(warning.as_bytes()) {
            self.headers.append(WARNING, warning);
        }
    }

    /// Sets the body, its type, and which schema it is of.
    fn with_body(&mut self, body: Bytes, format: &Format, request: &ApiRequest) -> Result<()> {
        self.body = body;
        self.header("content-type", format.media_type.content_type())?;
        if request.names_schema {
            // a schema's name may hold what no header may; then the answer does not name it
            if let Ok(schema) = HeaderValue::from_bytes(request.schema.as_bytes()) {
                self.headers.insert("content-profile", schema);
            }
        }
        Ok(())
    }

    /// Says which preferences were applied.
    fn with_preferences(&mut self, applied: &Preferences) -> Result<()> {
        match applied.applied() {
            Some(applied) => self.header("preference-applied", applied),
            None => Ok(()),
        }
    }

    fn into_response(self) -> Response {
        let mut response = Response::new(if self.is_head { headless() } else { Body::from(self.body) });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        if !headers.contains_key(VARY) {
            headers.insert(VARY, VARIES_BY);
        }
        // no body, no type: what a client would take for an empty document of it
        if self.status == StatusCode::NO_CONTENT {
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_LENGTH);
        }
        response
    }
}
