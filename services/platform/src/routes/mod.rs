//! The handlers, by who may reach them, and the envelope of their errors.

pub(crate) mod admin;
pub(crate) mod internal;

use axum::Json;
use axum::response::IntoResponse;
use base::{Error, Response};
use http::HeaderMap;
use serde_json::json;

/// `{code, message, details?, hint?}` with the code's status: the suite's own envelope.
pub(crate) fn envelope(error: &Error, _: &HeaderMap) -> Response {
    let mut body = json!({"code": error.code.name(), "message": error.message});
    if let Some(details) = &error.details {
        body["details"] = details.clone();
    }
    if let Some(hint) = &error.hint {
        body["hint"] = json!(hint);
    }
    (error.status(), Json(body)).into_response()
}
