//! Writes an error as PostgREST does: four keys in alphabetical order, always all of them.

use base::error::{DEADLINE_EXCEEDED, INTERNAL as BASE_INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND};
use base::header::{FAULT, Fault};
use base::{Body, Error, Response};
use http::header::{CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::{FUNCTION_METHOD, INTERNAL, METHOD, PATH};

/// What a response's content depends on besides the path.
pub(crate) const VARIES_BY: HeaderValue = HeaderValue::from_static("Accept, Prefer, Range");

/// The body of every error. The field order is the wire's.
#[derive(Serialize)]
struct Envelope<'a> {
    code: &'a str,
    details: Option<&'a Value>,
    hint: Option<&'a str>,
    message: &'a str,
}

/// The JSON of an error.
pub(crate) fn json(error: &Error) -> Vec<u8> {
    let (code, message) = named(error);
    let envelope = Envelope { code, details: error.details.as_ref(), hint: error.hint.as_deref(), message };
    serde_json::to_vec(&envelope).expect("strings and JSON values serialise")
}

/// The JSON of an error that says no more than it must.
fn brief_json(error: &Error) -> Vec<u8> {
    let (code, message) = named(error);
    serde_json::to_vec(&serde_json::json!({"code": code, "message": message})).expect("strings serialise")
}

/// The response for an error; headers of the error itself are added by the layer that calls this.
pub(crate) fn write(error: &Error, _request: &HeaderMap) -> Response {
    response(error, json(error))
}

/// The same without what an error tells of the schema: details and hint.
pub(crate) fn write_brief(error: &Error, _request: &HeaderMap) -> Response {
    response(error, brief_json(error))
}

fn response(error: &Error, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(VARY, VARIES_BY);
    if let Ok(status) = HeaderValue::from_str(&format!("PostgREST; error={}", named(error).0)) {
        headers.insert("proxy-status", status);
    }
    // the time went into one project's statement: no other endpoint would have been quicker
    if error.code == DEADLINE_EXCEEDED {
        headers.insert(FAULT, Fault::Tenant.value());
    }
    if error.status() == StatusCode::UNAUTHORIZED && !error.headers.contains_key(WWW_AUTHENTICATE) {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The code and message that this API uses for errors that were not raised by it.
fn named(error: &Error) -> (&str, &str) {
    let code = error.code.name();
    if code == NOT_FOUND.name() {
        ("PGRST125", PATH_MESSAGE)
    } else if code == METHOD_NOT_ALLOWED.name() {
        ("PGRST117", "Unsupported HTTP method")
    } else if code == BASE_INTERNAL.name() {
        ("PGRSTX00", "Internal server error")
    } else {
        (code, &error.message)
    }
}

const PATH_MESSAGE: &str = "Invalid path specified in request URL";

/// No such path.
pub(crate) fn no_such_path() -> Error {
    PATH.error(PATH_MESSAGE)
}

/// The resource does not have this method.
pub(crate) fn no_such_method(method: &http::Method) -> Error {
    METHOD.error(format!("Unsupported HTTP method: {method}"))
}

/// Functions do not have this method.
pub(crate) fn no_such_function_method(method: &http::Method) -> Error {
    FUNCTION_METHOD.error(format!("Cannot use the {method} method on RPC"))
}

/// Something of ours failed; the cause is logged.
pub(crate) fn internal(cause: impl Into<base::error::Source>) -> Error {
    INTERNAL.error("Internal server error").caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_all_four_keys_in_order() {
        let error = super::super::NO_TABLE.error("Could not find it").with_hint("Look again");

        let body = String::from_utf8(json(&error)).unwrap();

        assert_eq!(
            body,
            r#"{"code":"PGRST205","details":null,"hint":"Look again","message":"Could not find it"}"#
        );
    }

    #[test]
    fn an_unauthorized_answer_names_the_scheme_and_the_code() {
        let response = write(&super::super::TOKEN.error("no"), &HeaderMap::new());

        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(response.headers()["proxy-status"], "PostgREST; error=PGRST301");
    }

    #[test]
    fn a_passed_deadline_is_the_tenants() {
        let response = write(&DEADLINE_EXCEEDED.error("too late"), &HeaderMap::new());

        assert_eq!(Fault::of(response.headers()), Some(Fault::Tenant));
    }

    #[test]
    fn errors_of_the_layers_around_get_this_apis_codes() {
        assert_eq!(named(&NOT_FOUND.error("no such route")).0, "PGRST125");
        assert_eq!(named(&BASE_INTERNAL.error("internal error")).0, "PGRSTX00");
    }
}
