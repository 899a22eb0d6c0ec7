//! The five rules by which one endpoint of a group is chosen.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dice::Dice;
use super::group::{Entry, Group};
use super::health::Admission;
use super::member::Member;
use crate::observe::Name;
use crate::resource::BalancerKind;

/// How often an endpoint is drawn before all are looked at.
const DRAWS: usize = 8;

/// What a request asks of the choice.
pub(crate) struct Ask<'a> {
    /// Endpoints that it does not want.
    pub(crate) avoid: &'a [Name],
    /// Whether health is not believed.
    pub(crate) in_panic: bool,
    pub(crate) slow_start: Duration,
    pub(crate) dice: &'a Dice,
    pub(crate) now: Instant,
}

/// The endpoint that takes the request, and whether the request is its probe.
pub(crate) struct Chosen<'g, T> {
    pub(crate) member: &'g Arc<Member<T>>,
    pub(crate) probe: Option<u64>,
}

impl Ask<'_> {
    fn admit<T>(&self, entry: &Entry<T>) -> Option<Admission> {
        if self.avoid.contains(entry.member.key()) {
            return None;
        }
        let health = entry.member.health();
        if self.in_panic { health.admit_in_panic(self.now) } else { health.admit(self.now) }
    }

    fn warmth<T>(&self, entry: &Entry<T>) -> f64 {
        entry.member.warmth(self.slow_start, self.now)
    }
}

