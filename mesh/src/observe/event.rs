//! What the mesh did or decided.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use http::{HeaderValue, Method, StatusCode, Uri};

use super::trace::Trace;
use crate::cause::Cause;
use crate::classify::Class;
use crate::identity::Identity;

/// A name that is shared rather than copied: a service's, a route's, an endpoint's address.
pub type Name = Arc<str>;

/// Which half of the mesh speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The caller's.
    Outbound,
    /// The callee's.
    Inbound,
}

impl Side {
    /// A stable name, for labels and logs.
    pub fn name(self) -> &'static str {
        match self {
            Side::Outbound => "outbound",
            Side::Inbound => "inbound",
        }
    }
}

/// One request and its answer, told when both are over.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Who tells.
    pub side: Side,
    /// The calling service.
    pub source: Name,
    /// The called service.
    pub destination: Name,
    /// The route, by name; `-` if none was found.
    pub route: Name,
    /// The method.
    pub method: Method,
    /// What was asked for. Its query may hold secrets: whoever shows it leaves the query out.
    pub uri: Uri,
    /// The answer's status, given by the service or in its place.
    pub status: StatusCode,
    /// The gRPC status of the answer, if it had one.
    pub grpc_status: Option<u16>,
    /// What the answer says about the endpoint; `None` if no endpoint answered.
    pub class: Option<Class>,
    /// Why no endpoint answered, or why the answer's body broke off.
    pub cause: Option<Cause>,
    /// The endpoint that answered last.
    pub endpoint: Option<Name>,
    /// How often it was tried.
    pub attempts: u32,
    /// From the request's arrival to the head of the answer.
    pub head: Duration,
    /// From the request's arrival to the end of the answer's body.
    pub total: Duration,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// The `x-request-id`.
    pub request_id: Option<HeaderValue>,
    /// The project.
    pub project: Option<HeaderValue>,
    /// This exchange's span, if it is traced.
    pub trace: Option<Trace>,
}

impl Exchange {
    /// Whether the service failed its caller: what an error rate counts.
    ///
    /// A 5xx answer, a gRPC status that is the server's doing, a broken or overloaded endpoint, or no answer at all,
    /// unless the caller or policy is why there was none.
    pub fn is_failure(&self) -> bool {
        let of_caller = matches!(self.cause, Some(Cause::NotAllowed | Cause::RequestBody | Cause::Cut));
        // the statuses that OpenTelemetry's conventions count as a server's errors: UNKNOWN, DEADLINE_EXCEEDED,
        // UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
        let grpc = matches!(self.grpc_status, Some(2 | 4 | 12 | 13 | 14 | 15));
        let endpoint = matches!(self.class, Some(Class::EndpointFault | Class::Overload));
        self.status.is_server_error() || grpc || endpoint || (self.cause.is_some() && !of_caller)
    }
}

/// Why something was done to an endpoint, a request, or a connection. Bounded: it is a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Faults in a row.
    ConsecutiveFaults,
    /// Too few successes in the window.
    SuccessRate,
    /// It could not be connected to.
    Unreachable,
    /// As many requests as there may be are under way, and as many wait.
    Full,
    /// A place did not come free in time.
    Wait,
    /// One project has its share already.
    ProjectShare,
    /// Answers take longer than they should.
    Adaptive,
    /// One project's breaker is open.
    TenantBreaker,
    /// The retry budget is spent.
    Budget,
    /// The request cannot be sent twice.
    NotReplayable,
    /// Policy does not allow it (any more).
    Policy,
    /// The identity is denied.
    DeniedIdentity,
    /// One identity has its share of the connections already.
    PeerShare,
    /// It is not clear which host a request is for.
    BadHost,
    /// A request is for another service than its connection.
    Misdirected,
}

impl Reason {
    /// A stable name, for labels and logs.
    pub fn name(self) -> &'static str {
        match self {
            Reason::ConsecutiveFaults => "consecutive_faults",
            Reason::SuccessRate => "success_rate",
            Reason::Unreachable => "unreachable",
            Reason::Full => "full",
            Reason::Wait => "wait",
            Reason::ProjectShare => "project_share",
            Reason::Adaptive => "adaptive",
            Reason::TenantBreaker => "tenant_breaker",
            Reason::Budget => "budget",
            Reason::NotReplayable => "not_replayable",
            Reason::Policy => "policy",
            Reason::DeniedIdentity => "denied_identity",
            Reason::PeerShare => "peer_share",
            Reason::BadHost => "bad_host",
            Reason::Misdirected => "misdirected",
        }
    }
}

/// What was answered in the place of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FallbackKind {
    /// A given answer.
    Static,
    /// The last good one.
    Stale,
    /// Another service's.
    Service,
}

impl FallbackKind {
    /// A stable name, for labels and logs.
    pub fn name(self) -> &'static str {
        match self {
            FallbackKind::Static => "static",
            FallbackKind::Stale => "stale",
            FallbackKind::Service => "service",
        }
    }
}

