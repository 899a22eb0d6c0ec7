//! One attempt: a place, the project's breaker, an endpoint, the call, and what its outcome says.

use std::time::Duration;

use base::header::Fault;
use base::{Request, Response};
use tokio::time::{Instant, timeout_at};

use super::call::{Call, Timing};
use super::{Cluster, Reach};
use crate::Cause;
use crate::balance::{Outcome, Pick};
use crate::classify::{Again, Class, again, again_without_answer, classify};
use crate::connect::Failure;
use crate::observe::{Event, Name, Reason};
use crate::resilience::breaker::{Change, Pass};
use crate::resilience::deadline;
use crate::resilience::gate::Place;
use crate::resource::Kind;

/// An answer, and what is held until its body has ended.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) held: Option<Held>,
}

/// A place at the service, and the endpoint that counts the request.
pub(super) struct Held {
    pub(super) pick: Pick<Reach>,
    _place: Place,
    pass: Option<Pass>,
}

/// How an attempt ended.
pub(super) struct Tried {
    /// The answer, or why there is none.
    pub(super) result: Result<Answer, Cause>,
    /// Whether another attempt may follow.
    pub(super) again: Again,
    /// The request, if nothing of it was sent.
    pub(super) unsent: Option<Box<Request>>,
    /// Where it was tried.
    pub(super) endpoint: Option<Name>,
}

impl Tried {
    /// Whether there is an answer that no other endpoint would better.
    pub(super) fn is_good(&self) -> bool {
        self.result.is_ok() && self.again == Again::No
    }
}

impl Call {
    /// Everything up to the call itself.
    pub(super) async fn enter(
        &self,
        cluster: &Cluster,
        avoid: &[Name],
        until: Instant,
    ) -> Result<Held, Cause> {
        let project = self.project();
        let pass = match project {
            Some(project) => match cluster.breakers.check(project, Instant::now()) {
                Ok(pass) => Some(pass),
                Err(_) => return Err(self.stack.shed(&self.service.name, Reason::TenantBreaker)),
            },
            None => None,
        };
        let place = match cluster.gate.try_enter(project) {
            Some(place) => place,
            None => cluster
                .gate
                .enter(project, until)
                .await
                .map_err(|reason| self.stack.shed(&self.service.name, reason))?,
        };
        let pick = cluster.pick(self.hash, avoid, until).await.ok_or(Cause::NoEndpoint)?;
        Ok(Held { pick, _place: place, pass })
    }

    /// The same without any wait, for what is only done if it can be done now.
    pub(super) fn enter_now(&self, cluster: &Cluster, avoid: &[Name]) -> Option<Held> {
        let place = cluster.gate.try_enter(self.project())?;
        let pick = cluster.balancer.pick(self.hash, avoid, Instant::now())?;
        Some(Held { pick, _place: place, pass: None })
    }

    /// Sends `request` to the endpoint that is held.
    pub(super) async fn transmit(
        &self,
        cluster: &Cluster,
        mut held: Held,
        mut request: Request,
        timing: &Timing,
    ) -> Tried {
        let started = Instant::now();
        let left = timing.until.saturating_duration_since(started);
        match timing.told {
            true => deadline::write(request.headers_mut(), left),
            // a stream has a total only if its caller gave it one
            false => deadline::lower(request.headers_mut(), left),
        }
        let endpoint = held.pick.key().clone();
        let outcome = self.within(timing, started, &held, request).await;
        let duration = started.elapsed();
        let (class, tried) = match outcome {
            Ok(response) => {
                let class = classify(response.status(), response.headers());
                self.told(cluster, &mut held, &response);
                held.pick.finish(outcome_of(class, &response), duration, Instant::now());
                let again = again(class, response.headers());
                let answer = Answer { response, held: Some(held) };
                (Ok(class), Tried { result: Ok(answer), again, unsent: None, endpoint: None })
            }
            Err(Failure { cause, unsent }) => {
                // whatever the endpoint did with half a request, it is not to blame
                let cause = if timing.progress.is_broken() { Cause::RequestBody } else { cause };
                let outcome = self.blame(cause, duration, timing);
                held.pick.finish(outcome, duration, Instant::now());
                if outcome == Outcome::Fault && matches!(cause, Cause::Deadline | Cause::ResponseTimeout) {
                    self.waited_in_vain(cluster, &mut held);
                }
                let again = again_without_answer(cause);
                (Err(cause), Tried { result: Err(cause), again, unsent, endpoint: None })
            }
        };
        self.stack.plane().observe(&Event::Attempted {
            source: self.stack.source.clone(),
            destination: self.service.name.clone(),
            endpoint: endpoint.clone(),
            outcome: class,
            duration,
        });
        Tried { endpoint: Some(endpoint), ..tried }
    }