impl<T> Group<T> {
    /// Chooses by `kind`; `None` if no endpoint may be used. An endpoint that waits for its probe and is come across is
    /// taken, however loaded it seems: that is how it returns.
    pub(crate) fn choose(
        &self,
        kind: BalancerKind,
        hash: Option<u64>,
        ask: &Ask<'_>,
    ) -> Option<Chosen<'_, T>> {
        if self.entries.is_empty() {
            return None;
        }
        match kind {
            BalancerKind::PeakEwma => {
                self.two_choices(ask, |entry, share| entry.member.load().score(share, ask.now))
            }
            BalancerKind::LeastRequest => {
                self.two_choices(ask, |entry, share| entry.member.load().crowd(share))
            }
            BalancerKind::RoundRobin => self.next_in_turn(ask),
            BalancerKind::Random => self.any(ask),
            BalancerKind::RingHash => self.owner(hash.unwrap_or_else(|| ask.dice.next()), ask),
        }
    }

    /// Any one, if it is left out and waits for a probe. O(1): who waits is come across sooner or later.
    pub(crate) fn probe(&self, ask: &Ask<'_>) -> Option<Chosen<'_, T>> {
        let index = ask.dice.below(self.entries.len());
        let entry = self.entries.get(index).filter(|entry| !entry.member.is_usable())?;
        let probe = ask.admit(entry)?.probe?;
        Some(self.chosen(index, Some(probe)))
    }

    /// The less loaded of two random ones.
    ///
    /// O(1) while most endpoints are usable. Source: Mitzenmacher, IEEE TPDS 12(10), 2001.
    fn two_choices(&self, ask: &Ask<'_>, score: impl Fn(&Entry<T>, f64) -> f64) -> Option<Chosen<'_, T>> {
        let mut first = None;
        for _ in 0..DRAWS {
            let index = match first {
                None => self.draw_warm(ask),
                Some(first) if self.entries.len() > 1 => self.draw_other(first, ask.dice),
                Some(only) => return Some(self.chosen(only, None)),
            };
            match (ask.admit(&self.entries[index]), first) {
                (None, _) => {}
                (Some(Admission { probe: Some(probe) }), _) => return Some(self.chosen(index, Some(probe))),
                (Some(_), None) => first = Some(index),
                (Some(_), Some(first)) => return Some(self.better(first, index, ask, score)),
            }
        }
        let first = match first {
            Some(index) => index,
            None => match self.scan(ask, None)? {
                (index, None) => index,
                (index, probe) => return Some(self.chosen(index, probe)),
            },
        };
        match self.scan(ask, Some(first)) {
            None => Some(self.chosen(first, None)),
            Some((second, None)) => Some(self.better(first, second, ask, score)),
            Some((second, probe)) => Some(self.chosen(second, probe)),
        }
    }

    /// Which of two takes the request: `first` was drawn by weight, `second` evenly.
    ///
    /// Of equal weights the lower score wins. Else the second wins with probability w₂/w₁ × (s₁/s₂)²: equally loaded
    /// endpoints then have exactly their weights' shares, and a slow one still has next to nothing. Comparing s/w would
    /// give a heavy endpoint everything while there is little to do, and a light or new one nothing.
    /// Source: the acceptance rule of Metropolis et al., J. Chem. Phys. 21, 1953.
    fn better(
        &self,
        first: usize,
        second: usize,
        ask: &Ask<'_>,
        score: impl Fn(&Entry<T>, f64) -> f64,
    ) -> Chosen<'_, T> {
        let rated = |index: usize| {
            let entry = &self.entries[index];
            let warmth = ask.warmth(entry);
            (f64::from(entry.weight) * warmth, score(entry, entry.share * warmth))
        };
        let ((weight, score), (other_weight, other_score)) = (rated(first), rated(second));
        let second_wins = if weight == other_weight {
            other_score < score
        } else {
            ask.dice.unit() < other_weight / weight * (score / other_score).powi(2)
        };
        self.chosen(if second_wins { second } else { first }, None)
    }

    /// The one whose turn it is. O(n).
    fn next_in_turn(&self, ask: &Ask<'_>) -> Option<Chosen<'_, T>> {
        let mut turns = self.turns.lock().expect("no holder of this lock panics");
        let mut earliest: Option<(usize, f64)> = None;
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(admission) = ask.admit(entry) else { continue };
            if admission.probe.is_some() {
                return Some(self.chosen(index, admission.probe));
            }
            let at = turns.next[index].max(turns.now);
            if earliest.is_none_or(|(_, earliest)| at < earliest) {
                earliest = Some((index, at));
            }
        }
        let (index, at) = earliest?;
        let entry = &self.entries[index];
        turns.now = at;
        turns.next[index] = at + 1.0 / (f64::from(entry.weight) * ask.warmth(entry));
        Some(self.chosen(index, None))
    }

    /// Any one, by weight.
    fn any(&self, ask: &Ask<'_>) -> Option<Chosen<'_, T>> {
        for _ in 0..DRAWS {
            let index = self.draw_warm(ask);
            if let Some(admission) = ask.admit(&self.entries[index]) {
                return Some(self.chosen(index, admission.probe));
            }
        }
        self.scan(ask, None).map(|(index, probe)| self.chosen(index, probe))
    }

    /// The owner of a key, or the next one clockwise that is usable. A slow start would move keys: there is none.
    fn owner(&self, key: u64, ask: &Ask<'_>) -> Option<Chosen<'_, T>> {
        self.ring.as_ref()?.owners(key).find_map(|index| {
            let admission = ask.admit(&self.entries[index])?;
            Some(self.chosen(index, admission.probe))
        })
    }

    /// Any index, by weight and warmth.
    fn draw_warm(&self, ask: &Ask<'_>) -> usize {
        let mut index = self.draw(ask.dice);
        for _ in 0..DRAWS {
            let warmth = ask.warmth(&self.entries[index]);
            if warmth >= 1.0 || ask.dice.unit() < warmth {
                break;
            }
            index = self.draw(ask.dice);
        }
        index
    }

    /// Any index but `index`, of two or more.
    fn draw_other(&self, index: usize, dice: &Dice) -> usize {
        let other = dice.below(self.entries.len() - 1);
        other + usize::from(other >= index)
    }

    /// Looks at all: any usable one by weight and warmth, but for `except`; a probe first. O(n).
    fn scan(&self, ask: &Ask<'_>, except: Option<usize>) -> Option<(usize, Option<u64>)> {
        let (mut total, mut found) = (0.0, None);
        for (index, entry) in self.entries.iter().enumerate() {
            if Some(index) == except {
                continue;
            }
            let Some(admission) = ask.admit(entry) else { continue };
            if admission.probe.is_some() {
                return Some((index, admission.probe));
            }
            // a reservoir of one: each stays with the probability of its weight
            let weight = f64::from(entry.weight) * ask.warmth(entry);
            total += weight;
            if ask.dice.unit() * total < weight {
                found = Some((index, None));
            }
        }
        found
    }

    fn chosen(&self, index: usize, probe: Option<u64>) -> Chosen<'_, T> {
        Chosen { member: &self.entries[index].member, probe }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, MS, SEC, found, spec, weighted};
    use super::super::pick::Outcome;
    use super::*;
    use crate::resource;

    const BY_WEIGHT: [BalancerKind; 4] =
        [BalancerKind::PeakEwma, BalancerKind::LeastRequest, BalancerKind::RoundRobin, BalancerKind::Random];

    fn near(is: f64, should: f64) -> bool {
        (is - should).abs() < 0.02
    }

    #[test]
    fn equally_loaded_endpoints_have_the_shares_of_their_weights() {
        for kind in BY_WEIGHT {
            for weights in [vec![1, 3], vec![1, 2, 5], vec![1; 4], vec![0, 1], vec![1, 99]] {
                let set = (0..).zip(&weights).map(|(port, weight)| weighted(port, *weight));
                let fixture = Fixture::new(&spec(kind), set);
                fixture.shares(1_000);

                let shares = fixture.shares(20_000);

                let total: u32 = weights.iter().map(|weight| weight.max(&1)).sum();
                for (port, weight) in (0..).zip(&weights) {
                    let should = f64::from(*weight.max(&1)) / f64::from(total);
                    assert!(
                        near(shares.get(&port).copied().unwrap_or_default(), should),
                        "{kind:?} {shares:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_share_of_a_late_endpoint_grows_to_its_weight() {
        for kind in BY_WEIGHT {
            let slow = resource::Balancer { slow_start: 100 * SEC, ..spec(kind) };
            let mut fixture = Fixture::new(&slow, [found(1)]);
            fixture.update([found(1), found(2)]);
            let joined = fixture.member(2).added_at();
            fixture.now = joined;
            fixture.shares(1_000);

            for (age, weight) in [(0, 0.1), (50, 0.55), (100, 1.0)] {
                fixture.now = joined + age * SEC;
                let share = fixture.shares(20_000)[&2];
                assert!(near(share, weight / (1.0 + weight)), "{kind:?} after {age} s: {share}");
            }
        }
    }

    #[test]
    fn the_round_goes_once_to_each() {
        let fixture = Fixture::new(&spec(BalancerKind::RoundRobin), (0..7).map(found));
        let round = || -> Vec<u16> { (0..7).map(|_| *fixture.pick().unwrap().target()).collect() };

        let first = round();

        assert_eq!(first, round());
        let mut ports = first;
        ports.sort_unstable();
        assert_eq!(ports, (0..7).collect::<Vec<_>>());
    }

    #[test]
    fn who_missed_rounds_does_not_catch_up() {
        let mut fixture = Fixture::new(&spec(BalancerKind::RoundRobin), (0..4).map(found));
        fixture.fail(0);
        fixture.shares(400);

        fixture.now += 5 * SEC;
        let shares = fixture.shares(400);

        assert!(near(shares[&0], 0.25), "{shares:?}");
    }

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        for kind in [BalancerKind::PeakEwma, BalancerKind::LeastRequest] {
            let fixture = Fixture::new(&spec(kind), [found(1), found(2)]);
            fixture.shares(100);
            let busy: Vec<_> = (0..10).filter_map(|_| fixture.pick()).collect();

            let in_flight = [1, 2].map(|port| fixture.member(port).in_flight());

            assert_eq!(in_flight, [5, 5], "{kind:?}");
            drop(busy);
            assert_eq!([1, 2].map(|port| fixture.member(port).in_flight()), [0, 0]);
        }
    }

    #[test]
    fn a_slow_endpoint_has_next_to_nothing_whatever_its_weight() {
        let set = [weighted(1, 1), weighted(2, 1), weighted(3, 8)];
        let fixture = Fixture::new(&spec(BalancerKind::PeakEwma), set);
        fixture.shares(100);
        fixture.member(3).load().record(SEC, fixture.now);

        let mut slow = 0;
        for _ in 0..10_000 {
            slow += u32::from(*fixture.pick().unwrap().target() == 3);
        }

        assert!(slow < 100, "{slow}");
    }

    #[test]
    fn with_most_endpoints_out_the_few_are_found_and_share_evenly() {
        for kind in BY_WEIGHT {
            let calm = resource::Balancer { panic_threshold: 0.0, ..spec(kind) };
            let fixture = Fixture::new(&calm, (0..64).map(found));
            (0..62).for_each(|port| fixture.set_healthy(port, false));

            let shares = fixture.shares(2_000);

            assert_eq!(shares.keys().copied().collect::<Vec<_>>(), [62, 63], "{kind:?}");
            assert!((0.4..0.6).contains(&shares[&62]), "{kind:?} {shares:?}");
        }
    }

    #[test]
    fn a_key_stays_with_its_owner_and_only_moves_while_that_one_is_out() {
        let mut fixture = Fixture::new(&spec(BalancerKind::RingHash), (0..5).map(found));
        let owners = |fixture: &Fixture| -> Vec<u16> {
            let owner = |key: u64| {
                let key = crate::traffic::hash::hash(&key.to_le_bytes());
                let mut pick = fixture.balancer.pick(Some(key), &[], fixture.now).unwrap();
                pick.finish(Outcome::Success, MS, fixture.now);
                *pick.target()
            };
            (0..500).map(owner).collect()
        };
        let before = owners(&fixture);

        fixture.fail(3);
        let during = owners(&fixture);
        fixture.now += 5 * SEC;
        let after = owners(&fixture);

        assert_eq!(before, after, "the first key of its own was the probe");
        assert!(during.iter().all(|owner| *owner != 3));
        assert!(before.iter().zip(&during).all(|(before, during)| before == during || *before == 3));
    }

    #[test]
    fn without_a_hash_the_ring_takes_any() {
        let fixture = Fixture::new(&spec(BalancerKind::RingHash), (0..4).map(found));

        assert_eq!(fixture.shares(400).len(), 4);
    }
}
