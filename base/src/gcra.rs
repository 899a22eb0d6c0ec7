//! Rate limiting by the generic cell rate algorithm: one timestamp per key, no background work.
//!
//! Source: ITU-T I.371, in the virtual-scheduling form.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use crate::Timestamp;

/// `burst` requests at once, then one every `period / burst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may come at once. At least 1.
    pub burst: u32,
    /// How long it takes until `burst` more may come.
    pub period: Duration,
}

/// Shortest time between two scans of a full table for keys to drop.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// Holds each key to a [`Rate`].
///
/// Keys must carry the project, so that projects never share a bucket. They do share the table: while it is full,
/// new keys of every project are refused, so `max_keys` is chosen well above what honest clients need.
pub struct Limiter<K> {
    rate: Rate,
    max_keys: usize,
    table: Mutex<Table<K>>,
}

struct Table<K> {
    /// When each key's bucket is full again.
    full_at: HashMap<K, Timestamp>,
    /// When the keys with full buckets were last dropped.
    swept_at: Option<Timestamp>,
}

impl<K: Eq + Hash> Limiter<K> {
    /// A limiter that remembers at most `max_keys` keys.
    pub fn new(rate: Rate, max_keys: usize) -> Limiter<K> {
        Limiter { rate, max_keys, table: Mutex::new(Table { full_at: HashMap::new(), swept_at: None }) }
    }

    /// Takes one cell for `key`, or says how long to wait for the next.
    ///
    /// At `max_keys` the keys whose buckets are full again are dropped, at most once a second; if all are in use, a
    /// new key is refused rather than an old one forgotten. O(1) but for that sweep, which is O(`max_keys`).
    pub fn check(&self, key: K, now: Timestamp) -> Result<(), Duration> {
        self.check_with(self.rate, key, now)
    }

    /// Whether [`Limiter::check`] would take a cell now, without taking it.
    pub fn peek(&self, key: &K, now: Timestamp) -> Result<(), Duration> {
        let table = self.table.lock().expect("no holder of this lock panics");
        let start = table.full_at.get(key).map_or(now, |at| (*at).max(now));
        self.rate.admits(start, now)
    }

    /// The same at another rate, for keys whose project sets its own. One key is always asked at one rate.
    pub fn check_with(&self, rate: Rate, key: K, now: Timestamp) -> Result<(), Duration> {
        let interval = rate.interval();
        let mut table = self.table.lock().expect("no holder of this lock panics");
        if table.full_at.len() >= self.max_keys && !table.full_at.contains_key(&key) {
            table.sweep(now);
            if table.full_at.len() >= self.max_keys {
                return Err(interval);
            }
        }
        let at = table.full_at.entry(key).or_insert(now);
        let start = (*at).max(now);
        rate.admits(start, now)?;
        *at = start + interval;
        Ok(())
    }
}

impl Rate {
    /// One cell's time.
    fn interval(self) -> Duration {
        self.period / self.burst.max(1)
    }

    /// Whether one more cell fits if the bucket is full again at `start`, or how long to wait.
    fn admits(self, start: Timestamp, now: Timestamp) -> Result<(), Duration> {
        let tolerance = self.period - self.interval();
        match start - now > tolerance {
            true => Err((start - now - tolerance).unsigned_abs()),
            false => Ok(()),
        }
    }
}

impl<K: Eq + Hash> Table<K> {
    /// Drops the keys whose buckets are full again, unless it just did: a flood of new keys must not pay for a scan
    /// each, with everybody else waiting for the lock.
    fn sweep(&mut self, now: Timestamp) {
        if self.swept_at.is_some_and(|at| at <= now && now - at < SWEEP_PAUSE) {
            return;
        }
        self.swept_at = Some(now);
        self.full_at.retain(|_, at| *at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn limiter() -> Limiter<&'static str> {
        Limiter::new(Rate { burst: 3, period: Duration::from_secs(30) }, 2)
    }

    #[test]
    fn a_burst_passes_then_one_per_interval() {
        let limiter = limiter();

        for _ in 0..3 {
            assert_eq!(limiter.check("a", NOW), Ok(()));
        }

        assert_eq!(limiter.check("a", NOW), Err(Duration::from_secs(10)));
        assert_eq!(limiter.check("a", NOW + Duration::from_secs(10)), Ok(()));
        assert!(limiter.check("a", NOW + Duration::from_secs(10)).is_err());
    }

    #[test]
    fn keys_do_not_share_and_their_number_is_bounded() {
        let limiter = limiter();
        for _ in 0..3 {
            let _ = limiter.check("a", NOW);
        }

        assert_eq!(limiter.check("b", NOW), Ok(()));
        assert!(limiter.check("c", NOW).is_err(), "both places are in use");
        assert_eq!(limiter.check("c", NOW + Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn a_full_table_is_swept_at_most_once_a_second() {
        let limiter = Limiter::new(Rate { burst: 1, period: Duration::from_millis(100) }, 1);
        let at = |millis| NOW + Duration::from_millis(millis);
        limiter.check("a", at(0)).unwrap();
        assert!(limiter.check("b", at(50)).is_err(), "this one swept, and `a` was in use");

        assert!(limiter.check("b", at(500)).is_err(), "`a` could go, but the last sweep is too near");
        assert_eq!(limiter.check("b", at(1050)), Ok(()));
    }
}
