//! Chooses an endpoint for each request and learns from what came of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;

use super::dice::Dice;
use super::health::{Seen, Verdict};
use super::member::Member;
use super::pick::Pick;
use super::set::{Set, Settings};
use crate::discover::Found;
use crate::observe::{Event, Name, Observer, Reason};
use crate::resource::{self, Ejection};

/// The endpoints of one service and the choice between them. Clones share everything.
pub(crate) struct Balancer<T>(Arc<Inner<T>>);

struct Inner<T> {
    name: Name,
    observer: Observer,
    dice: Dice,
    set: ArcSwap<Set<T>>,
    /// Held while the set is replaced, while somebody is ejected, and while the usable are counted: all of them rare.
    change: Mutex<()>,
    replaced: watch::Sender<()>,
}

impl<T> Clone for Balancer<T> {
    fn clone(&self) -> Balancer<T> {
        Balancer(self.0.clone())
    }
}

impl<T> Balancer<T> {
    /// A balancer for the service `name`, without endpoints yet. One `seed` gives one sequence of choices.
    pub(crate) fn new(
        spec: &resource::Balancer,
        ejection: &Ejection,
        own_zone: Option<Name>,
        name: Name,
        observer: Observer,
        seed: u64,
    ) -> Balancer<T> {
        let dice = Dice::new(seed);
        let settings = Settings { spec: spec.clone(), ejection: ejection.clone(), own_zone };
        let set = ArcSwap::from_pointee(Set::new(Arc::new(settings), Vec::new(), &dice));
        let replaced = watch::Sender::new(());
        Balancer(Arc::new(Inner { name, observer, dice, set, change: Mutex::new(()), replaced }))
    }

    /// The service's name.
    pub(crate) fn name(&self) -> &Name {
        &self.0.name
    }

    /// The endpoints now, by address.
    pub(crate) fn members(&self) -> Arc<[Arc<Member<T>>]> {
        self.0.set.load().members.clone()
    }

    /// The endpoint as discovery tells of it now, if it is still in the set. O(log n).
    pub(crate) fn current(&self, member: &Member<T>) -> Option<Arc<Member<T>>> {
        let set = self.0.set.load();
        let index = set.members.binary_search_by(|known| known.key().cmp(member.key())).ok()?;
        Some(set.members[index].clone()).filter(|known| known.is(member))
    }

    /// Told whenever the endpoints are replaced.
    pub(crate) fn replaced(&self) -> watch::Receiver<()> {
        self.0.replaced.subscribe()
    }

    pub(crate) fn dice(&self) -> &Dice {
        &self.0.dice
    }

    /// Has it behave differently from now on. What is known of the endpoints stays; O(n).
    pub(crate) fn configure(&self, spec: &resource::Balancer, ejection: &Ejection) {
        let _change = self.lock();
        let set = self.0.set.load_full();
        if set.settings.spec == *spec && set.settings.ejection == *ejection {
            return;
        }
        let own_zone = set.settings.own_zone.clone();
        let settings = Settings { spec: spec.clone(), ejection: ejection.clone(), own_zone };
        self.0.set.store(Arc::new(Set::new(Arc::new(settings), set.members.to_vec(), &self.0.dice)));
    }

    /// Replaces the endpoints. Those whose address stays keep their load, health and target; `make` makes the others'
    /// targets. Of an address that comes twice the first one counts. O(n log n); nothing if nothing changed.
    ///
    /// Events: `EndpointsChanged` if an address came or went; `Restored` for endpoints whose ejection ends because too
    /// few would be left.
    pub(crate) fn update(&self, found: Vec<Found>, make: impl Fn(&Found) -> T) {
        let change = self.lock();
        let now = Instant::now();
        let Some(merged) = self.0.set.load().merge(found, make, now) else { return };
        let count = merged.members.len();
        let set = Set::new(self.0.set.load().settings.clone(), merged.members, &self.0.dice);
        let pardoned = set.pardon_surplus(now);
        set.recount();
        self.0.set.store(Arc::new(set));
        drop(change);
        self.0.replaced.send_replace(());
        if merged.is_other_set {
            self.observe(&Event::EndpointsChanged { destination: self.0.name.clone(), count });
        }
        for endpoint in pardoned {
            self.observe(&Event::Restored { destination: self.0.name.clone(), endpoint });
        }
    }

