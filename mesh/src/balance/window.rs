//! An exact count of successes and faults over the last seconds.
//!
//! Counts, not an average: the same burst must look the same at any rate. Ten fixed buckets, of which the oldest is
//! dropped whole, so what is counted is the last 9/10 to 10/10 of the window. Source: linkerd 2.20's breaker.

use std::time::Duration;

use tokio::time::Instant;

const BUCKETS: usize = 10;

/// The counts of one endpoint.
#[derive(Debug)]
pub(crate) struct Window {
    /// How much time one bucket covers.
    width: Duration,
    /// When bucket 0 began.
    origin: Instant,
    /// The number of the newest bucket since `origin`.
    newest: u128,
    buckets: [Counts; BUCKETS],
    total: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) successes: u32,
    pub(crate) faults: u32,
}

impl Window {
    /// An empty window of `length`.
    pub(crate) fn new(length: Duration, now: Instant) -> Window {
        Window {
            width: width(length),
            origin: now,
            newest: 0,
            buckets: [Counts::default(); BUCKETS],
            total: Counts::default(),
        }
    }

    /// Begins anew if `length` is another one.
    pub(crate) fn resize(&mut self, length: Duration, now: Instant) {
        if self.width != width(length) {
            *self = Window::new(length, now);
        }
    }

    /// Counts one more.
    pub(crate) fn add(&mut self, success: bool, now: Instant) {
        self.advance(now);
        let bucket = &mut self.buckets[(self.newest % BUCKETS as u128) as usize];
        for counts in [bucket, &mut self.total] {
            counts.successes = counts.successes.saturating_add(success.into());
            counts.faults = counts.faults.saturating_add((!success).into());
        }
    }

    /// What the window holds at `now`.
    pub(crate) fn counts(&mut self, now: Instant) -> Counts {
        self.advance(now);
        self.total
    }

    /// Drops the buckets that are too old.
    fn advance(&mut self, now: Instant) {
        let current = now.duration_since(self.origin).as_nanos() / self.width.as_nanos();
        if current <= self.newest {
            return;
        }
        let passed = (current - self.newest).min(BUCKETS as u128);
        for step in 1..=passed {
            let bucket = &mut self.buckets[((self.newest + step) % BUCKETS as u128) as usize];
            self.total.successes = self.total.successes.saturating_sub(bucket.successes);
            self.total.faults = self.total.faults.saturating_sub(bucket.faults);
            *bucket = Counts::default();
        }
        self.newest = current;
    }
}

/// The width of a bucket.
fn width(length: Duration) -> Duration {
    (length / BUCKETS as u32).max(Duration::from_nanos(1))
}

impl Counts {
    /// Whether there are `min_requests` and fewer than `rate` of them are successes.
    pub(crate) fn is_below(self, rate: f64, min_requests: u32) -> bool {
        let total = self.successes.saturating_add(self.faults);
        total > 0 && total >= min_requests && f64::from(self.successes) < rate * f64::from(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);

    fn counts(successes: u32, faults: u32) -> Counts {
        Counts { successes, faults }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten_bucket_by_bucket() {
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        let mut window = Window::new(LENGTH, now);
        window.add(false, at(0));
        window.add(false, at(999));
        window.add(true, at(1_000));

        assert_eq!(window.counts(at(9_999)), counts(1, 2));
        assert_eq!(window.counts(at(10_000)), counts(1, 0));
        assert_eq!(window.counts(at(11_000)), counts(0, 0));
    }

    #[test]
    fn a_steady_stream_counts_the_same_at_any_time() {
        let now = Instant::now();
        let mut window = Window::new(LENGTH, now);

        for second in 0..60 {
            window.add(true, now + Duration::from_secs(second));
            let is = window.counts(now + Duration::from_secs(second));
            assert_eq!(is, counts((second as u32 + 1).min(10), 0), "{second}");
        }
    }

    #[test]
    fn a_long_pause_empties_the_window() {
        let now = Instant::now();
        let mut window = Window::new(LENGTH, now);
        (0..10).for_each(|second| window.add(false, now + Duration::from_secs(second)));

        assert_eq!(window.counts(now + Duration::from_secs(1_000_003)), counts(0, 0));

        window.add(true, now + Duration::from_secs(1_000_004));
        assert_eq!(window.counts(now + Duration::from_secs(1_000_004)), counts(1, 0));
    }

    #[test]
    fn another_length_begins_anew() {
        let now = Instant::now();
        let mut window = Window::new(LENGTH, now);
        window.add(true, now);

        window.resize(LENGTH, now);
        assert_eq!(window.counts(now), counts(1, 0));
        window.resize(2 * LENGTH, now);
        assert_eq!(window.counts(now), counts(0, 0));
    }

    #[test]
    fn time_that_seems_to_run_backwards_counts_into_the_newest_bucket() {
        let now = Instant::now();
        let mut window = Window::new(LENGTH, now);
        window.add(true, now + Duration::from_secs(5));

        window.add(false, now);

        assert_eq!(window.counts(now + Duration::from_secs(14)), counts(1, 1));
    }

    #[test]
    fn the_rate_counts_from_the_smallest_number_on_and_must_be_below() {
        assert!(!counts(0, 19).is_below(0.8, 20));
        assert!(counts(0, 20).is_below(0.8, 20));
        assert!(!counts(16, 4).is_below(0.8, 20), "exactly the rate");
        assert!(counts(15, 5).is_below(0.8, 20));
        assert!(!counts(0, 20).is_below(0.0, 20), "zero is never");
        assert!(!counts(0, 0).is_below(0.8, 0));
    }

    proptest::proptest! {
        /// The same outcomes count the same whether they take a millisecond or most of the window.
        #[test]
        fn a_burst_counts_the_same_at_any_rate(outcomes in proptest::collection::vec(proptest::bool::ANY, 1..200)) {
            let now = Instant::now();
            let mut counted = Vec::new();
            for spread in [Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(9)] {
                let mut window = Window::new(LENGTH, now);
                for (i, outcome) in outcomes.iter().enumerate() {
                    window.add(*outcome, now + spread.mul_f64(i as f64 / outcomes.len() as f64));
                }
                counted.push(window.counts(now + spread));
            }

            let successes = outcomes.iter().filter(|outcome| **outcome).count() as u32;
            let expected = counts(successes, outcomes.len() as u32 - successes);
            proptest::prop_assert_eq!(counted, vec![expected; 3]);
        }
    }
}
