//! The answer to a write: how many rows, perhaps which, perhaps where.

use base::Result;
use http::StatusCode;
use serde_json::{Map, Value};

use super::{Answer, CONTENT_RANGE, read};
use crate::error::envelope::internal;
use crate::execute::Outcome;
use crate::plan::{Plan, WritePlan};
use crate::request::query::encode;
use crate::request::range::content_range;
use crate::request::{Action, ApiRequest, Preferences};

/// The answer.
pub(super) fn answer(
    request: &ApiRequest,
    plan: &Plan,
    write: &WritePlan,
    outcome: Outcome,
) -> Result<Answer> {
    let total = request.preferences.counts().then_some(outcome.page);
    let representation = request.preferences.wants_representation();
    let mut answer = Answer::new(status(request, write, &outcome, representation));
    match request.target.action {
        Action::Create => {
            if let Some(location) = location(&write.table.name, outcome.location.as_deref())? {
                answer.header("location", location)?;
            }
            answer.header(CONTENT_RANGE, content_range(1, 0, total))?;
        }
        Action::Update => answer.header(CONTENT_RANGE, content_range(0, outcome.page - 1, total))?,
        Action::Delete => answer.header(CONTENT_RANGE, content_range(1, 0, total))?,
        _ => {}
    }
    if representation {
        answer.with_body(outcome.body, &plan.format, request)?;
    }
    answer.with_preferences(&applied(request, write))?;
    Ok(answer)
}

fn status(request: &ApiRequest, write: &WritePlan, outcome: &Outcome, representation: bool) -> StatusCode {
    let inserted_none = write.counts_inserted() && outcome.inserted.unwrap_or(0) <= 0;
    match request.target.action {
        Action::Create if inserted_none => StatusCode::OK,
        Action::Create => StatusCode::CREATED,
        Action::Upsert if representation && !inserted_none => StatusCode::CREATED,
        _ if representation => StatusCode::OK,
        _ => StatusCode::NO_CONTENT,
    }
}

/// Where the one inserted row is: `/relation?key=eq.value`.
fn location(relation: &str, key: Option<&str>) -> Result<Option<String>> {
    let Some(key) = key else { return Ok(None) };
    let key: Map<String, Value> = serde_json::from_str(key).map_err(internal)?;
    let filters: Vec<String> = key
        .into_iter()
        .map(|(column, value)| match value.as_str() {
            Some(value) => format!("{}={}", encode(&column), encode(&format!("eq.{value}"))),
            None => format!("{}=is.null", encode(&column)),
        })
        .collect();
    Ok(Some(format!("{}?{}", read::path(relation), filters.join("&"))))
}

/// The preferences that a write of this kind knows.
fn applied(request: &ApiRequest, write: &WritePlan) -> Preferences {
    let preferences = request.preferences.clone();
    let action = request.target.action;
    let resolvable = action == Action::Create && (write.has_key() || request.query.on_conflict.is_some());
    let missing = matches!(action, Action::Create | Action::Update);
    let affects = matches!(action, Action::Update | Action::Delete);
    Preferences {
        resolution: preferences.resolution.filter(|_| resolvable),
        missing: preferences.missing.filter(|_| missing),
        max_affected: preferences.max_affected.filter(|_| affects),
        ..preferences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_the_filter_of_the_primary_key() {
        let at = |key| location("a b", Some(key)).unwrap().unwrap();

        assert_eq!(at(r#"{"id":"5"}"#), "/a%20b?id=eq.5");
        assert_eq!(at(r#"{"a":"x y&z","b":null}"#), "/a%20b?a=eq.x%20y%26z&b=is.null");
        assert_eq!(location("t", None).unwrap(), None);
    }
}
