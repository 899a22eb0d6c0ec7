//! What an answer says about the endpoint that gave it.
//!
//! Only faults may eject an endpoint; faults and overload may be retried; everything else is the answer, 429 and a
//! tenant's own trouble included: another endpoint would say the same.

use base::header::Fault;
use http::{HeaderMap, StatusCode};

/// The three response classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The endpoint is broken: no connection, a reset, a timeout, or an unmarked 502, 503 or 504.
    EndpointFault,
    /// The endpoint has too much to do and said so.
    Overload,
    /// Anything else.
    Answer,
}

/// The class of an answer by its head.
pub fn classify(status: StatusCode, headers: &HeaderMap) -> Class {
    match (status.as_u16(), Fault::of(headers)) {
        (_, Some(Fault::Overload)) => Class::Overload,
        (_, Some(Fault::Tenant)) => Class::Answer,
        (502..=504, None) => Class::EndpointFault,
        _ => Class::Answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_beat_the_status() {
        let marked = |fault: Fault| HeaderMap::from_iter([(base::header::FAULT, fault.value())]);
        let unmarked = HeaderMap::new();

        assert_eq!(classify(StatusCode::SERVICE_UNAVAILABLE, &unmarked), Class::EndpointFault);
        assert_eq!(classify(StatusCode::SERVICE_UNAVAILABLE, &marked(Fault::Overload)), Class::Overload);
        assert_eq!(classify(StatusCode::SERVICE_UNAVAILABLE, &marked(Fault::Tenant)), Class::Answer);
        assert_eq!(classify(StatusCode::TOO_MANY_REQUESTS, &unmarked), Class::Answer);
        assert_eq!(classify(StatusCode::INTERNAL_SERVER_ERROR, &unmarked), Class::Answer);
    }
}
