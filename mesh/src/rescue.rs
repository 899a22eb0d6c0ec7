//! What a program gets in the place of an answer that did not come: one table from cause to answer.

use base::{Body, Response, header};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::Cause;

/// The answer for `cause`, as gRPC says it if the request was gRPC.
pub(crate) fn answer(cause: Cause, is_grpc: bool) -> Response {
    let mut response = if is_grpc { grpc(cause) } else { json(cause) };
    if let Some(fault) = cause.mark() {
        response.headers_mut().insert(header::FAULT, fault.value());
    }
    response
}

/// A path that nobody can judge safely.
pub(crate) fn bad_path() -> Response {
    let message = "the path holds a dot segment, a control character or a broken escape";
    refusal(StatusCode::BAD_REQUEST, "bad_path", message)
}

/// A request of which it is not clear what host it is for.
pub(crate) fn bad_host() -> Response {
    let mut response = refusal(StatusCode::BAD_REQUEST, "bad_host", "the request does not name one host");
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// An answer of a proxy's own.
pub(crate) fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let mut response = Response::new(Body::from(format!(r#"{{"code":"{code}","message":"{message}"}}"#)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn json(cause: Cause) -> Response {
    let mut response = refusal(cause.status(), cause.name(), &cause.to_string());
    if cause.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Status in the head, no message.
///
/// Source: gRPC over HTTP/2, "Trailers-Only"; numbers of `google.rpc.Code`.
fn grpc(cause: Cause) -> Response {
    let code = match cause {
        Cause::Deadline | Cause::ResponseTimeout => 4,
        Cause::NotAllowed | Cause::Cut => 7,
        Cause::Overloaded | Cause::TenantBreaker => 8,
        Cause::RequestBody => 3,
        Cause::NoEndpoint | Cause::Unreachable | Cause::Refused | Cause::Reset => 14,
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(code));
    if let Ok(message) = HeaderValue::from_str(&cause.to_string()) {
        headers.insert(HeaderName::from_static("grpc-message"), message);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Class, classify};

    #[test]
    fn whoever_called_the_program_neither_ejects_nor_retries_for_it() {
        for cause in Cause::ALL {
            for is_grpc in [false, true] {
                let response = answer(cause, is_grpc);

                assert_eq!(classify(response.status(), response.headers()), Class::Answer, "{cause:?}");
            }
        }
    }

    #[test]
    fn a_grpc_caller_learns_of_a_deadline_in_its_own_words() {
        let response = answer(Cause::Deadline, true);

        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], "4");
    }
}
