//! One endpoint of a balancer, with what is known of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::health::Health;
use super::load::Load;
use crate::discover::Found;
use crate::observe::Name;
use crate::resource::Ejection;

/// The part of its weight that an endpoint has when its slow start begins.
const COLD: f64 = 0.1;

/// An endpoint. `T` is what the caller needs to reach it; it lives as long as the address stays in the set.
#[derive(Debug)]
pub(crate) struct Member<T> {
    found: Found,
    shared: Arc<Shared<T>>,
}

/// What stays when only the weight, the zone or the priority change.
#[derive(Debug)]
struct Shared<T> {
    key: Name,
    added_at: Instant,
    /// Whether it joined a set that was there already.
    is_late: bool,
    load: Load,
    health: Health,
    target: T,
}

impl<T> Member<T> {
    /// A new endpoint of which nothing is known.
    pub(crate) fn new(found: Found, is_late: bool, limits: &Ejection, target: T, now: Instant) -> Member<T> {
        let shared = Shared {
            key: found.address.to_string().into(),
            added_at: now,
            is_late,
            load: Load::default(),
            health: Health::new(limits, now),
            target,
        };
        Member { found, shared: Arc::new(shared) }
    }

    /// The same endpoint as discovery tells of it now.
    pub(crate) fn with(&self, found: Found) -> Member<T> {
        Member { found, shared: self.shared.clone() }
    }

    /// As discovery tells of it.
    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    /// The text of its address: its name in events, and what a request that must avoid it says.
    pub(crate) fn key(&self) -> &Name {
        &self.shared.key
    }

    /// When it joined.
    #[cfg(test)]
    pub(crate) fn added_at(&self) -> Instant {
        self.shared.added_at
    }

    /// What the caller made for it.
    pub(crate) fn target(&self) -> &T {
        &self.shared.target
    }

    /// Requests whose answers have not ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.load().in_flight()
    }

    /// How long its answers take to begin, as it was last seen.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.load().latency()
    }

    /// How long it is still left out for its faults, if it is.
    pub(crate) fn ejected_for(&self, now: Instant) -> Option<Duration> {
        Some(self.health().ejected_until()?.saturating_duration_since(now))
    }

    /// Whether it is neither ejected, nor in backoff, nor unhealthy by an active check.
    pub(crate) fn is_usable(&self) -> bool {
        self.health().is_clear()
    }

    pub(crate) fn load(&self) -> &Load {
        &self.shared.load
    }

    pub(crate) fn health(&self) -> &Health {
        &self.shared.health
    }

    /// Whether both are one endpoint.
    pub(crate) fn is(&self, other: &Member<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The part of its weight that it has at `now`: grows from a tenth to 1 over `slow_start`.
    pub(crate) fn warmth(&self, slow_start: Duration, now: Instant) -> f64 {
        if !self.shared.is_late || slow_start.is_zero() {
            return 1.0;
        }
        let age = now.duration_since(self.shared.added_at);
        COLD + (1.0 - COLD) * age.div_duration_f64(slow_start).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::Address;

    #[test]
    fn the_weight_of_a_late_endpoint_grows_linearly_from_a_tenth() {
        let (now, start) = (Instant::now(), Duration::from_secs(10));
        let member = |is_late| Member::new(Found::at(Address::Local), is_late, &Ejection::default(), (), now);

        let late = member(true);
        let warmths = [0, 5, 10, 1000].map(|secs| late.warmth(start, now + Duration::from_secs(secs)));

        assert!(warmths.iter().zip([0.1, 0.55, 1.0, 1.0]).all(|(is, should)| (is - should).abs() < 1e-9));
        assert_eq!(late.warmth(Duration::ZERO, now), 1.0);
        assert_eq!(member(false).warmth(start, now), 1.0, "the first set has nobody to leave its share to");
    }
}
