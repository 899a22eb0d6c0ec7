//! The storage API's errors: stable codes, the words that older clients match on, and the envelope around both.
//!
//! An error is answered with HTTP 400 and its true status as text inside, because clients depend on it; the few
//! codes that keep their status on the wire are in [`keeps_its_status`].

use axum::Json;
use axum::response::IntoResponse;
use base::error::Source;
use base::header::{FAULT, Fault};
use base::{Code, Error, Response, Result};
use common::service::Envelope;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use sqlx::postgres::PgDatabaseError;
use utoipa::ToSchema;

pub(crate) const NO_SUCH_BUCKET: Code = Code::new(404, "NoSuchBucket");
pub(crate) const NO_SUCH_KEY: Code = Code::new(404, "NoSuchKey");
pub(crate) const INVALID_JWT: Code = Code::new(400, "InvalidJWT");
pub(crate) const INVALID_REQUEST: Code = Code::new(400, "InvalidRequest");
pub(crate) const INVALID_PARAMETER: Code = Code::new(400, "InvalidParameter");
pub(crate) const INVALID_KEY: Code = Code::new(400, "InvalidKey");
pub(crate) const INVALID_BUCKET_NAME: Code = Code::new(400, "InvalidBucketName");
pub(crate) const INVALID_MIME_TYPE: Code = Code::new(415, "InvalidMimeType");
pub(crate) const INVALID_RANGE: Code = Code::new(416, "InvalidRange");
pub(crate) const INVALID_SIGNATURE: Code = Code::new(400, "InvalidSignature");
pub(crate) const ENTITY_TOO_LARGE: Code = Code::new(413, "EntityTooLarge");
pub(crate) const ACCESS_DENIED: Code = Code::new(403, "AccessDenied");
pub(crate) const KEY_ALREADY_EXISTS: Code = Code::new(409, "KeyAlreadyExists");
pub(crate) const BUCKET_ALREADY_EXISTS: Code = Code::new(409, "BucketAlreadyExists");
pub(crate) const RESOURCE_NOT_EMPTY: Code = Code::new(409, "ResourceNotEmpty");
pub(crate) const FEATURE_NOT_ENABLED: Code = Code::new(409, "FeatureNotEnabled");
/// The disk is full.
pub(crate) const INSUFFICIENT_STORAGE: Code = Code::new(507, "InternalError");
const RESOURCE_ALREADY_EXISTS: Code = Code::new(409, "ResourceAlreadyExists");
const RESOURCE_REFERENCED: Code = Code::new(409, "ResourceReferenced");
const RELATED_RESOURCE_NOT_FOUND: Code = Code::new(404, "InvalidRequest");
const RESOURCE_LOCKED: Code = Code::new(423, "ResourceLocked");
const DATABASE_TIMEOUT: Code = Code::new(544, "DatabaseTimeout");
const DATABASE_AWAY: Code = Code::new(503, "DatabaseTimeout");
const DATABASE_READ_ONLY: Code = Code::new(503, "DatabaseReadOnly");
const DATABASE_SCHEMA_MISMATCH: Code = Code::new(503, "DatabaseSchemaMismatch");
const DATABASE_REFUSED: Code = Code::new(400, "DatabaseError");
const DATABASE_ERROR: Code = Code::new(500, "DatabaseError");
const SLOW_DOWN: Code = Code::new(429, "SlowDown");

/// No bucket of this name, or none that the caller may know of.
pub(crate) fn no_such_bucket() -> Error {
    NO_SUCH_BUCKET.error("Bucket not found")
}

/// No object of this name, or none that the caller may know of.
pub(crate) fn no_such_key() -> Error {
    NO_SUCH_KEY.error("Object not found")
}

/// The object is over a limit.
pub(crate) fn too_large() -> Error {
    ENTITY_TOO_LARGE.error("The object exceeded the maximum allowed size")
}

/// A body, query or header that is not in the shape of its route.
pub(crate) fn malformed(message: impl Into<String>) -> Error {
    INVALID_REQUEST.error(message.into()).with_details(json!({ "error": "Error" }))
}

