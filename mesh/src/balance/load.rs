//! How busy an endpoint is: requests in flight and a latency estimate that believes bad news at once.
//!
//! Peak-EWMA as in Finagle: a sample above the estimate replaces it, one below pulls it down with time constant
//! [`TAU`]. An overloaded endpoint is biased instead of ejected, the idea of linkerd's `LoadBiaser`, but by the time
//! that is left until it may be asked again: so it returns when it said, not when an average has forgotten.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Seconds after which an old latency counts 1/e.
const TAU: f64 = 10.0;
/// Seconds that an endpoint is taken to need while its first answers are awaited. The figure only matters for the
/// first few requests: large enough that an unknown endpoint beside fast ones gets one request and then waits, small
/// enough that it gets its share beside slow ones.
const DEFAULT_RTT: f64 = 0.03;
/// The smallest estimate, in seconds: what an endpoint that should be tried next is worth.
const MIN_RTT: f64 = 1e-6;
/// Longest time for which an overloaded endpoint is avoided.
const MAX_PENALTY: Duration = Duration::from_secs(300);
/// Shortest one: `Retry-After: 0` must not make overload free.
const MIN_PENALTY: Duration = Duration::from_secs(1);

/// One endpoint's load, as this proxy sees it.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Requests whose answers have not ended.
    in_flight: AtomicUsize,
    /// Those of them whose answers have not begun.
    waiting: AtomicUsize,
    estimate: Mutex<Estimate>,
}

#[derive(Debug, Default)]
struct Estimate {
    /// Seconds until an answer begins, when that was last seen.
    seen: Option<(f64, Instant)>,
    /// Until when the endpoint is avoided.
    penalised_until: Option<Instant>,
}