/// Something the mesh did or decided.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is an exchange, and events are lent, not moved"
)]
pub enum Event {
    /// An exchange is over.
    Ended(Exchange),
    /// One attempt has its answer's head, or none.
    Attempted {
        /// The caller.
        source: Name,
        /// The called service.
        destination: Name,
        /// The endpoint's address.
        endpoint: Name,
        /// What it says about the endpoint, or why there is no answer.
        outcome: Result<Class, Cause>,
        /// How long it took.
        duration: Duration,
    },
    /// An attempt is followed by another one.
    Retried {
        /// The called service.
        destination: Name,
        /// The route.
        route: Name,
    },
    /// An attempt failed and is not followed by another one though there was time.
    RetryRefused {
        /// The called service.
        destination: Name,
        /// Why.
        reason: Reason,
    },
    /// A second attempt was started beside a slow one.
    Hedged {
        /// The called service.
        destination: Name,
        /// The route.
        route: Name,
    },
    /// An endpoint is left out.
    Ejected {
        /// The service.
        destination: Name,
        /// The endpoint's address.
        endpoint: Name,
        /// Why.
        reason: Reason,
        /// For how long.
        duration: Duration,
    },
    /// An ejected endpoint answered its probe and takes part again.
    Restored {
        /// The service.
        destination: Name,
        /// The endpoint's address.
        endpoint: Name,
    },
    /// Probes changed what is thought of an endpoint.
    HealthChanged {
        /// The service.
        destination: Name,
        /// The endpoint's address.
        endpoint: Name,
        /// What is thought of it now.
        healthy: bool,
        /// What the last probe said.
        detail: String,
    },
    /// A project's calls to a service are refused for its own trouble.
    BreakerOpened {
        /// The service.
        destination: Name,
        /// The project.
        project: String,
        /// For how long.
        duration: Duration,
    },
    /// A project's calls are let through again.
    BreakerClosed {
        /// The service.
        destination: Name,
        /// The project.
        project: String,
    },
    /// A request was refused for want of a place.
    Shed {
        /// Who refused.
        side: Side,
        /// The called service.
        service: Name,
        /// Why.
        reason: Reason,
    },
    /// A request was over a limit.
    Limited {
        /// The called service.
        service: Name,
        /// The limit's name.
        limit: Name,
    },
    /// Policy did not let a caller in, or would not have.
    Denied {
        /// The caller.
        peer: Identity,
        /// The service that refused.
        service: Name,
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// Whether it was let in all the same.
        dry_run: bool,
    },
    /// A caller asked for a host that is no service and not allowed.
    EgressDenied {
        /// The caller.
        source: Name,
        /// The host and port: the caller's word, so no label.
        host: String,
        /// Why.
        detail: String,
    },
    /// Something else was answered because the service could not.
    FellBack {
        /// The service.
        destination: Name,
        /// The route.
        route: Name,
        /// What was answered.
        kind: FallbackKind,
    },
    /// Trouble was made on purpose.
    FaultInjected {
        /// The service.
        destination: Name,
        /// The route.
        route: Name,
    },
    /// A copy was sent.
    Mirrored {
        /// Where to.
        destination: Name,
    },
    /// The endpoints of a service changed.
    EndpointsChanged {
        /// The service.
        destination: Name,
        /// How many there are.
        count: usize,
    },
    /// Discovery failed or found nothing; the last good endpoints stay.
    DiscoveryFailed {
        /// The service.
        destination: Name,
        /// What happened.
        detail: String,
    },
    /// A connection was not made because one side did not like the other.
    HandshakeFailed {
        /// Which side we were.
        side: Side,
        /// The service that was meant, as far as it is known.
        service: Name,
        /// The peer's address.
        peer: String,
        /// The cause in words.
        detail: String,
    },
    /// A certificate is in force.
    CertificateLoaded {
        /// Whose.
        identity: Identity,
        /// When it expires.
        expires_at: Timestamp,
    },
    /// A certificate could not be taken; the one before stays.
    CertificateRejected {
        /// The service.
        service: Name,
        /// Why.
        detail: String,
    },
    /// A request, or a connection, was refused at a door before anybody knew what it was for.
    Refused {
        /// Which door.
        side: Side,
        /// The service behind the door; `-` where none is yet known.
        service: Name,
        /// Why.
        reason: Reason,
    },
    /// A connection for bytes was not joined with its service.
    ConnectionFailed {
        /// Who tells.
        side: Side,
        /// The caller.
        source: Name,
        /// The called service.
        destination: Name,
        /// Why.
        cause: Cause,
    },
    /// What lasted was cut: a connection, a stream, or all of them to a service that nobody calls any more.
    Cut {
        /// The caller.
        peer: Identity,
        /// The called service.
        service: Name,
        /// Why.
        reason: Reason,
    },
    /// A connection that left HTTP, or never was HTTP, is over.
    ConnectionEnded {
        /// Who tells.
        side: Side,
        /// The called service.
        destination: Name,
        /// Bytes from the caller.
        sent: u64,
        /// Bytes to the caller.
        received: u64,
        /// How long it lived.
        duration: Duration,
    },
    /// The control plane does not answer; what is in force stays.
    ControlLost {
        /// The workload.
        service: Name,
        /// What happened.
        detail: String,
    },
    /// A configuration is in force.
    ConfigApplied {
        /// Its version: a hash of its content.
        version: Name,
    },
    /// A configuration was refused; the one before stays.
    ConfigRejected {
        /// Why.
        detail: String,
    },
}