/// The route is for other roles: the one refusal that is a 403 on the wire.
pub(crate) fn wrong_role() -> Error {
    ACCESS_DENIED.error("Access denied: Invalid role").with_details(json!({ "keepsStatus": true }))
}

/// Too much to do here; another endpoint, or a later moment, may do.
pub(crate) fn slow_down(message: &'static str) -> Error {
    SLOW_DOWN
        .error(message)
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        .with_header(FAULT, Fault::Overload.value())
}

/// What a failed request answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorBody {
    /// The true status.
    status_code: String,
    /// A word that older clients match on.
    error: String,
    /// What a person reads.
    message: String,
    /// The stable code.
    code: String,
}

/// How this API writes errors.
pub(crate) const ENVELOPE: Envelope = Envelope { write };

fn write(error: &Error, _: &HeaderMap) -> Response {
    let (code, message) = own(error);
    let told = error.details.as_ref().and_then(|details| details["error"].as_str());
    let body = ErrorBody {
        status_code: code.status().as_u16().to_string(),
        error: told.unwrap_or_else(|| legacy_word(&code)).to_owned(),
        message,
        code: code.name().to_owned(),
    };
    let status = if keeps_its_status(&code, error) { code.status() } else { StatusCode::BAD_REQUEST };
    (status, Json(body)).into_response()
}

/// The code and message in this API's terms; the suite's common codes have their counterparts here.
fn own(error: &Error) -> (Code, String) {
    let status = error.status().as_u16();
    let (status, name) = match error.code.name() {
        "not_found" | "method_not_allowed" => (404, "InvalidRequest"),
        "bad_request" => (400, "InvalidRequest"),
        "project_not_found" => (400, "TenantNotFound"),
        "payload_too_large" => (413, "EntityTooLarge"),
        "unavailable" => (503, "DatabaseTimeout"),
        "deadline_exceeded" => (504, "DatabaseTimeout"),
        "internal" => return (Code::new(500, "InternalError"), "Internal Server Error".to_owned()),
        name => return (Code::dynamic(status, name), error.message.to_string()),
    };
    (Code::new(status, name), error.message.to_string())
}

fn legacy_word(code: &Code) -> &str {
    match code.name() {
        "NoSuchBucket" => "Bucket not found",
        "NoSuchKey" => "not_found",
        "KeyAlreadyExists" | "BucketAlreadyExists" | "ResourceAlreadyExists" => "Duplicate",
        "AccessDenied" => "Unauthorized",
        "InvalidMimeType" => "invalid_mime_type",
        "InvalidBucketName" => "Invalid Input",
        "InvalidRange" => "invalid_range",
        "EntityTooLarge" => "Payload too large",
        "SlowDown" => "too_many_connections",
        "InternalError" => "Internal",
        "InvalidRequest" if code.status() == StatusCode::NOT_FOUND => "Not Found",
        name => name,
    }
}

/// Unknown routes, ranges, overload and whatever is not the caller's fault show their status to proxies and clients.
fn keeps_its_status(code: &Code, error: &Error) -> bool {
    let unknown_route = matches!(error.code.name(), "not_found" | "method_not_allowed");
    let told = error.details.as_ref().is_some_and(|details| details["keepsStatus"] == true);
    let ours = matches!(code.status().as_u16(), 416 | 429 | 500 | 504 | 507 | 544)
        || code.name() == DATABASE_AWAY.name();
    unknown_route || told || ours
}

/// Turns what the database said into this API's errors.
pub(crate) trait OrDatabase<T> {
    /// The value, or the error that the statement's failure means.
    fn or_database(self) -> Result<T>;
}

impl<T> OrDatabase<T> for std::result::Result<T, sqlx::Error> {
    fn or_database(self) -> Result<T> {
        self.map_err(database)
    }
}

