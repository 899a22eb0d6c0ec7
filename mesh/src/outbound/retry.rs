//! More than one attempt: retries after a failure, a hedge beside a slow one; both paid from one budget.

use base::Request;
use http_body::Body as _;
use tokio::time::Instant;

use super::Cluster;
use super::attempt::{Answer, Tried};
use super::call::{Call, Timing};
use super::head::KeptHead;
use crate::Cause;
use crate::classify::Again;
use crate::observe::{Event, Name, Reason};
use crate::record::Record;
use crate::resilience::replay::Replay;
use crate::resource::Kind;

/// A request body up to this size can be sent again.
const REPLAY_BYTES: usize = 64 * 1024;

/// What is kept of a request to send it again.
struct Copy {
    head: KeptHead,
    body: Replay,
}

impl Copy {
    /// Keeps what is needed for another attempt at `request`, if there may be one after it was sent.
    ///
    /// The body of a stream is never kept: without a body it can be sent again, with one it cannot.
    fn of(call: &Call, request: Request) -> (Request, Option<Copy>) {
        let spec = &call.route.spec;
        let is_stream = !matches!(call.route.kind, Kind::Unary { .. });
        if (spec.retry.attempts == 0 && spec.hedge.is_none())
            || (is_stream && !request.body().is_end_stream())
        {
            return (request, None);
        }
        let kept = KeptHead::of(&request);
        let (head, body) = request.into_parts();
        let (first, body) = Replay::new(body, REPLAY_BYTES);
        (Request::from_parts(head, first), Some(Copy { head: kept, body }))
    }

    fn again(&self) -> Option<Request> {
        Some(self.head.with(self.body.again()?))
    }
}

impl Call {
    /// Attempts until one is good enough or none may follow.
    pub(super) async fn attempts(
        &self,
        cluster: &Cluster,
        request: Request,
        timing: Timing,
        record: &mut Record,
    ) -> Result<Answer, Cause> {
        // an endpoint in this process could answer before the clock is asked for the first time
        if Instant::now() >= timing.until {
            return Err(Cause::Deadline);
        }
        cluster.budget.deposit(Instant::now());
        let is_idempotent = self.route.is_idempotent(request.method());
        let (mut request, copy) = Copy::of(self, request);
        let mut avoid: Vec<Name> = Vec::new();
        let mut left = self.route.spec.retry.attempts;
        loop {
            let tried = self.attempt(cluster, request, copy.as_ref(), &avoid, &timing, record).await;
            if let Some(endpoint) = &tried.endpoint {
                record.attempt(endpoint);
            }
            let wanted = match tried.again {
                Again::No => false,
                Again::IfIdempotent => is_idempotent,
                Again::Safely => true,
            };
            if !wanted || left == 0 || Instant::now() >= timing.until {
                return tried.result;
            }
            let next = tried.unsent.map(|unsent| *unsent).or_else(|| copy.as_ref()?.again());
            let Some(next) = next else { return self.refuse(Reason::NotReplayable, tried.result) };
            if !cluster.budget.withdraw(Instant::now()) {
                return self.refuse(Reason::Budget, tried.result);
            }
            avoid.extend(tried.endpoint);
            self.back_off(avoid.len(), tried.result, &timing).await;
            left -= 1;
            request = next;
            let (destination, route) = (self.service.name.clone(), self.route.name.clone());
            self.stack.plane().observe(&Event::Retried { destination, route });
        }
    }

    fn refuse<T>(&self, reason: Reason, result: T) -> T {
        let destination = self.service.name.clone();
        self.stack.plane().observe(&Event::RetryRefused { destination, reason });
        result
    }

    /// Full jitter: anywhere between nothing and the pause, which doubles each time. What failed is let go before.
    ///
    /// Source: Brooker, "Exponential Backoff And Jitter", 2015.
    async fn back_off<T>(&self, failures: usize, _let_go: T, timing: &Timing) {
        let doubled = self.route.spec.retry.backoff * (1 << failures.saturating_sub(1).min(6));
        let pause = doubled.mul_f64(self.stack.plane().dice.unit());
        drop(_let_go);
        tokio::time::sleep_until((Instant::now() + pause).min(timing.until)).await;
    }

    /// One attempt, or two beside each other if the first is slow and the route says so.
    async fn attempt(
        &self,
        cluster: &Cluster,
        request: Request,
        copy: Option<&Copy>,
        avoid: &[Name],
        timing: &Timing,
        record: &mut Record,
    ) -> Tried {
        let held = match self.enter(cluster, avoid, timing.until).await {
            Ok(held) => held,
            Err(cause) => {
                // no endpoint was touched, but waiting longer would not help either
                return Tried { result: Err(cause), again: Again::No, unsent: None, endpoint: None };
            }
        };
        let is_idempotent = self.route.is_idempotent(request.method());
        let (Some(hedge), Some(copy), true) = (&self.route.spec.hedge, copy, is_idempotent) else {
            return self.transmit(cluster, held, request, timing).await;
        };
        let busy = [held.pick.key().clone()];
        let first = self.transmit(cluster, held, request, timing);
        tokio::pin!(first);
        tokio::select! {
            tried = &mut first => return tried,
            () = tokio::time::sleep(hedge.after) => {}
        }
        let Some((request, held)) = self.hedge(cluster, copy, &busy) else {
            return first.await;
        };
        record.attempt(&busy[0]);
        let second = self.transmit(cluster, held, request, timing);
        tokio::pin!(second);
        tokio::select! {
            tried = &mut first => if tried.is_good() { tried } else { second.await },
            tried = &mut second => if tried.is_good() { tried } else { first.await },
        }
    }

    /// What a second attempt needs: the whole body, another endpoint, and the budget's leave.
    ///
    /// Nothing is waited for: the first attempt would stand still meanwhile.
    fn hedge(
        &self,
        cluster: &Cluster,
        copy: &Copy,
        busy: &[Name],
    ) -> Option<(Request, super::attempt::Held)> {
        if !copy.body.is_complete() {
            return None;
        }
        let held = self.enter_now(cluster, busy)?;
        if *held.pick.key() == busy[0] || !cluster.budget.withdraw(Instant::now()) {
            return None;
        }
        let request = copy.again()?;
        let (destination, route) = (self.service.name.clone(), self.route.name.clone());
        self.stack.plane().observe(&Event::Hedged { destination, route });
        Some((request, held))
    }
}
