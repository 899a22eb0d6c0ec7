//! The answer to a read: the rows, which part of all they are, and where they can be had again.

use base::Result;
use bytes::Bytes;
use http::StatusCode;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Answer, CONTENT_RANGE, page};
use crate::error::{self, envelope};
use crate::execute::Outcome;
use crate::plan::Plan;
use crate::request::range::{Range, content_range, status};
use crate::request::{ApiRequest, Preferences};
use crate::schema::Name;

/// What a path segment must not hold as it is.
const SEGMENT: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?');

/// Longest query in `Content-Location`, in bytes: what clients and proxies take for a header.
const MAX_LOCATION: usize = 4096;

/// The answer.
pub(super) fn answer(request: &ApiRequest, plan: &Plan, name: &Name, outcome: Outcome) -> Result<Answer> {
    let mut answer = part(request.range, &outcome)?;
    if let (Some(cursor), Some(page)) = (&request.query.cursor, &plan.read.page) {
        page::link(&mut answer, cursor, page, outcome.location.as_deref())?;
        if page.is_somewhere() {
            answer.header(CONTENT_RANGE, content_range(1, 0, outcome.total))?;
        }
    }
    let canonical = &request.query.canonical;
    let query = if canonical.is_empty() { String::new() } else { format!("?{canonical}") };
    // a query that no address could hold is no address
    if query.len() <= MAX_LOCATION {
        answer.header("content-location", format!("{}{query}", path(&name.name)))?;
    }
    let body = if answer.status == StatusCode::RANGE_NOT_SATISFIABLE {
        out_of_bounds(request.range, outcome.total)
    } else {
        outcome.body
    };
    answer.with_body(body, &plan.format, request)?;
    answer.with_preferences(&Preferences {
        resolution: None,
        returns: None,
        missing: None,
        max_affected: None,
        ..request.preferences.clone()
    })?;
    Ok(answer)
}

/// The path of a relation.
pub(super) fn path(relation: &str) -> String {
    format!("/{}", utf8_percent_encode(relation, SEGMENT))
}

/// Status and `Content-Range` of a part of all rows.
pub(super) fn part(range: Range, outcome: &Outcome) -> Result<Answer> {
    let lower = range.offset();
    let mut answer = Answer::new(status(range, outcome.page, outcome.total));
    let upper = lower.saturating_add(outcome.page).saturating_sub(1);
    answer.header(CONTENT_RANGE, content_range(lower, upper, outcome.total))?;
    Ok(answer)
}

/// The body of an answer whose range lies past the end.
pub(super) fn out_of_bounds(range: Range, total: Option<i64>) -> Bytes {
    let error = error::range(format!(
        "An offset of {} was requested, but there are only {} rows.",
        range.offset(),
        total.unwrap_or(0)
    ));
    Bytes::from(envelope::json(&error))
}
