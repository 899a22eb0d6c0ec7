//! How much may be tried again: a part of what is asked, and a few a second anyhow.
//!
//! The promise is that a service that fails altogether gets no more than `ratio` of its requests and `per_second`
//! attempts a second on top, from the first moment on. `tower`'s `TpsBudget` does not keep it: its reserve is
//! `per_second` × the whole window, all of it there at once, so with the usual 10 a second over 10 seconds the first
//! hundred failures are all tried again. Hence one of our own: exact counts in ten parts of the window for the ratio,
//! and in tenths of a second for the rest. Nothing is saved up.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::resource::RetryBudget;

/// The parts of a window.
const PARTS: u32 = 10;

/// A part is at least this long: then its number stays within 32 bits for 13 years.
const SHORTEST_PART: Duration = Duration::from_millis(100);

/// Bounds the retries and hedges to one service. All its routes share it.
#[derive(Debug)]
pub(crate) struct Budget {
    ratio: f64,
    per_second: u64,
    start: Instant,
    requests: Counts,
    /// Locked from looking to counting, so that two at once do not both take the last one.
    retries: Mutex<Retries>,
}

#[derive(Debug)]
struct Retries {
    /// Those that requests paid for.
    paid: Counts,
    /// Those that the allowance per second paid for.
    allowed: Counts,
}

impl Budget {
    /// A budget as `spec` has it, with nothing in it but the allowance of one second.
    pub(crate) fn new(spec: &RetryBudget, now: Instant) -> Budget {
        Budget {
            ratio: spec.ratio,
            per_second: u64::from(spec.per_second),
            start: now,
            requests: Counts::new(spec.window),
            retries: Mutex::new(Retries {
                paid: Counts::new(spec.window),
                allowed: Counts::new(Duration::from_secs(1)),
            }),
        }
    }

    /// Counts a request: a first attempt, not a retry. No lock.
    pub(crate) fn deposit(&self, now: Instant) {
        self.requests.add(self.since_start(now));
    }

    /// Takes one retry or hedge, if there is one.
    ///
    /// The ratio pays first. Over any time, retries are at most `ratio` × requests + `per_second` in any one second:
    /// each window's retries are held to the requests of that same window, and the allowance looks back a tenth of a
    /// second further than it must, so that no second has more.
    pub(crate) fn withdraw(&self, now: Instant) -> bool {
        let at = self.since_start(now);
        let retries = self.retries.lock().expect("no holder of this lock panics");
        let earned = self.ratio * self.requests.sum(at, PARTS) as f64;
        if (retries.paid.sum(at, PARTS) + 1) as f64 <= earned {
            retries.paid.add(at);
            return true;
        }
        let is_allowed = retries.allowed.sum(at, PARTS + 1) < self.per_second;
        if is_allowed {
            retries.allowed.add(at);
        }
        is_allowed
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

/// Counts by the part of the window in which they fell, without a lock.
#[derive(Debug)]
struct Counts {
    part: Duration,
    /// `tick << 32 | count`: a count of another tick is not there any more.
    slots: [AtomicU64; PARTS as usize + 1],
}

impl Counts {
    fn new(window: Duration) -> Counts {
        Counts { part: (window / PARTS).max(SHORTEST_PART), slots: Default::default() }
    }

    /// The number of the part, from 1, so that an empty slot is of no part.
    fn tick(&self, at: Duration) -> u32 {
        let tick = at.as_nanos() / self.part.as_nanos() + 1;
        u32::try_from(tick).unwrap_or(u32::MAX)
    }

    fn add(&self, at: Duration) {
        let tick = self.tick(at);
        let counted = |slot: u64| match (slot >> 32) as u32 {
            there if there == tick => Some(slot + u64::from(slot as u32 != u32::MAX)),
            // whoever comes late, by a clock read before another's, does not wipe out the newer count
            there if there > tick => None,
            _ => Some(u64::from(tick) << 32 | 1),
        };
        let _ = self.slot(tick).fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// What was counted in the last `parts` parts, the current one included.
    fn sum(&self, at: Duration, parts: u32) -> u64 {
        let last = self.tick(at);
        let first = last.saturating_sub(parts - 1);
        let slots = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed));
        slots
            .filter(|slot| (first..=last).contains(&((slot >> 32) as u32)))
            .map(|slot| slot & 0xFFFF_FFFF)
            .sum()
    }

    fn slot(&self, tick: u32) -> &AtomicU64 {
        &self.slots[tick as usize % self.slots.len()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(ratio: f64, per_second: u32) -> (Budget, Instant) {
        let start = Instant::now();
        (Budget::new(&RetryBudget { ratio, per_second, window: Duration::from_secs(10) }, start), start)
    }

    #[test]
    fn total_failure_never_exceeds_the_ratio_and_the_allowance_from_the_first_moment() {
        for per_second in [1, 5, 50, 1000] {
            let (budget, start) = budget(0.2, 10);
            let (mut requests, mut attempts) = (0_u64, 0_u64);

            for n in 0..30 * per_second {
                let at = Duration::from_secs(1) * n / per_second;
                budget.deposit(start + at);
                requests += 1;
                attempts += 1;
                // two retries each, as many as a route has by default: all of them fail
                attempts += (0..2).filter(|_| budget.withdraw(start + at)).count() as u64;
                let most = 1.2 * requests as f64 + 10.0 * (at.as_secs() + 1) as f64;
                assert!(attempts as f64 <= most, "{attempts} of {most} after {at:?} at {per_second}/s");
            }
            let expected = if per_second < 6 { 3.0 } else { 1.2 };
            assert!(attempts as f64 >= expected * requests as f64 * 0.9, "{attempts} at {per_second}/s");
        }
    }

    #[test]
    fn the_start_has_one_second_of_allowance_and_no_second_more() {
        let (budget, start) = budget(0.2, 10);
        let taken = |millis| {
            let now = start + Duration::from_millis(millis);
            (0..1000).filter(|_| budget.withdraw(now)).count()
        };

        assert_eq!([taken(90), taken(1050), taken(1100)], [10, 0, 10]);
    }

    #[test]
    fn requests_of_another_window_pay_nothing() {
        let (budget, start) = budget(0.5, 0);
        (0..10).for_each(|_| budget.deposit(start));

        let in_time = (0..10).filter(|_| budget.withdraw(start + Duration::from_secs(2))).count();
        (0..10).for_each(|_| budget.deposit(start + Duration::from_secs(3)));
        let late = (0..20).filter(|_| budget.withdraw(start + Duration::from_secs(14))).count();

        assert_eq!((in_time, late), (5, 0));
    }

    #[test]
    fn nothing_in_the_budget_means_no_retry() {
        let (budget, start) = budget(0.0, 0);
        (0..100).for_each(|_| budget.deposit(start));

        assert!(!budget.withdraw(start));
    }

    proptest! {
        #[test]
        fn any_pattern_of_failures_stays_within_the_promise(
            steps in prop::collection::vec((0_u64..3_000, 0_u32..40, 0_u32..40), 1..40),
        ) {
            let (budget, start) = budget(0.2, 10);
            let (mut millis, mut requests, mut retries) = (0, 0_u32, Vec::new());

            for (pause, asked, again) in steps {
                millis += pause;
                let now = start + Duration::from_millis(millis);
                (0..asked).for_each(|_| budget.deposit(now));
                requests += asked;
                retries.extend((0..again).filter(|_| budget.withdraw(now)).map(|_| millis));
            }

            prop_assert!(retries.len() as f64 <= 0.2 * f64::from(requests) + 10.0 * (millis / 1000 + 1) as f64);
        }
    }
}
