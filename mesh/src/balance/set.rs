//! The endpoints of a service at one moment, and in which order groups of them are turned to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::dice::Dice;
use super::group::Group;
use super::member::Member;
use super::rule::{Ask, Chosen};
use crate::discover::{Address, Found, MAX_ENDPOINTS};
use crate::observe::Name;
use crate::resource::{Balancer as Spec, Ejection};

/// How a balancer is to behave.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) spec: Spec,
    pub(crate) ejection: Ejection,
    pub(crate) own_zone: Option<Name>,
}

/// Never changed but for what its members hold themselves.
pub(crate) struct Set<T> {
    pub(crate) settings: Arc<Settings>,
    pub(crate) members: Arc<[Arc<Member<T>>]>,
    /// Priority level by priority level, in each first the own zone's part; the last group is everybody.
    groups: Box<[Group<T>]>,
}

/// What an update makes of a set.
pub(crate) struct Merged<T> {
    /// By address.
    pub(crate) members: Vec<Arc<Member<T>>>,
    /// Whether an address came or went.
    pub(crate) is_other_set: bool,
}

impl<T> Set<T> {
    pub(crate) fn new(settings: Arc<Settings>, members: Vec<Arc<Member<T>>>, dice: &Dice) -> Set<T> {
        let group = |members: &[Arc<Member<T>>]| Group::new(members, settings.spec.kind, dice);
        let mut levels: BTreeMap<u16, Vec<Arc<Member<T>>>> = BTreeMap::new();
        for member in &members {
            levels.entry(member.found().priority).or_default().push(member.clone());
        }
        let mut groups = Vec::new();
        for level in levels.values() {
            let near: Vec<_> = level.iter().filter(|member| settings.is_near(member)).cloned().collect();
            if !near.is_empty() && near.len() < level.len() {
                groups.push(group(&near));
            }
            if levels.len() > 1 {
                groups.push(group(level));
            }
        }
        groups.push(group(&members));
        let set = Set { members: members.into(), groups: groups.into(), settings };
        set.recount();
        set
    }

    /// The members that `found` makes of this set's; `None` if nothing changes. O(n log n).
    pub(crate) fn merge(
        &self,
        found: Vec<Found>,
        make: impl Fn(&Found) -> T,
        now: Instant,
    ) -> Option<Merged<T>> {
        let mut known: HashMap<&Address, &Arc<Member<T>>> =
            self.members.iter().map(|member| (&member.found().address, member)).collect();
        let mut addresses = HashSet::new();
        let (mut members, mut is_changed, mut is_other_set) = (Vec::new(), false, false);
        for found in found {
            if members.len() == MAX_ENDPOINTS || !addresses.insert(found.address.clone()) {
                continue;
            }
            members.push(match known.remove(&found.address) {
                Some(member) if *member.found() == found => member.clone(),
                Some(member) => {
                    is_changed = true;
                    Arc::new(member.with(found))
                }
                None => {
                    is_other_set = true;
                    let target = make(&found);
                    let is_late = !self.members.is_empty();
                    Arc::new(Member::new(found, is_late, &self.settings.ejection, target, now))
                }
            });
        }
        is_other_set |= !known.is_empty();
        members.sort_by(|a, b| a.key().cmp(b.key()));
        (is_changed || is_other_set).then_some(Merged { members, is_other_set })
    }

    /// Counts anew who is usable.
    pub(crate) fn recount(&self) {
        self.groups.iter().for_each(Group::recount);
    }

