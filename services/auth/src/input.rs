//! Bodies and queries, parsed at the door: bounded, and free of what PostgreSQL cannot hold.

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams};
use base::{Error, Request, Result};
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::error::{BAD_JSON, REQUEST_ENTITY_TOO_LARGE, UNKNOWN_USER_ID, VALIDATION_FAILED};

/// Largest body, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A JSON body of any content type, at most 1 MiB; an empty one reads as `{}` where the type allows it.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Json<T>> {
        let body = to_bytes(request.into_body(), MAX_BODY_BYTES)
            .await
            .map_err(|error| REQUEST_ENTITY_TOO_LARGE.error("Request body is too large").caused_by(error))?;
        let text = if body.is_empty() { b"{}" } else { body.as_ref() };
        parse(text).map(Json)
    }
}

/// serde_json's own limit on depth (128) is what stops a tower of brackets.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    let value: Value = serde_json::from_slice(text).map_err(not_json)?;
    if has_nul(&value) {
        return Err(VALIDATION_FAILED.error("text must not contain the character U+0000"));
    }
    T::deserialize(value).map_err(not_json)
}

fn not_json(error: serde_json::Error) -> Error {
    BAD_JSON.error(format!("Could not parse request body as JSON: {error}"))
}

/// PostgreSQL stores every character but this one.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(VALIDATION_FAILED.error("text must not contain the character U+0000"));
        }
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Query(query))
            .map_err(|error| VALIDATION_FAILED.error(error.body_text()))
    }
}

/// The user that `{id}` of the path names.
pub(crate) struct UserId(pub(crate) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for UserId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<UserId> {
        let invalid = || UNKNOWN_USER_ID.error("user_id must be an UUID");
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| invalid())?;
        let id = params.iter().find(|(name, _)| *name == "id").map(|(_, id)| id);
        id.and_then(|id| Uuid::parse_str(id).ok()).map(UserId).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Body {
        email: Option<String>,
    }

    fn code(text: &str) -> String {
        parse::<Body>(text.as_bytes()).err().map_or("ok".to_owned(), |error| error.code.name().to_owned())
    }

    #[test]
    fn unknown_fields_are_ignored_and_null_is_absent() {
        let body: Body = parse(br#"{"email": null, "other": [1]}"#).unwrap();

        assert_eq!(body.email, None);
    }

    #[test]
    fn what_is_not_the_json_meant_is_bad_json() {
        for text in ["", "{", "[]", "1", r#"{"email": 1}"#, r#"{"email": "\ud800"}"#, r#"{"n": 1e999}"#] {
            assert_eq!(code(text), "bad_json", "{text}");
        }
        assert_eq!(code(&"[".repeat(100_000)), "bad_json");
    }

    #[test]
    fn nul_is_refused_anywhere() {
        assert_eq!(code(r#"{"email": "a\u0000"}"#), "validation_failed");
        assert_eq!(code(r#"{"data": {"a": [{"\u0000": 1}]}}"#), "validation_failed");
        assert_eq!(code(r#"{"email": "a\\u0000"}"#), "ok");
    }
}