    /// Picks an endpoint; `None` if there is none, or all are in connect backoff: the caller fails at once.
    ///
    /// `hash` is for the ring hash; without it any endpoint is taken. `avoid` holds the keys of endpoints that this
    /// request has tried: they are picked only if no other is usable. O(1) for the choice of two and random while most
    /// endpoints are usable, O(log n) for the ring, else O(n); nothing is allocated.
    pub(crate) fn pick(&self, hash: Option<u64>, avoid: &[Name], now: Instant) -> Option<Pick<T>> {
        let set = self.0.set.load();
        let chosen = set.choose(hash, avoid, &self.0.dice, now)?;
        Some(Pick::new(chosen.member.clone(), self.clone(), chosen.probe))
    }

    /// Has an overloaded endpoint avoided, for a while that differs from proxy to proxy.
    pub(crate) fn penalise(&self, member: &Member<T>, penalty: Duration, now: Instant) {
        // a little longer, never shorter, than it asked for
        let jitter = penalty.mul_f64(0.2 * self.0.dice.unit());
        member.load().penalise(penalty.saturating_add(jitter), now);
    }

    /// Takes note of what a request saw.
    pub(crate) fn note(
        &self,
        member: &Member<T>,
        seen: Seen,
        probe: Option<u64>,
        rtt: Duration,
        now: Instant,
    ) {
        let set = self.0.set.load();
        let limits = &set.settings.ejection;
        match member.health().note(seen, probe, limits, &self.0.dice, now) {
            Verdict::Stays => {}
            Verdict::EjectionDue(reason) => self.eject(member, reason, limits, now),
            Verdict::Left(reason, duration) => {
                self.recount();
                self.observe_ejected(member, reason, duration);
            }
            Verdict::Back => {
                self.recount();
                if seen == Seen::Success && probe.is_some() {
                    member.load().reset(rtt, now);
                }
                let (destination, endpoint) = (self.0.name.clone(), member.key().clone());
                self.observe(&Event::Restored { destination, endpoint });
            }
        }
    }

    /// Ejects an endpoint if the others allow it; otherwise it is avoided like an overloaded one.
    fn eject(&self, member: &Member<T>, reason: Reason, limits: &Ejection, now: Instant) {
        let change = self.lock();
        let set = self.0.set.load();
        if !set.allows_ejection(member) {
            drop(change);
            return self.penalise(member, limits.base, now);
        }
        let duration = member.health().eject(reason, limits, &self.0.dice, now);
        set.recount();
        drop(change);
        if let Some(duration) = duration {
            self.observe_ejected(member, reason, duration);
        }
    }

    /// Takes note of what active checks think of an endpoint now. Event: `HealthChanged`.
    pub(crate) fn set_healthy(&self, member: &Member<T>, healthy: bool, detail: &str) {
        if !member.health().set_healthy(healthy) {
            return;
        }
        self.recount();
        self.observe(&Event::HealthChanged {
            destination: self.0.name.clone(),
            endpoint: member.key().clone(),
            healthy,
            detail: detail.to_owned(),
        });
    }

    fn recount(&self) {
        let _change = self.lock();
        self.0.set.load().recount();
    }

    fn observe_ejected(&self, member: &Member<T>, reason: Reason, duration: Duration) {
        let (destination, endpoint) = (self.0.name.clone(), member.key().clone());
        self.observe(&Event::Ejected { destination, endpoint, reason, duration });
    }

    fn observe(&self, event: &Event) {
        self.0.observer.observe(event);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.0.change.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, MS, SEC, found, spec, weighted};
    use super::super::pick::Outcome;
    use super::*;
    use crate::resource::{Balancer as Spec, BalancerKind};