/// An error of the shared layers keeps its cause: if that is the database's word, it is translated all the same.
impl<T> OrDatabase<T> for Result<T> {
    fn or_database(self) -> Result<T> {
        self.map_err(|mut error| {
            match error.source.take().map(|cause: Source| cause.downcast::<sqlx::Error>()) {
                Some(Ok(cause)) if error.code == base::error::INTERNAL => database(*cause),
                Some(Ok(cause)) => error.caused_by(cause),
                Some(Err(cause)) => error.caused_by(cause),
                None => error,
            }
        })
    }
}

fn database(error: sqlx::Error) -> Error {
    let translated = match error.as_database_error().map(|cause| cause.downcast_ref::<PgDatabaseError>()) {
        Some(cause) => statement(cause),
        // the connection broke or none was to be had
        None if matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => {
            away()
        }
        None => return Error::internal(error),
    };
    translated.caused_by(error)
}

/// A refused statement, by its SQLSTATE.
fn statement(cause: &PgDatabaseError) -> Error {
    match cause.code() {
        "42501" if cause.message().contains("row-level security") => {
            ACCESS_DENIED.error("new row violates row-level security policy")
        }
        "42501" => ACCESS_DENIED.error(cause.message().to_owned()),
        "23505" => RESOURCE_ALREADY_EXISTS.error("The resource already exists"),
        "23503" if cause.detail().is_some_and(|detail| detail.contains("still referenced")) => {
            RESOURCE_REFERENCED.error("The resource is referenced by another one")
        }
        "23503" => RELATED_RESOURCE_NOT_FOUND.error("The related resource does not exist"),
        "55P03" | "40001" | "40P01" => RESOURCE_LOCKED.error("The resource is locked"),
        "57014" => DATABASE_TIMEOUT.error("The statement took longer than it may"),
        "25006" => DATABASE_READ_ONLY.error("The database is in read-only mode. Please try again later."),
        "42703" | "42P01" | "42883" => DATABASE_SCHEMA_MISMATCH
            .error("The database schema does not fit; a trigger or policy may be wrong"),
        "53100" => INSUFFICIENT_STORAGE.error("The database has no room left"),
        "53300" => slow_down("Too many connections issued to the database"),
        "57P01" | "57P02" | "57P03" => away(),
        // what the project's own triggers and policies raise is meant for the caller
        "P0001" => DATABASE_REFUSED.error(cause.message().to_owned()),
        code if code.starts_with("22") || code.starts_with("23") => {
            INVALID_PARAMETER.error(cause.message().to_owned())
        }
        code if code.starts_with("08") => away(),
        code => DATABASE_ERROR.error(format!("database error, code: {code}")),
    }
}

fn away() -> Error {
    DATABASE_AWAY
        .error("The project's database is not available")
        .with_header(FAULT, Fault::Tenant.value())
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn written(error: Error) -> (u16, serde_json::Value) {
        let response = write(&error, &HeaderMap::new());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_true_status_is_inside_a_400() {
        let (status, body) = written(no_such_bucket()).await;

        assert_eq!(status, 400);
        let expected = json!({
            "statusCode": "404", "error": "Bucket not found", "message": "Bucket not found", "code": "NoSuchBucket"
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn some_answers_keep_their_status() {
        assert_eq!(written(wrong_role()).await.0, 403);
        assert_eq!(written(INVALID_RANGE.error("invalid range provided")).await.0, 416);
        assert_eq!(written(base::error::NOT_FOUND.error("no such route")).await.0, 404);
        assert_eq!(written(slow_down("later")).await.0, 429);
        assert_eq!(written(base::error::UNAVAILABLE.error("away")).await.0, 503);
        assert_eq!(written(ACCESS_DENIED.error("Access denied")).await.0, 400);
    }

    #[tokio::test]
    async fn a_malformed_body_and_an_internal_error_say_what_clients_expect() {
        let (status, body) = written(malformed("headers must have required property 'authorization'")).await;
        assert_eq!((status, &body["error"], &body["statusCode"]), (400, &json!("Error"), &json!("400")));

        let (status, body) = written(Error::internal("the disk is on fire")).await;
        assert_eq!((status, &body["code"]), (500, &json!("InternalError")));
        assert_eq!(body["message"], "Internal Server Error");
    }
}
