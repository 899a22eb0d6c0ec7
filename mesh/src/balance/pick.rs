//! One request's hold on an endpoint.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::balancer::Balancer;
use super::health::Seen;
use super::member::Member;

/// For how long an endpoint that is overloaded and does not say for how long is avoided.
const DEFAULT_PENALTY: Duration = Duration::from_secs(5);

/// What an attempt says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer.
    Success,
    /// A connection was there, and no (good) answer came.
    Fault,
    /// No connection.
    Unreachable,
    /// The endpoint has too much to do.
    Overload {
        /// When it may be asked again, if it says so.
        retry_after: Option<Duration>,
    },
    /// Nothing: the request was cancelled, or failed for its own reasons.
    Ignored,
}

/// A picked endpoint: in flight until this is dropped, at the end of the answer's body.
///
/// Dropped before [`Pick::finish`] it counts as [`Outcome::Ignored`].
pub(crate) struct Pick<T> {
    member: Arc<Member<T>>,
    balancer: Balancer<T>,
    probe: Option<u64>,
    is_finished: bool,
}

impl<T> Pick<T> {
    pub(crate) fn new(member: Arc<Member<T>>, balancer: Balancer<T>, probe: Option<u64>) -> Pick<T> {
        member.load().begin();
        Pick { member, balancer, probe, is_finished: false }
    }

    /// Whether it was given to find out if an endpoint that was left out has recovered.
    #[cfg(test)]
    pub(crate) fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    /// Reports what came of it, `rtt` after it began, at the head of the answer or when there will be none. Only the
    /// first report counts.
    ///
    /// Events: `Ejected`, `Restored`.
    pub(crate) fn finish(&mut self, outcome: Outcome, rtt: Duration, now: Instant) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        let load = self.member.load();
        load.answered();
        let seen = match outcome {
            Outcome::Success => {
                load.record(rtt, now);
                Seen::Success
            }
            Outcome::Fault => {
                load.record_failure(rtt, now);
                Seen::Fault
            }
            Outcome::Overload { retry_after } => {
                self.balancer.penalise(&self.member, retry_after.unwrap_or(DEFAULT_PENALTY), now);
                Seen::Overload
            }
            Outcome::Unreachable => Seen::Unreachable,
            Outcome::Ignored => Seen::Nothing,
        };
        if seen != Seen::Nothing || self.probe.is_some() {
            self.balancer.note(&self.member, seen, self.probe, rtt, now);
        }
    }
}

impl<T> Deref for Pick<T> {
    type Target = Arc<Member<T>>;

    fn deref(&self) -> &Arc<Member<T>> {
        &self.member
    }
}

impl<T> Drop for Pick<T> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.finish(Outcome::Ignored, Duration::ZERO, Instant::now());
        }
        self.member.load().end();
    }
}