    /// The call, cut off when its time is over.
    async fn within(
        &self,
        timing: &Timing,
        started: Instant,
        held: &Held,
        request: Request,
    ) -> Result<Response, Failure> {
        let stack = &self.stack;
        let send = held.pick.target().send(&stack.identity, self.route.kind, &self.host, request);
        if let Some(response) = timing.response {
            let late = async {
                timing.ended.cancelled().await;
                tokio::time::sleep(response).await;
            };
            return tokio::select! {
                answer = timeout_at(timing.until, send) => {
                    answer.unwrap_or_else(|_| Err(Cause::Deadline.into()))
                }
                () = late => Err(Cause::ResponseTimeout.into()),
            };
        }
        let per_try = self.route.spec.retry.per_try.map(|limit| started + limit);
        let at = per_try.map_or(timing.until, |at| at.min(timing.until));
        match timeout_at(at, send).await {
            Ok(answer) => answer,
            Err(_) if at < timing.until || !timing.told => Err(Cause::ResponseTimeout.into()),
            Err(_) => Err(Cause::Deadline.into()),
        }
    }

    /// What a missing answer says about the endpoint.
    fn blame(&self, cause: Cause, duration: Duration, timing: &Timing) -> Outcome {
        match (cause, self.route.kind) {
            // the caller was still sending
            (Cause::ResponseTimeout, _) if !timing.ended.is_cancelled() => Outcome::Ignored,
            // it had most of the time there was
            (Cause::Deadline, Kind::Unary { deadline }) if duration * 2 >= deadline => Outcome::Fault,
            _ => outcome_without_answer(cause),
        }
    }

    /// What the answer says about the project, told to its breaker. An answer that says nothing about it, an overloaded
    /// endpoint's for one, neither opens nor closes.
    fn told(&self, cluster: &Cluster, held: &mut Held, response: &Response) {
        let (Some(pass), Some(project)) = (held.pass.take(), self.project()) else { return };
        let is_fault = Fault::of(response.headers()) == Some(Fault::Tenant);
        if !is_fault && classify(response.status(), response.headers()) != Class::Answer {
            return;
        }
        self.record(cluster, project, pass, is_fault);
    }

    /// A breaker's probe that nobody answered in time found the project as it was: the next one is not to wait as long
    /// at once.
    fn waited_in_vain(&self, cluster: &Cluster, held: &mut Held) {
        let probe = held.pass.take_if(|pass| pass.is_probe());
        if let (Some(pass), Some(project)) = (probe, self.project()) {
            self.record(cluster, project, pass, true);
        }
    }

    fn record(&self, cluster: &Cluster, project: &str, pass: Pass, is_fault: bool) {
        let change = cluster.breakers.record(project, pass, is_fault, Instant::now());
        let (destination, project) = (self.service.name.clone(), project.to_owned());
        let event = match change {
            None => return,
            Some(Change::Opened(duration)) => Event::BreakerOpened { destination, project, duration },
            Some(Change::Closed) => Event::BreakerClosed { destination, project },
        };
        self.stack.plane().observe(&event);
    }
}

fn outcome_of(class: Class, response: &Response) -> Outcome {
    match class {
        Class::Answer => Outcome::Success,
        Class::EndpointFault => Outcome::Fault,
        Class::Overload => Outcome::Overload { retry_after: retry_after(response) },
    }
}

fn outcome_without_answer(cause: Cause) -> Outcome {
    match cause {
        Cause::Unreachable => Outcome::Unreachable,
        Cause::Refused | Cause::Overloaded => Outcome::Overload { retry_after: None },
        Cause::Reset | Cause::ResponseTimeout => Outcome::Fault,
        _ => Outcome::Ignored,
    }
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(http::header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