    #[test]
    fn faults_eject_and_a_good_probe_restores() {
        let mut fixture = Fixture::new(&Spec::default(), (0..4).map(found));
        fixture.fail(0);
        assert!(!fixture.shares(500).contains_key(&0));

        fixture.now += 5 * SEC;
        let mut probe = fixture.pick_of(0);
        assert!(probe.is_probe());
        assert!(!fixture.shares(500).contains_key(&0), "one at a time");
        probe.finish(Outcome::Success, 10 * MS, fixture.now);
        drop(probe);

        assert!(fixture.shares(2_000)[&0] > 0.2);
        let events = ["4 endpoints", "ejected 10.0.0.1:0 ConsecutiveFaults", "restored 10.0.0.1:0"];
        assert_eq!(fixture.events(), events);
    }

    #[test]
    fn a_dropped_probe_gives_the_right_back() {
        let mut fixture = Fixture::new(&Spec::default(), (0..2).map(found));
        fixture.fail(0);
        fixture.now += 5 * SEC;

        drop(fixture.pick_of(0));
        let mut cancelled = fixture.pick_of(0);
        cancelled.finish(Outcome::Ignored, SEC, fixture.now);

        assert!(fixture.pick_of(0).is_probe());
        assert_eq!(fixture.ejected(), 1);
    }

    #[test]
    fn the_last_endpoint_is_never_ejected() {
        for count in [1, 2, 3] {
            let fixture = Fixture::new(&Spec::default(), (0..count).map(found));

            (0..count).for_each(|port| (0..10).for_each(|_| fixture.fail(port)));

            assert_eq!(fixture.ejected(), usize::from(count) / 2, "of {count}");
        }
    }

    #[test]
    fn an_endpoint_beside_unreachable_ones_is_not_ejected() {
        let fixture = Fixture::new(&Spec::default(), (0..4).map(found));
        (0..3).for_each(|port| fixture.say(port, Outcome::Unreachable));

        fixture.fail(3);

        assert_eq!(fixture.ejected(), 0);
        assert!((0..100).all(|_| *fixture.pick().unwrap().target() == 3));
    }

    #[test]
    fn concurrent_ejections_do_not_pass_the_bound() {
        for _ in 0..50 {
            let fixture = Fixture::new(&Spec::default(), (0..10).map(found));
            let start = std::sync::Barrier::new(8);

            std::thread::scope(|scope| {
                for thread in 0..8u16 {
                    let (fixture, start) = (&fixture, &start);
                    scope.spawn(move || {
                        start.wait();
                        (0..10).for_each(|i| fixture.fail((thread + i) % 10));
                    });
                }
            });

            assert_eq!(fixture.ejected(), 5);
        }
    }

