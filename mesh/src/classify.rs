//! What an answer says about the endpoint that gave it, and whether another endpoint could do better.
//!
//! Only faults may eject an endpoint; faults and overload may be retried; everything else is the answer, 429 and a
//! tenant's own trouble included: another endpoint would say the same.

use base::header::Fault;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::Cause;

/// gRPC's UNAVAILABLE.
const UNAVAILABLE: &[u8] = b"14";

/// The three response classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The endpoint is broken: no connection, a reset, a timeout, or an unmarked 502, 503 or 504.
    EndpointFault,
    /// The endpoint has too much to do and said so.
    Overload,
    /// Anything else.
    Answer,
}

/// Whether a request may be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Another endpoint would say the same.
    No,
    /// If it does no harm to have it processed twice.
    IfIdempotent,
    /// Nothing of it was processed.
    Safely,
}

/// Whether a request is gRPC's: `application/grpc`, alone or with `+`, `;` and the like; not `application/grpc-web`, whose
/// callers understand neither its header nor its status.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.as_bytes().strip_prefix(b"application/grpc"));
    kind.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The class of an answer by its head.
pub fn classify(status: StatusCode, headers: &HeaderMap) -> Class {
    match (status.as_u16(), Fault::of(headers)) {
        (_, Some(Fault::Overload)) => Class::Overload,
        (_, Some(Fault::Tenant | Fault::Upstream)) => Class::Answer,
        (_, Some(Fault::Refused)) | (502..=504, None) => Class::EndpointFault,
        (200, None) if is_unavailable(headers) => Class::EndpointFault,
        _ => Class::Answer,
    }
}

/// A gRPC answer without a message that says UNAVAILABLE: what a proxy or a stopping server sends.
fn is_unavailable(headers: &HeaderMap) -> bool {
    const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
    headers.get(GRPC_STATUS).is_some_and(|status| status.as_bytes() == UNAVAILABLE)
}

/// Whether an answer may be followed by another attempt.
pub fn again(class: Class, headers: &HeaderMap) -> Again {
    match class {
        Class::Answer => Again::No,
        Class::Overload => Again::Safely,
        Class::EndpointFault if Fault::of(headers) == Some(Fault::Refused) => Again::Safely,
        Class::EndpointFault => Again::IfIdempotent,
    }
}

/// Whether a missing answer may be followed by another attempt.
pub fn again_without_answer(cause: Cause) -> Again {
    match cause {
        // of an attempt: its endpoint has no connection to spare, another one may
        Cause::Unreachable | Cause::Refused | Cause::Overloaded => Again::Safely,
        Cause::Reset | Cause::ResponseTimeout => Again::IfIdempotent,
        _ => Again::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(fault: Fault) -> HeaderMap {
        HeaderMap::from_iter([(base::header::FAULT, fault.value())])
    }

    #[test]
    fn marks_beat_the_status() {
        let unmarked = HeaderMap::new();
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;

        assert_eq!(classify(unavailable, &unmarked), Class::EndpointFault);
        assert_eq!(classify(unavailable, &marked(Fault::Overload)), Class::Overload);
        assert_eq!(classify(unavailable, &marked(Fault::Tenant)), Class::Answer);
        assert_eq!(classify(unavailable, &marked(Fault::Upstream)), Class::Answer);
        assert_eq!(classify(unavailable, &marked(Fault::Refused)), Class::EndpointFault);
        assert_eq!(classify(StatusCode::TOO_MANY_REQUESTS, &unmarked), Class::Answer);
        assert_eq!(classify(StatusCode::INTERNAL_SERVER_ERROR, &unmarked), Class::Answer);
    }

    #[test]
    fn only_what_was_not_processed_is_safe_to_send_again() {
        let again = |headers: &HeaderMap| again(classify(StatusCode::SERVICE_UNAVAILABLE, headers), headers);

        assert_eq!(again(&HeaderMap::new()), Again::IfIdempotent);
        assert_eq!(again(&marked(Fault::Refused)), Again::Safely);
        assert_eq!(again(&marked(Fault::Overload)), Again::Safely);
        assert_eq!(again(&marked(Fault::Upstream)), Again::No);
        assert_eq!(again_without_answer(Cause::Unreachable), Again::Safely);
        assert_eq!(again_without_answer(Cause::Reset), Again::IfIdempotent);
        assert_eq!(again_without_answer(Cause::Deadline), Again::No);
    }

    #[test]
    fn a_grpc_server_that_is_unavailable_is_at_fault() {
        let said = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), "14".parse().unwrap())]);
        let internal =
            HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), "13".parse().unwrap())]);

        assert_eq!(classify(StatusCode::OK, &said), Class::EndpointFault);
        assert_eq!(classify(StatusCode::OK, &internal), Class::Answer);
    }
}