impl Event {
    /// Whether somebody may have to look at it: a decision against a request, an endpoint or a peer. Exchanges and
    /// attempts have their own word for that.
    pub(super) fn is_trouble(&self) -> bool {
        match self {
            Event::HealthChanged { healthy, .. } => !healthy,
            Event::RetryRefused { .. }
            | Event::Ejected { .. }
            | Event::BreakerOpened { .. }
            | Event::Shed { .. }
            | Event::Limited { .. }
            | Event::Denied { .. }
            | Event::EgressDenied { .. }
            | Event::FellBack { .. }
            | Event::DiscoveryFailed { .. }
            | Event::HandshakeFailed { .. }
            | Event::CertificateRejected { .. }
            | Event::Refused { .. }
            | Event::ConnectionFailed { .. }
            | Event::Cut { .. }
            | Event::ControlLost { .. }
            | Event::ConfigRejected { .. } => true,
            Event::Ended(_)
            | Event::Attempted { .. }
            | Event::Retried { .. }
            | Event::Hedged { .. }
            | Event::Restored { .. }
            | Event::BreakerClosed { .. }
            | Event::FaultInjected { .. }
            | Event::Mirrored { .. }
            | Event::EndpointsChanged { .. }
            | Event::CertificateLoaded { .. }
            | Event::ConnectionEnded { .. }
            | Event::ConfigApplied { .. } => false,
        }
    }

    /// A stable name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Ended(_) => "ended",
            Event::Attempted { .. } => "attempted",
            Event::Retried { .. } => "retried",
            Event::RetryRefused { .. } => "retry_refused",
            Event::Hedged { .. } => "hedged",
            Event::Ejected { .. } => "ejected",
            Event::Restored { .. } => "restored",
            Event::HealthChanged { .. } => "health_changed",
            Event::BreakerOpened { .. } => "breaker_opened",
            Event::BreakerClosed { .. } => "breaker_closed",
            Event::Shed { .. } => "shed",
            Event::Limited { .. } => "limited",
            Event::Denied { .. } => "denied",
            Event::EgressDenied { .. } => "egress_denied",
            Event::FellBack { .. } => "fell_back",
            Event::FaultInjected { .. } => "fault_injected",
            Event::Mirrored { .. } => "mirrored",
            Event::EndpointsChanged { .. } => "endpoints_changed",
            Event::DiscoveryFailed { .. } => "discovery_failed",
            Event::HandshakeFailed { .. } => "handshake_failed",
            Event::CertificateLoaded { .. } => "certificate_loaded",
            Event::CertificateRejected { .. } => "certificate_rejected",
            Event::Refused { .. } => "refused",
            Event::ConnectionFailed { .. } => "connection_failed",
            Event::Cut { .. } => "cut",
            Event::ConnectionEnded { .. } => "connection_ended",
            Event::ControlLost { .. } => "control_lost",
            Event::ConfigApplied { .. } => "config_applied",
            Event::ConfigRejected { .. } => "config_rejected",
        }
    }
}

/// A stable name of a class, for labels and logs.
pub(super) fn class_name(class: Class) -> &'static str {
    match class {
        Class::EndpointFault => "fault",
        Class::Overload => "overload",
        Class::Answer => "answer",
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::exchange;
    use super::*;

    fn failed(change: impl FnOnce(&mut Exchange)) -> bool {
        let mut exchange = exchange();
        change(&mut exchange);
        exchange.is_failure()
    }

    #[test]
    fn a_failure_is_what_the_service_is_to_blame_for() {
        assert!(!failed(|_| {}));
        assert!(failed(|exchange| exchange.status = StatusCode::INTERNAL_SERVER_ERROR));
        assert!(failed(|exchange| exchange.cause = Some(Cause::Reset)), "a body that broke off after 200");
        assert!(failed(|exchange| exchange.class = Some(Class::Overload)));
        assert!(failed(|exchange| exchange.grpc_status = Some(14)));
        assert!(!failed(|exchange| exchange.grpc_status = Some(5)), "NOT_FOUND is an answer");
        assert!(!failed(|exchange| exchange.status = StatusCode::TOO_MANY_REQUESTS));
        assert!(!failed(|exchange| {
            exchange.status = StatusCode::FORBIDDEN;
            exchange.cause = Some(Cause::NotAllowed);
        }));
    }
}