    #[test]
    fn one_of_many_concurrent_requests_is_the_probe() {
        let mut fixture = Fixture::new(&Spec::default(), (0..2).map(found));
        fixture.fail(0);
        fixture.now += 5 * SEC;

        let (fixture, start) = (&fixture, std::sync::Barrier::new(8));
        let picks: Vec<Pick<u16>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        (0..50).filter_map(|_| fixture.pick()).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });

        assert_eq!(picks.iter().filter(|pick| *pick.target() == 0).count(), 1);
        assert_eq!(picks.iter().filter(|pick| pick.is_probe()).count(), 1);
    }

    #[test]
    fn a_member_stays_what_it_is_while_its_address_stays() {
        let fixture = Fixture::new(&Spec::default(), (0..3).map(found));
        let busy = fixture.pick_of(0);
        fixture.fail(0);
        let before = fixture.member(0);

        fixture.update([weighted(0, 7), found(1), found(2)]);
        fixture.update([weighted(0, 7), weighted(0, 9), found(1), found(2)]);

        let after = fixture.member(0);
        assert!(after.is(&before) && !after.is_usable());
        assert_eq!((after.found().weight, after.in_flight()), (7, 1));
        assert_eq!(fixture.events().iter().filter(|event| event.ends_with("endpoints")).count(), 1);
        drop(busy);
        assert_eq!(after.in_flight(), 0);

        fixture.update([found(1), found(2)]);
        fixture.update([found(0), found(1), found(2)]);
        assert!(
            !fixture.member(0).is(&before) && fixture.member(0).is_usable(),
            "who went comes back as another"
        );
    }

    #[test]
    fn no_more_than_half_stay_ejected_when_the_set_shrinks() {
        let mut fixture = Fixture::new(&Spec::default(), (0..6).map(found));
        for port in 0..3 {
            fixture.now += MS;
            fixture.fail(port);
        }
        assert_eq!(fixture.ejected(), 3);

        fixture.update((0..4).map(found));

        assert_eq!(fixture.ejected(), 2);
        assert_eq!(fixture.events().last().map(String::as_str), Some("restored 10.0.0.1:0"));
    }

    #[test]
    fn endpoints_that_went_count_no_more() {
        let fixture = Fixture::new(&Spec::default(), (0..2).map(found));
        let mut late = fixture.pick_of(0);
        (0..4).for_each(|_| fixture.say(0, Outcome::Fault));

        fixture.update([found(1), found(2)]);
        late.finish(Outcome::Fault, SEC, fixture.now);

        assert!(late.is_usable(), "nobody needs it to be ejected");
        assert_eq!(fixture.events().last().map(String::as_str), Some("2 endpoints"));
    }

    #[test]
    fn overload_is_avoided_but_not_ejected() {
        let mut fixture = Fixture::new(&Spec::default(), (0..2).map(found));
        fixture.shares(10);

        fixture.say(0, Outcome::Overload { retry_after: Some(2 * SEC) });

        assert!(fixture.member(0).is_usable());
        fixture.now += 2 * SEC - MS;
        assert!(!fixture.shares(200).contains_key(&0));
        fixture.now += SEC;
        assert!(fixture.shares(200).contains_key(&0), "it returns by itself");
    }

    #[test]
    fn only_the_first_report_of_a_request_counts() {
        let fixture = Fixture::new(&Spec::default(), (0..2).map(found));
        let mut pick = fixture.pick_of(0);

        (0..10).for_each(|_| pick.finish(Outcome::Fault, SEC, fixture.now));

        assert_eq!((fixture.ejected(), pick.in_flight()), (0, 1));
    }

    #[test]
    fn another_rule_keeps_what_is_known() {
        let fixture = Fixture::new(&Spec::default(), (0..4).map(found));
        fixture.fail(0);

        fixture.balancer.configure(&spec(BalancerKind::RoundRobin), &Ejection::default());

        let shares = fixture.shares(300);
        assert_eq!(shares.into_keys().collect::<Vec<_>>(), [1, 2, 3]);
    }

    proptest::proptest! {
        /// Whatever happens: at most half are ejected, and somebody is picked while not all are in backoff.
        #[test]
        fn somebody_is_always_left(
            count in 1u16..8,
            steps in proptest::collection::vec((0u16..8, 0u8..5, 0u64..3_000), 1..200),
        ) {
            let mut fixture = Fixture::new(&Spec::default(), (0..count).map(found));
            for (port, what, pause) in steps {
                fixture.now += pause as u32 * MS;
                let outcome = match what {
                    0 => Outcome::Success,
                    1 => Outcome::Overload { retry_after: None },
                    _ => Outcome::Fault,
                };
                fixture.say(port % count, outcome);
                if let Some(mut pick) = fixture.pick() {
                    pick.finish(outcome, MS, fixture.now);
                }

                proptest::prop_assert!(fixture.ejected() <= usize::from(count) / 2);
                proptest::prop_assert!(fixture.balancer.members().iter().any(|member| member.is_usable()));
                proptest::prop_assert!(fixture.pick().is_some());
            }
        }
    }
}
