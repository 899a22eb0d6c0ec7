//! What came instead of an answer, and whether anything of the request left.

use base::{Body, Request};
use hyper::client::conn::TrySendError;

use crate::Cause;

/// An attempt without an answer.
pub(crate) struct Failure {
    /// Why.
    pub(crate) cause: Cause,
    /// The request, if nothing of it was sent.
    pub(crate) unsent: Option<Box<Request>>,
}

impl Failure {
    /// Nothing was sent.
    pub(crate) fn unsent(cause: Cause, request: Request) -> Failure {
        Failure { cause, unsent: Some(Box::new(request)) }
    }

    /// What hyper says, in our words.
    pub(crate) fn of(mut error: TrySendError<http::Request<Body>>) -> Failure {
        match error.take_message() {
            Some(request) => Failure::unsent(Cause::Refused, request),
            None => Failure { cause: cause_of(error.error()), unsent: None },
        }
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Failure {
        Failure { cause, unsent: None }
    }
}

/// Why a request that was sent has no answer.
pub(crate) fn cause_of(error: &hyper::Error) -> Cause {
    if error.is_user() {
        return Cause::RequestBody;
    }
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            let refused = h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            // a GOAWAY without an error covers only what was not begun (RFC 9113 §6.8)
            let gone = h2.is_go_away() && h2.is_remote() && h2.reason() == Some(h2::Reason::NO_ERROR);
            return if refused || gone { Cause::Refused } else { Cause::Reset };
        }
        source = error.source();
    }
    Cause::Reset
}
