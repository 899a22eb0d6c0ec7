//! What an active project counts, for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters that only grow, and the last load's time.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    loads: AtomicU64,
    failed_loads: AtomicU64,
    load_micros: AtomicU64,
    pool_timeouts: AtomicU64,
    tokens: AtomicU64,
    tokens_known: AtomicU64,
}

/// Their values at one time, and the pool's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) loads: u64,
    pub(crate) failed_loads: u64,
    /// How long the last load took.
    pub(crate) load_seconds: f64,
    pub(crate) pool_timeouts: u64,
    /// Tokens that came, and those of them that were known.
    pub(crate) tokens: u64,
    pub(crate) tokens_known: u64,
    pub(crate) pool_available: usize,
    pub(crate) pool_waiting: usize,
    pub(crate) pool_max: usize,
}

impl Counters {
    /// A schema was loaded, or was not.
    pub(crate) fn loaded(&self, took: Duration, succeeded: bool) {
        let counter = if succeeded { &self.loads } else { &self.failed_loads };
        counter.fetch_add(1, Ordering::Relaxed);
        if succeeded {
            self.load_micros.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// No connection came free in time.
    pub(crate) fn timed_out(&self) {
        self.pool_timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// A token came, which was known or not.
    pub(crate) fn token(&self, known: bool) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
        self.tokens_known.fetch_add(u64::from(known), Ordering::Relaxed);
    }

    /// The values now.
    pub(crate) fn with(&self, pool: deadpool::Status) -> Counted {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            loads: value(&self.loads),
            failed_loads: value(&self.failed_loads),
            load_seconds: value(&self.load_micros) as f64 / 1e6,
            pool_timeouts: value(&self.pool_timeouts),
            tokens: value(&self.tokens),
            tokens_known: value(&self.tokens_known),
            pool_available: pool.available,
            pool_waiting: pool.waiting,
            pool_max: pool.max_size,
        }
    }
}