    /// Chooses in the first group that has enough usable endpoints; if none has, health is not believed, and anybody
    /// may be chosen who is not in connect backoff. An endpoint in `avoid` is only chosen if there is no other.
    pub(crate) fn choose<'s>(
        &'s self,
        hash: Option<u64>,
        avoid: &[Name],
        dice: &Dice,
        now: Instant,
    ) -> Option<Chosen<'s, T>> {
        let Spec { kind, slow_start, panic_threshold, .. } = self.settings.spec;
        let choose = |group: &'s Group<T>, in_panic, avoid| {
            group.choose(kind, hash, &Ask { avoid, in_panic, slow_start, dice, now })
        };
        let believed = |avoid| {
            self.groups.iter().find_map(|group| {
                if group.has_enough(panic_threshold) {
                    choose(group, false, avoid)
                } else {
                    // else nobody would ever find out that a level has recovered
                    group.probe(&Ask { avoid, in_panic: false, slow_start, dice, now })
                }
            })
        };
        let anybody = |avoid| self.groups.last().and_then(|all| choose(all, true, avoid));
        if avoid.is_empty() {
            return believed(avoid).or_else(|| anybody(avoid));
        }
        believed(avoid).or_else(|| believed(&[])).or_else(|| anybody(avoid)).or_else(|| anybody(&[]))
    }

    /// Whether one more endpoint may be ejected beside those that are: `member` is of this set, half stay in, and
    /// another one is usable.
    pub(crate) fn allows_ejection(&self, member: &Member<T>) -> bool {
        let ejected = self.members.iter().filter(|member| member.health().is_ejected()).count();
        let is_known = self.members.iter().any(|known| known.is(member));
        let others = || self.members.iter().filter(|other| !other.is(member));
        is_known && (ejected + 1) * 2 <= self.members.len() && others().any(|other| other.is_usable())
    }

    /// Ends ejections, the oldest first, until no more than half of the set is ejected. Returns whose.
    pub(crate) fn pardon_surplus(&self, now: Instant) -> Vec<Name> {
        let mut ejected: Vec<_> = self
            .members
            .iter()
            .filter_map(|member| Some((member.health().ejected_until()?, member)))
            .collect();
        ejected.sort_by_key(|(until, _)| *until);
        let surplus = ejected.len().saturating_sub(self.members.len() / 2);
        ejected.truncate(surplus);
        for (_, member) in &ejected {
            member.health().pardon(&self.settings.ejection, now);
        }
        ejected.into_iter().map(|(_, member)| member.key().clone()).collect()
    }
}

impl Settings {
    fn is_near<T>(&self, member: &Member<T>) -> bool {
        self.spec.prefer_zone && self.own_zone.is_some() && member.found().zone == self.own_zone
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, MS, SEC, found, spec};
    use super::super::pick::Outcome;
    use super::*;
    use crate::resource::BalancerKind;

    fn in_zone(port: u16, zone: &str) -> Found {
        Found { zone: Some(zone.into()), ..found(port) }
    }

    fn of_priority(port: u16, priority: u16) -> Found {
        Found { priority, ..found(port) }
    }

    /// Four near endpoints and two far ones.
    fn zones(spec: &Spec) -> Fixture {
        let near = (0..4).map(|port| in_zone(port, "near"));
        Fixture::new(spec, near.chain((10..12).map(|port| in_zone(port, "far"))))
    }

    fn ports(fixture: &Fixture) -> Vec<u16> {
        fixture.shares(500).into_keys().collect()
    }

    #[test]
    fn the_own_zone_comes_first_if_that_is_wanted() {
        let anywhere = Spec { prefer_zone: false, ..Spec::default() };

        assert_eq!(ports(&zones(&Spec::default())), [0, 1, 2, 3]);
        assert_eq!(ports(&zones(&anywhere)), [0, 1, 2, 3, 10, 11]);
    }

    #[test]
    fn others_help_out_while_too_few_of_the_own_zone_are_usable() {
        let fixture = zones(&Spec::default());

        (0..2).for_each(|port| fixture.set_healthy(port, false));
        assert_eq!(ports(&fixture), [2, 3], "half is enough");

        fixture.set_healthy(2, false);
        assert_eq!(ports(&fixture), [3, 10, 11]);

        fixture.set_healthy(0, true);
        assert_eq!(ports(&fixture), [0, 3]);
    }

