//! From what PostgreSQL says to what HTTP says: SQLSTATE → status, and the two classes a function may raise itself.

use base::{Code, Error};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CLIENT, QUERY, RAISED_JSON, unavailable};
use crate::custom_headers::settable;
use crate::execute::wire::Failure;
use crate::execute::wire::failure::Reported;

/// What PostgreSQL reported: the parts of an error that reach the client.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// The SQLSTATE.
    pub(crate) code: &'a str,
    /// The primary message.
    pub(crate) message: &'a str,
    /// The detail.
    pub(crate) detail: Option<&'a str>,
    /// The hint.
    pub(crate) hint: Option<&'a str>,
    /// Whether it happened inside a function of the project's own.
    pub(crate) in_function: bool,
}

impl<'a> From<&'a Reported> for Report<'a> {
    fn from(error: &'a Reported) -> Report<'a> {
        Report {
            code: &error.code,
            message: &error.message,
            detail: error.detail.as_deref(),
            hint: error.hint.as_deref(),
            in_function: error.context.as_ref().is_some_and(|context| context.contains("function ")),
        }
    }
}

/// The error for a failed statement. `authenticated` says that the caller is not the anonymous role.
pub(crate) fn failed(failure: Failure, authenticated: bool) -> Error {
    let answer = match &failure {
        Failure::Database(reported) => reported_error(&Report::from(reported), authenticated),
        Failure::TooManyValues => QUERY.error(failure.to_string()),
        Failure::Connection(_) | Failure::Handshake(_) => {
            unavailable(CLIENT, "Database client error. Retrying the connection.")
        }
    };
    answer.caused_by(failure)
}

/// The error for what PostgreSQL reported.
pub(crate) fn reported_error(report: &Report<'_>, authenticated: bool) -> Error {
    if report.code == "PGRST" {
        return raised(report);
    }
    let status = status(report, authenticated);
    let answer = if status == 503 {
        unavailable(Code::dynamic(status, report.code), "").with_message(report.message)
    } else {
        Code::dynamic(status, report.code).error(report.message.to_owned())
    };
    Error {
        details: report.detail.map(|detail| Value::String(detail.to_owned())),
        hint: report.hint.map(str::to_owned),
        ..answer
    }
}

/// The HTTP status for an SQLSTATE. Source: PostgREST v16 documentation, "Errors", with one difference: what
/// goes beyond PostgreSQL's limits (54…) outside any function – a value too deep, too many columns – is the caller's
/// doing.
fn status(report: &Report<'_>, authenticated: bool) -> u16 {
    let code = report.code;
    match code {
        "23503" | "23505" => 409,
        "25006" => 405,
        "21000" if report.message.ends_with("requires a WHERE clause") => 400,
        "22023" if report.message.starts_with("role") && report.message.ends_with("does not exist") => 401,
        "53400" => 500,
        "57P01" => 503,
        "P0001" => 400,
        "42883" if report.message.starts_with("function xmlagg(") => 406,
        "42883" | "42P01" => 404,
        "42P17" => 500,
        code if code.starts_with("54") && !report.in_function => 400,
        "42501" if authenticated => 403,
        "42501" => 401,
        _ => status_of_class(code),
    }
}

fn status_of_class(code: &str) -> u16 {
    match code.get(..2).unwrap_or_default() {
        "PT" => code[2..].parse().ok().filter(|status| (100..1000).contains(status)).unwrap_or(500),
        "08" | "53" => 503,
        "0L" | "0P" | "28" => 403,
        "09" | "21" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0" | "HV"
        | "P0" | "XX" => 500,
        _ => 400,
    }
}

/// `MESSAGE` of `RAISE SQLSTATE 'PGRST'`.
#[derive(Deserialize)]
struct RaisedMessage {
    code: String,
    message: String,
    details: Option<String>,
    hint: Option<String>,
}

/// `DETAIL` of `RAISE SQLSTATE 'PGRST'`.
#[derive(Deserialize)]
struct RaisedDetail {
    status: u16,
    headers: Map<String, Value>,
}

/// The response that a function wrote itself by `RAISE SQLSTATE 'PGRST'`.
fn raised(report: &Report<'_>) -> Error {
    let Ok(message) = serde_json::from_str::<RaisedMessage>(report.message) else {
        let details = format!("Invalid JSON value for MESSAGE: '{}'", report.message);
        return unreadable(
            details,
            "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', \
             'hint'.",
        );
    };
    const DETAIL_HINT: &str = "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'.";
    let Some(detail) = report.detail else {
        return unreadable("DETAIL is missing in the RAISE statement".to_owned(), DETAIL_HINT);
    };
    let Ok(answer) = serde_json::from_str::<RaisedDetail>(detail) else {
        return unreadable(format!("Invalid JSON value for DETAIL: '{detail}'"), DETAIL_HINT);
    };
    let mut error = Code::dynamic(answer.status, message.code).error(message.message);
    error.details = message.details.map(Value::String);
    error.hint = message.hint;
    for (name, value) in answer.headers {
        let value = value.as_str().map(HeaderValue::from_str);
        if let (Ok(name), Some(Ok(value))) = (name.parse::<HeaderName>(), value)
            && settable(&name)
        {
            error.headers.append(name, value);
        }
    }
    error
}

fn unreadable(details: String, hint: &str) -> Error {
    RAISED_JSON
        .error("Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error")
        .with_details(Value::String(details))
        .with_hint(hint)
}

trait WithMessage {
    fn with_message(self, message: &str) -> Self;
}

impl WithMessage for Error {
    fn with_message(mut self, message: &str) -> Error {
        self.message = message.to_owned().into();
        self
    }
}

#[cfg(test)]
mod tests;
