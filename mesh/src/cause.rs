//! Why no answer came, and what a proxy answers in its place.

use std::fmt;

use base::header::Fault;
use http::StatusCode;

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The host is neither a service nor allowed egress.
    NotAllowed,
    /// No endpoint of the service is known or may be used.
    NoEndpoint,
    /// The endpoint could not be connected to, or is not who it should be. Nothing was sent.
    Unreachable,
    /// The endpoint did not take the request. Nothing was processed.
    Refused,
    /// The connection broke before an answer.
    Reset,
    /// The request's deadline passed.
    Deadline,
    /// The endpoint took the request and did not begin to answer in time.
    ResponseTimeout,
    /// Too much is under way to this service already.
    Overloaded,
    /// This project's calls are refused for its own trouble.
    TenantBreaker,
    /// The request's own body broke off or stalled.
    RequestBody,
    /// Policy changed under way.
    Cut,
}

impl Cause {
    /// Every cause, for tables and tests.
    pub const ALL: [Cause; 11] = [
        Cause::NotAllowed,
        Cause::NoEndpoint,
        Cause::Unreachable,
        Cause::Refused,
        Cause::Reset,
        Cause::Deadline,
        Cause::ResponseTimeout,
        Cause::Overloaded,
        Cause::TenantBreaker,
        Cause::RequestBody,
        Cause::Cut,
    ];

    /// A stable name, for labels and answers.
    pub fn name(self) -> &'static str {
        match self {
            Cause::NotAllowed => "not_allowed",
            Cause::NoEndpoint => "no_endpoint",
            Cause::Unreachable => "unreachable",
            Cause::Refused => "refused",
            Cause::Reset => "reset",
            Cause::Deadline => "deadline_exceeded",
            Cause::ResponseTimeout => "response_timeout",
            Cause::Overloaded => "overloaded",
            Cause::TenantBreaker => "tenant_breaker",
            Cause::RequestBody => "request_body",
            Cause::Cut => "cut",
        }
    }

    /// The status that a proxy answers with.
    pub fn status(self) -> StatusCode {
        match self {
            Cause::NotAllowed | Cause::Cut => StatusCode::FORBIDDEN,
            Cause::RequestBody => StatusCode::BAD_REQUEST,
            Cause::NoEndpoint | Cause::Overloaded | Cause::TenantBreaker | Cause::Unreachable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Cause::Reset | Cause::Refused => StatusCode::BAD_GATEWAY,
            Cause::Deadline | Cause::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// How a proxy marks that answer: whoever called the program that called us must neither retry nor eject for it.
    pub fn mark(self) -> Option<Fault> {
        match self {
            Cause::NotAllowed | Cause::Cut | Cause::RequestBody => None,
            Cause::TenantBreaker => Some(Fault::Tenant),
            _ => Some(Fault::Upstream),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::NotAllowed => "the host is not allowed",
            Cause::NoEndpoint => "no endpoint can be used",
            Cause::Unreachable => "the endpoint cannot be reached",
            Cause::Refused => "the endpoint did not take the request",
            Cause::Reset => "the connection broke",
            Cause::Deadline => "the deadline passed",
            Cause::ResponseTimeout => "no answer in time",
            Cause::Overloaded => "too many requests are under way",
            Cause::TenantBreaker => "the project's calls are refused for its own trouble",
            Cause::RequestBody => "the request's body broke off",
            Cause::Cut => "policy does not allow it any more",
        })
    }
}

impl std::error::Error for Cause {}
