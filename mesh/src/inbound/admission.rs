//! Whether a request may go on to the program: limits, then load shedding.

use base::{Request, Response, header};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Inbound, overloaded};
use crate::identity::Identity;
use crate::matching::Head;
use crate::observe::{Event, Reason, Side};
use crate::resilience::adaptive::Admitted;
use crate::resilience::limits::{Held, Refusal};
use crate::snapshot::{Route, Service};

/// What a request holds while it is in the program.
pub(super) struct Admission {
    /// None for a watch, which lasts.
    _under_way: Option<TaskTrackerToken>,
    _limits: Held,
    pub(super) adaptive: Option<Admitted>,
}

impl Inbound {
    /// What the service's limits and its load allow.
    pub(super) fn admit(
        &self,
        service: &Service,
        route: &Route,
        peer: &Identity,
        request: &Request,
    ) -> Result<Admission, Response> {
        let plane = &self.0.plane.0;
        let limits = if service.limits.is_empty() {
            Held::default()
        } else {
            let project = request.headers().get(header::PROJECT).and_then(|value| value.to_str().ok());
            let head = Head::of(request, request.uri().path());
            let limits = self.limited(service, route, peer, &head, project);
            limits.map_err(|refusal| refusal.response())?
        };
        let adaptive = match &service.adaptive {
            None => None,
            Some(adaptive) => Some(adaptive.enter().ok_or_else(|| {
                let service = self.0.name.clone();
                plane.observe(&Event::Shed { side: Side::Inbound, service, reason: Reason::Adaptive });
                overloaded()
            })?),
        };
        let under_way = (!route.spec.watch).then(|| self.0.under_way.token());
        Ok(Admission { _under_way: under_way, _limits: limits, adaptive })
    }

    /// What the service's limits allow.
    pub(super) fn limited(
        &self,
        service: &Service,
        route: &Route,
        peer: &Identity,
        head: &Head<'_>,
        project: Option<&str>,
    ) -> Result<Held, Refusal> {
        let plane = &self.0.plane.0;
        let held = service.limits.enter(head, peer, &route.name, project, plane.parts.clock.now());
        held.inspect_err(|refusal| {
            let (service, limit) = (self.0.name.clone(), refusal.limit.clone());
            plane.observe(&Event::Limited { service, limit });
        })
    }
}
