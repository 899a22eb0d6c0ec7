//! The codes clients match on, and the two shapes an error has on the wire.
//!
//! A code that has several statuses is several constants. Source: the error codes of the GoTrue API.

use base::error::UNAVAILABLE;
use base::header::{FAULT, Fault, REQUEST_ID};
use base::{Code, Error, Response, Result};
use common::service::Envelope;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

pub(crate) const ANONYMOUS_PROVIDER_DISABLED: Code = Code::new(422, "anonymous_provider_disabled");
pub(crate) const BAD_JSON: Code = Code::new(400, "bad_json");
pub(crate) const BAD_JWT: Code = Code::new(403, "bad_jwt");
pub(crate) const BAD_SUBJECT: Code = Code::new(400, "bad_jwt");
pub(crate) const CONFLICT: Code = Code::new(409, "conflict");
pub(crate) const EMAIL_EXISTS: Code = Code::new(422, "email_exists");
pub(crate) const EMAIL_NOT_CONFIRMED: Code = Code::new(400, "email_not_confirmed");
pub(crate) const EMAIL_PROVIDER_DISABLED: Code = Code::new(400, "email_provider_disabled");
pub(crate) const EMAIL_LOGIN_DISABLED: Code = Code::new(422, "email_provider_disabled");
pub(crate) const INSUFFICIENT_AAL: Code = Code::new(401, "insufficient_aal");
pub(crate) const INVALID_CREDENTIALS: Code = Code::new(400, "invalid_credentials");
pub(crate) const NO_AUTHORIZATION: Code = Code::new(401, "no_authorization");
pub(crate) const NOT_ADMIN: Code = Code::new(403, "not_admin");
pub(crate) const OTP_EXPIRED: Code = Code::new(403, "otp_expired");
pub(crate) const OVER_EMAIL_SEND_RATE_LIMIT: Code = Code::new(429, "over_email_send_rate_limit");
pub(crate) const OVER_REQUEST_RATE_LIMIT: Code = Code::new(429, "over_request_rate_limit");
pub(crate) const PHONE_EXISTS: Code = Code::new(422, "phone_exists");
pub(crate) const PHONE_NOT_CONFIRMED: Code = Code::new(400, "phone_not_confirmed");
pub(crate) const PHONE_PROVIDER_DISABLED: Code = Code::new(400, "phone_provider_disabled");
pub(crate) const PHONE_LOGIN_DISABLED: Code = Code::new(422, "phone_provider_disabled");
pub(crate) const REFRESH_TOKEN_ALREADY_USED: Code = Code::new(400, "refresh_token_already_used");
pub(crate) const REFRESH_TOKEN_NOT_FOUND: Code = Code::new(400, "refresh_token_not_found");
pub(crate) const REQUEST_ENTITY_TOO_LARGE: Code = Code::new(413, "request_entity_too_large");
pub(crate) const SAME_PASSWORD: Code = Code::new(422, "same_password");
pub(crate) const SESSION_EXPIRED: Code = Code::new(400, "session_expired");
pub(crate) const SESSION_NOT_FOUND: Code = Code::new(403, "session_not_found");
pub(crate) const SIGNUP_DISABLED: Code = Code::new(422, "signup_disabled");
pub(crate) const SMS_SEND_FAILED: Code = Code::new(422, "sms_send_failed");
const UNEXPECTED_FAILURE: Code = Code::new(500, "unexpected_failure");
pub(crate) const USER_ALREADY_EXISTS: Code = Code::new(422, "user_already_exists");
pub(crate) const USER_BANNED: Code = Code::new(403, "user_banned");
pub(crate) const USER_BANNED_AT_LOGIN: Code = Code::new(400, "user_banned");
pub(crate) const USER_NOT_FOUND: Code = Code::new(404, "user_not_found");
pub(crate) const USER_OF_TOKEN_NOT_FOUND: Code = Code::new(403, "user_not_found");
pub(crate) const USER_SSO_MANAGED: Code = Code::new(422, "user_sso_managed");
pub(crate) const VALIDATION_FAILED: Code = Code::new(400, "validation_failed");
pub(crate) const NOT_ALLOWED_NOW: Code = Code::new(422, "validation_failed");
pub(crate) const UNKNOWN_USER_ID: Code = Code::new(404, "validation_failed");
pub(crate) const WEAK_PASSWORD: Code = Code::new(422, "weak_password");

const API_VERSION: HeaderName = HeaderName::from_static("x-supabase-api-version");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-sb-error-code");
/// From this version on an error's code is its name; before, it was the status.
const NAMED_CODES_SINCE: &str = "2024-01-01";

/// How this API writes errors.
pub(crate) const ENVELOPE: Envelope = Envelope { write };

fn write(error: &Error, request: &HeaderMap) -> Response {
    let name = code_name(error);
    let named_codes = wants_named_codes(request);
    let mut body = if named_codes {
        json!({"code": name, "message": error.message})
    } else {
        json!({"code": error.status().as_u16(), "error_code": name, "msg": error.message})
    };
    if error.code == WEAK_PASSWORD
        && let Some(details) = &error.details
    {
        body["weak_password"] = details.clone();
    }
    if !named_codes
        && error.status().is_server_error()
        && let Some(id) = request.get(REQUEST_ID).and_then(|id| id.to_str().ok())
    {
        body["error_id"] = Value::from(id);
    }
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(name) = HeaderValue::from_str(name) {
        headers.insert(ERROR_CODE, name);
    }
    if named_codes {
        headers.insert(API_VERSION, HeaderValue::from_static(NAMED_CODES_SINCE));
    }
    response
}

