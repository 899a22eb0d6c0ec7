//! One error for the whole suite: a stable code, a message that may be shown, a cause that is only logged.
//!
//! A handler returns it; the service's outermost layer logs it and writes the envelope of the API it speaks
//! (GoTrue's, PostgREST's, the storage API's), so that no handler knows how an error looks on the wire.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum_core::response::IntoResponse;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::{Body, Response};

/// The suite's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an [`Error`]: logged, never shown.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, as clients know it: an HTTP status and a name that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    status: u16,
    name: Cow<'static, str>,
}

/// The caller's input cannot be understood.
pub const BAD_REQUEST: Code = Code::new(400, "bad_request");
/// No credential, or one that proves nothing.
pub const UNAUTHORIZED: Code = Code::new(401, "unauthorized");
/// The credential is good, the caller may not do this.
pub const FORBIDDEN: Code = Code::new(403, "forbidden");
/// No such route or thing.
pub const NOT_FOUND: Code = Code::new(404, "not_found");
/// The route exists, not for this method.
pub const METHOD_NOT_ALLOWED: Code = Code::new(405, "method_not_allowed");
/// The body is over the route's limit.
pub const PAYLOAD_TOO_LARGE: Code = Code::new(413, "payload_too_large");
/// Something of ours failed; the cause is in the log under the request id.
pub const INTERNAL: Code = Code::new(500, "internal");
/// A dependency is away or we have too much to do; the same request may work later.
pub const UNAVAILABLE: Code = Code::new(503, "unavailable");
/// The request's deadline passed.
pub const DEADLINE_EXCEEDED: Code = Code::new(504, "deadline_exceeded");

impl Code {
    /// A code known at compile time.
    pub const fn new(status: u16, name: &'static str) -> Code {
        Code { status, name: Cow::Borrowed(name) }
    }

    /// A code that arrives at run time, such as an SQLSTATE.
    pub fn dynamic(status: u16, name: impl Into<String>) -> Code {
        Code { status, name: Cow::Owned(name.into()) }
    }

    /// The HTTP status; 500 if the number is not one.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The stable name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An error of this code. `message` is shown to the client.
    pub fn error(self, message: impl Into<Cow<'static, str>>) -> Error {
        Error {
            code: self,
            message: message.into(),
            details: None,
            hint: None,
            headers: HeaderMap::new(),
            source: None,
        }
    }
}

/// A failed request. Build it with [`Code::error`].
#[derive(Debug)]
pub struct Error {
    /// What clients match on.
    pub code: Code,
    /// What a person reads; never holds anything internal.
    pub message: Cow<'static, str>,
    /// More about this case, in the shape of the API that shows it.
    pub details: Option<Value>,
    /// What the caller could do about it.
    pub hint: Option<String>,
    /// Headers that belong to the answer, such as `Retry-After` or `WWW-Authenticate`.
    pub headers: HeaderMap,
    /// The cause. Logged only.
    pub source: Option<Source>,
}

impl Error {
    /// An internal error: the client learns nothing but that it happened.
    pub fn internal(source: impl Into<Source>) -> Error {
        INTERNAL.error("internal error").caused_by(source)
    }

    /// Attaches the cause.
    pub fn caused_by(mut self, source: impl Into<Source>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// Attaches details.
    pub fn with_details(mut self, details: impl Into<Value>) -> Error {
        self.details = Some(details.into());
        self
    }

    /// Attaches a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a header to the answer.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Error {
        self.headers.insert(name, value);
        self
    }

    /// The HTTP status of the code.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// An [`Error`] on its way out, in the response's extensions: the envelope layer takes it from there.
#[derive(Clone)]
pub struct Raised(pub Arc<Error>);

/// An empty response that carries the error for the envelope layer.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(Raised(Arc::new(self)));
        response
    }
}

/// Turns any error into an internal one with its cause kept.
pub trait OrInternal<T> {
    /// The value, or an internal error caused by the failure.
    fn or_internal(self) -> Result<T>;
}

impl<T, E: Into<Source>> OrInternal<T> for std::result::Result<T, E> {
    fn or_internal(self) -> Result<T> {
        self.map_err(Error::internal)
    }
}

/// The whole chain of causes in one line, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_in_the_chain_but_not_in_the_message() {
        let error = Error::internal(std::io::Error::other("disk on fire"));

        assert_eq!(error.message, "internal error");
        assert!(chain(&error).ends_with("disk on fire"));
    }

    #[test]
    fn a_status_that_is_none_becomes_500() {
        assert_eq!(Code::dynamic(7, "PT007").status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
