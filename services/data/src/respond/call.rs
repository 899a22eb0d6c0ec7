//! The answer to a call: what the function returned.

use base::Result;
use http::StatusCode;

use super::{Answer, read};
use crate::execute::Outcome;
use crate::plan::Plan;
use crate::request::{ApiRequest, Preferences};
use crate::schema::Function;

/// The answer.
pub(super) fn answer(
    request: &ApiRequest,
    plan: &Plan,
    function: &Function,
    outcome: Outcome,
) -> Result<Answer> {
    let mut answer = read::part(request.range, &outcome)?;
    if function.returns_void() {
        answer.status = StatusCode::NO_CONTENT;
    } else if answer.status == StatusCode::RANGE_NOT_SATISFIABLE {
        answer.with_body(read::out_of_bounds(request.range, outcome.total), &plan.format, request)?;
    } else {
        answer.with_body(outcome.body, &plan.format, request)?;
    }
    answer.with_preferences(&Preferences {
        resolution: None,
        returns: None,
        missing: None,
        ..request.preferences.clone()
    })?;
    Ok(answer)
}