/// The name this API has for a code of the suite.
fn code_name(error: &Error) -> &str {
    match error.code.name() {
        "internal" => "unexpected_failure",
        "deadline_exceeded" => "request_timeout",
        "bad_request" => "validation_failed",
        other => other,
    }
}

/// Versions are dates, so they compare as text; what is no date counts as the oldest.
fn wants_named_codes(request: &HeaderMap) -> bool {
    let version = request.get(API_VERSION).and_then(|version| version.to_str().ok()).unwrap_or_default();
    let is_date = version.len() == 10
        && version
            .bytes()
            .enumerate()
            .all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
    is_date && version >= NAMED_CODES_SINCE
}

/// "Try again in this many seconds": 503, because clients drop a session on any 4xx.
///
/// Marked so that the mesh neither ejects this endpoint nor takes the answer for its failure.
pub(crate) fn retry_later(fault: Fault, seconds: u64) -> Error {
    UNAVAILABLE
        .error("too busy, try again later")
        .with_header(FAULT, fault.value())
        .with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
}

/// What the database said, as this API's error.
pub(crate) trait OrDatabase<T> {
    /// The value; `validation_failed` for text that PostgreSQL cannot hold, unavailable while it cannot be reached
    /// or will not take more, otherwise an internal error.
    fn or_database(self) -> Result<T>;
    /// The same for a statement that fires the project's own triggers: `message` says whose failure it may be.
    fn or_trigger(self, message: &'static str) -> Result<T>;
}

impl<T> OrDatabase<T> for sqlx::Result<T> {
    fn or_database(self) -> Result<T> {
        self.map_err(|error| from_database(error, "internal error"))
    }

    fn or_trigger(self, message: &'static str) -> Result<T> {
        self.map_err(|error| from_database(error, message))
    }
}

/// The error for a failed statement; `message` if it is neither the caller's nor a passing one.
pub(crate) fn from_database(error: sqlx::Error, message: &'static str) -> Error {
    match class(&error) {
        Class::Text => VALIDATION_FAILED.error("a value is not text that can be stored"),
        Class::Away => retry_later(Fault::Tenant, 1),
        Class::Other => UNEXPECTED_FAILURE.error(message),
    }
    .caused_by(error)
}

enum Class {
    Text,
    Away,
    Other,
}

fn class(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Class::Away,
        sqlx::Error::Database(database) => match database.code().as_deref() {
            // too long for its column, invalid byte sequence, untranslatable character, NUL in jsonb
            Some("22001" | "22021" | "22P05") => Class::Text,
            // connection exceptions, insufficient resources, operator intervention, serialization, deadlock
            Some(code)
                if ["08", "53", "57"].iter().any(|class| code.starts_with(class))
                    || matches!(code, "40001" | "40P01") =>
            {
                Class::Away
            }
            _ => Class::Other,
        },
        _ => Class::Other,
    }
}

/// The details of a weak password: which rules it breaks.
pub(crate) fn reasons(reasons: &[&str]) -> Value {
    Value::Object(Map::from_iter([("reasons".to_owned(), json!(reasons))]))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn body(error: &Error, request: &HeaderMap) -> (HeaderMap, Value) {
        let response = write(error, request);
        let headers = response.headers().clone();
        let bytes = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(response.into_body().collect())
            .unwrap()
            .to_bytes();
        (headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn without_a_version_the_code_is_the_status() {
        let (headers, body) = body(&INVALID_CREDENTIALS.error("no"), &HeaderMap::new());

        assert_eq!(body, json!({"code": 400, "error_code": "invalid_credentials", "msg": "no"}));
        assert_eq!(headers["x-sb-error-code"], "invalid_credentials");
        assert!(!headers.contains_key("x-supabase-api-version"));
    }

    #[test]
    fn from_2024_on_the_code_is_the_name() {
        let mut request = HeaderMap::new();
        request.insert("x-supabase-api-version", HeaderValue::from_static("2024-01-01"));

        let error = WEAK_PASSWORD.error("short").with_details(reasons(&["length"]));
        let (headers, body) = body(&error, &request);

        assert_eq!(
            body,
            json!({"code": "weak_password", "message": "short", "weak_password": {"reasons": ["length"]}})
        );
        assert_eq!(headers["x-supabase-api-version"], "2024-01-01");
    }

    #[test]
    fn a_version_that_is_no_date_counts_as_the_oldest() {
        for (version, named) in
            [("2023-12-31", false), ("2030-01-01", true), ("zzzz-zz-zz", false), ("9", false)]
        {
            let mut request = HeaderMap::new();
            request.insert("x-supabase-api-version", HeaderValue::from_static(version));
            assert_eq!(wants_named_codes(&request), named, "{version}");
        }
    }

    #[test]
    fn internal_causes_stay_inside() {
        let mut request = HeaderMap::new();
        request.insert("x-request-id", HeaderValue::from_static("r1"));

        let (_, body) = body(&Error::internal(std::io::Error::other("secret")), &request);

        assert_eq!(body["error_code"], "unexpected_failure");
        assert_eq!(body["error_id"], "r1");
        assert!(!body.to_string().contains("secret"));
    }
}