    #[test]
    fn a_retry_leaves_the_zone_before_it_goes_to_the_same_endpoint() {
        let fixture = Fixture::new(&Spec::default(), [in_zone(1, "near"), in_zone(2, "far")]);
        let tried = [fixture.member(1).key().clone()];

        let retry = fixture.balancer.pick(None, &tried, fixture.now).unwrap();

        assert_eq!(*retry.target(), 2);
    }

    #[test]
    fn what_a_request_tried_is_avoided_while_another_is_usable() {
        for kind in [
            BalancerKind::PeakEwma,
            BalancerKind::LeastRequest,
            BalancerKind::RoundRobin,
            BalancerKind::Random,
            BalancerKind::RingHash,
        ] {
            let fixture = Fixture::new(&spec(kind), (0..3).map(found));
            let tried = [0, 1].map(|port| fixture.member(port).key().clone());
            let retry =
                |fixture: &Fixture| *fixture.balancer.pick(Some(7), &tried, fixture.now).unwrap().target();

            assert!((0..50).all(|_| retry(&fixture) == 2), "{kind:?}");
            fixture.fail(2);
            assert!((0..50).all(|_| retry(&fixture) != 2), "{kind:?}");
        }
    }

    #[test]
    fn the_next_level_is_used_while_too_few_of_the_first_are_usable() {
        let levels = (0..2).map(|port| of_priority(port, 0)).chain((10..12).map(|port| of_priority(port, 1)));
        let mut fixture = Fixture::new(&Spec::default(), levels);
        assert_eq!(ports(&fixture), [0, 1]);

        (0..2).for_each(|port| fixture.say(port, Outcome::Unreachable));
        assert_eq!(ports(&fixture), [10, 11]);

        fixture.now += SEC;
        assert_eq!(ports(&fixture), [0, 1], "its endpoints got their probes");
    }

    #[test]
    fn health_is_not_believed_if_too_few_would_be_left() {
        let fixture = Fixture::new(&Spec::default(), (0..4).map(found));
        (0..2).for_each(|port| fixture.set_healthy(port, false));
        assert_eq!(ports(&fixture), [2, 3]);

        fixture.set_healthy(2, false);
        assert_eq!(ports(&fixture), [0, 1, 2, 3], "a quarter is less than half");

        fixture.say(0, Outcome::Unreachable);
        assert_eq!(ports(&fixture), [1, 2, 3], "but not whom no connection can be made to");
    }

    #[test]
    fn without_a_panic_threshold_the_last_usable_one_takes_all() {
        let calm = Spec { panic_threshold: 0.0, ..Spec::default() };
        let fixture = Fixture::new(&calm, (0..4).map(found));

        (0..3).for_each(|port| fixture.set_healthy(port, false));
        assert_eq!(ports(&fixture), [3]);

        fixture.set_healthy(3, false);
        assert_eq!(ports(&fixture), [0, 1, 2, 3], "rather anybody than nobody");
    }

    #[test]
    fn while_all_are_in_backoff_requests_fail_at_once() {
        for count in [1, 3] {
            let mut fixture = Fixture::new(&Spec::default(), (0..count).map(found));
            (0..count).for_each(|port| fixture.say(port, Outcome::Unreachable));

            assert!(fixture.pick().is_none());

            fixture.now += 100 * MS;
            let mut first = fixture.pick().expect("the time is up");
            assert!(first.is_probe());
            assert!(
                fixture.pick().is_some(),
                "a request need not wait for the probe if there is nobody else"
            );
            first.finish(Outcome::Success, MS, fixture.now);
            assert!(first.is_usable());
        }
    }

    #[test]
    fn there_is_nothing_to_pick_from_nothing() {
        for kind in
            [BalancerKind::PeakEwma, BalancerKind::RoundRobin, BalancerKind::Random, BalancerKind::RingHash]
        {
            assert!(Fixture::new(&spec(kind), []).pick().is_none());
        }
    }
}
