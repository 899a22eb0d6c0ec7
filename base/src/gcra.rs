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

/// Holds each key to a [`Rate`]. Keys carry the project, so that projects never share a bucket.
pub struct Limiter<K> {
    rate: Rate,
    max_keys: usize,
    /// When each key's bucket is full again.
    full_at: Mutex<HashMap<K, Timestamp>>,
}

impl<K: Eq + Hash> Limiter<K> {
    /// A limiter that remembers at most `max_keys` keys.
    pub fn new(rate: Rate, max_keys: usize) -> Limiter<K> {
        Limiter { rate, max_keys, full_at: Mutex::new(HashMap::new()) }
    }

    /// Takes one cell for `key`, or says how long to wait for the next.
    ///
    /// At `max_keys` the keys whose buckets are full again are dropped; if all are in use, a new key is refused
    /// rather than an old one forgotten.
    pub fn check(&self, key: K, now: Timestamp) -> Result<(), Duration> {
        self.check_with(self.rate, key, now)
    }

    /// The same at another rate, for keys whose project sets its own. One key is always asked at one rate.
    pub fn check_with(&self, rate: Rate, key: K, now: Timestamp) -> Result<(), Duration> {
        let interval = rate.period / rate.burst.max(1);
        let tolerance = rate.period - interval;
        let mut full_at = self.full_at.lock().expect("no holder of this lock panics");
        if full_at.len() >= self.max_keys && !full_at.contains_key(&key) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= self.max_keys {
                return Err(interval);
            }
        }
        let at = full_at.entry(key).or_insert(now);
        let start = (*at).max(now);
        if start - now > tolerance {
            return Err((start - now - tolerance).unsigned_abs());
        }
        *at = start + interval;
        Ok(())
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
}