impl Load {
    /// A request begins.
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Its answer begins, or never will.
    pub(crate) fn answered(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Its answer has ended.
    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests whose answers have not ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The time until an answer begins, as the estimate has it; `None` before the first one.
    pub(crate) fn latency(&self) -> Option<Duration> {
        let estimate = self.estimate.lock().expect("no holder of this lock panics");
        estimate.seen.map(|(seconds, _)| Duration::from_secs_f64(seconds))
    }

    /// Notes that an answer began after `rtt`.
    pub(crate) fn record(&self, rtt: Duration, now: Instant) {
        let rtt = rtt.as_secs_f64().max(MIN_RTT);
        let mut estimate = self.estimate.lock().expect("no holder of this lock panics");
        let value = match estimate.seen {
            Some((seen, at)) if seen > rtt => {
                let weight = decay(at, now);
                seen * weight + rtt * (1.0 - weight)
            }
            _ => rtt,
        };
        estimate.seen = Some((value, now));
    }

    /// Notes that a request failed after `rtt`. A quick failure says nothing about how quick the endpoint is: it must
    /// not attract more. A slow one (a timeout) counts like a slow answer.
    pub(crate) fn record_failure(&self, rtt: Duration, now: Instant) {
        let mut estimate = self.estimate.lock().expect("no holder of this lock panics");
        let seen = estimate.seen.map_or(DEFAULT_RTT, |(seen, _)| seen);
        estimate.seen = Some((seen.max(rtt.as_secs_f64()), now));
    }

    /// Has the endpoint avoided for `penalty` (1 s to 300 s): by so many seconds, ever fewer, it seems slower.
    pub(crate) fn penalise(&self, penalty: Duration, now: Instant) {
        let until = now + penalty.clamp(MIN_PENALTY, MAX_PENALTY);
        let mut estimate = self.estimate.lock().expect("no holder of this lock panics");
        estimate.penalised_until = estimate.penalised_until.max(Some(until));
    }

    /// Forgets all but that an answer began after `rtt`: the endpoint has recovered.
    pub(crate) fn reset(&self, rtt: Duration, now: Instant) {
        let seen = Some((rtt.as_secs_f64().max(MIN_RTT), now));
        *self.estimate.lock().expect("no holder of this lock panics") =
            Estimate { seen, penalised_until: None };
    }

    /// Seconds that one more request would seem to take; lower is better.
    ///
    /// Latency × (requests in flight per `share` + 1), where `share` is the endpoint's weight beside the mean one's.
    /// While nothing is awaited, an old estimate decays, so that an endpoint that was slow is tried again; with the
    /// first request under way the estimate counts in full until the answer says otherwise. So neither a new endpoint
    /// nor one that was left alone is flooded before it has answered once.
    pub(crate) fn score(&self, share: f64, now: Instant) -> f64 {
        let idle = self.waiting.load(Ordering::Relaxed) == 0;
        let estimate = self.estimate.lock().expect("no holder of this lock panics");
        let rtt = match estimate.seen {
            Some((seen, at)) if idle => seen * decay(at, now),
            Some((seen, _)) => seen,
            None if idle => MIN_RTT,
            None => DEFAULT_RTT,
        };
        let penalty = estimate
            .penalised_until
            .map_or(0.0, |until| until.checked_duration_since(now).unwrap_or_default().as_secs_f64());
        (rtt.max(MIN_RTT) + penalty) * self.crowd(share)
    }

    /// Requests in flight per `share`, and one more.
    pub(crate) fn crowd(&self, share: f64) -> f64 {
        self.in_flight() as f64 / share + 1.0
    }
}

/// What is left at `now` of something seen at `at`.
fn decay(at: Instant, now: Instant) -> f64 {
    (-now.duration_since(at).as_secs_f64() / TAU).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SEC: Duration = Duration::from_secs(1);

    fn measured(rtt: Duration, now: Instant) -> Load {
        let load = Load::default();
        load.record(rtt, now);
        load
    }

    #[test]
    fn a_peak_is_believed_at_once_and_forgotten_slowly() {
        let now = Instant::now();
        let load = measured(10 * MS, now);

        load.record(SEC, now);
        assert_eq!(load.score(1.0, now), 1.0);

        load.record(10 * MS, now + 10 * SEC);
        let score = load.score(1.0, now + 10 * SEC);
        let expected = 1.0 / std::f64::consts::E * 0.99 + 0.01;
        assert!((score - expected).abs() < 1e-9, "{score}");
    }

    #[test]
    fn the_score_grows_with_what_is_in_flight_and_shrinks_with_the_share() {
        let now = Instant::now();
        let load = measured(100 * MS, now);
        (0..4).for_each(|_| load.begin());

        assert!((load.score(1.0, now) - 0.5).abs() < 1e-9);
        assert!((load.score(2.0, now) - 0.3).abs() < 1e-9);
    }

    #[test]
    fn an_unknown_endpoint_is_tried_by_one_request_first() {
        let (now, fast, slow) = (Instant::now(), 5 * MS, 200 * MS);
        let unknown = Load::default();

        assert!(unknown.score(1.0, now) < measured(fast, now).score(1.0, now));
        unknown.begin();
        assert!(unknown.score(1.0, now) > measured(fast, now).score(1.0, now));
        assert!(
            unknown.score(1.0, now) < measured(slow, now).score(1.0, now),
            "beside slow ones it has its share"
        );
    }

    #[test]
    fn an_endpoint_left_alone_is_tried_by_one_request_first() {
        let now = Instant::now();
        let (slow, later) = (measured(SEC, now), now + 60 * SEC);
        let peer = measured(10 * MS, later);

        assert!(slow.score(1.0, later) < peer.score(1.0, later));
        slow.begin();
        assert!(slow.score(1.0, later) > peer.score(1.0, later));
    }

    #[test]
    fn a_long_answer_does_not_keep_the_estimate_from_decaying() {
        let now = Instant::now();
        let load = measured(SEC, now);

        load.begin();
        load.answered();

        assert!(load.score(1.0, now + 60 * SEC) < 0.01, "one in flight, none awaited");
        load.end();
        assert_eq!(load.in_flight(), 0);
    }

    #[test]
    fn a_penalty_ends_when_it_was_said_to() {
        let now = Instant::now();
        let load = measured(10 * MS, now);

        load.penalise(5 * SEC, now);
        load.penalise(2 * SEC, now);

        assert!(load.score(1.0, now) > 5.0);
        assert!(load.score(1.0, now + 4 * SEC) > 1.0, "the longer one counts");
        assert!(load.score(1.0, now + 5 * SEC) < 0.011);
    }

    #[test]
    fn penalties_are_bounded_on_both_sides() {
        let now = Instant::now();
        let (none, ages) = (measured(MS, now), measured(MS, now));

        none.penalise(Duration::ZERO, now);
        ages.penalise(Duration::MAX, now);

        assert!(none.score(1.0, now) > 0.9);
        assert!(ages.score(1.0, now) < 301.0);
        assert!(ages.score(1.0, now + 300 * SEC) < 0.1);
    }

    #[test]
    fn a_quick_failure_attracts_nothing_and_a_slow_one_counts() {
        let now = Instant::now();
        let (known, unknown) = (measured(100 * MS, now), Load::default());

        known.record_failure(MS, now);
        unknown.record_failure(MS, now);
        assert_eq!(known.score(1.0, now), 0.1);
        assert_eq!(unknown.score(1.0, now), DEFAULT_RTT);

        known.record_failure(2 * SEC, now);
        assert_eq!(known.score(1.0, now), 2.0);

        known.penalise(SEC, now);
        known.reset(10 * MS, now);
        assert_eq!(known.score(1.0, now), 0.01);
    }
}
