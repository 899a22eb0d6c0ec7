//! What the rules come to over minutes of traffic, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::dice::Dice;
use super::fixture::{Fixture, MS, SEC, found, spec};
use super::pick::{Outcome, Pick};
use crate::resource::BalancerKind;

const REQUESTS: u32 = 30_000;
const PER_SECOND: u32 = 500;
/// The endpoint that misbehaves.
const BAD: u16 = 0;
/// Another one that does the same, where there are two.
const WORSE: u16 = 1000;

/// What came of [`REQUESTS`] requests at [`PER_SECOND`].
struct Outcomes {
    /// How many of each second's requests went to [`BAD`].
    bad: Vec<u32>,
    /// How long each request took, sorted.
    latencies: Vec<Duration>,
}

impl Outcomes {
    /// The part of all requests that went to the bad endpoint.
    fn share(&self) -> f64 {
        f64::from(self.bad.iter().sum::<u32>()) / f64::from(REQUESTS)
    }

    fn percentile(&self, part: f64) -> Duration {
        self.latencies[(self.latencies.len() as f64 * part) as usize]
    }
}

/// Sends the requests to `endpoints` endpoints. A good one answers in 5 ms to 15 ms, [`BAD`] as `bad` says by second.
fn simulate(kind: BalancerKind, endpoints: u16, bad: impl Fn(u32) -> (Duration, Outcome)) -> Outcomes {
    run(Fixture::new(&spec(kind), (0..endpoints).map(found)), bad)
}

fn run(mut fixture: Fixture, bad: impl Fn(u32) -> (Duration, Outcome)) -> Outcomes {
    let (begun, dice) = (fixture.now, Dice::new(7));
    let mut outcomes = Outcomes { bad: vec![0; (REQUESTS / PER_SECOND) as usize], latencies: Vec::new() };
    let mut under_way: Vec<Option<(Pick<u16>, Duration, Outcome)>> = Vec::new();
    let mut ends = BinaryHeap::new();
    for request in 0..REQUESTS {
        let now = begun + SEC * request / PER_SECOND;
        while ends.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, ended))) = ends.pop() else { break };
            let (mut pick, rtt, outcome) = under_way[ended as usize].take().unwrap();
            pick.finish(outcome, rtt, at);
        }
        fixture.now = now;
        let pick = fixture.pick().expect("most are usable");
        let second = request / PER_SECOND;
        let (rtt, outcome) = match *pick.target() {
            BAD | WORSE => bad(second),
            _ => (5 * MS + (10 * MS).mul_f64(dice.unit()), Outcome::Success),
        };
        outcomes.bad[second as usize] += u32::from([BAD, WORSE].contains(pick.target()));
        outcomes.latencies.push(rtt);
        ends.push(Reverse((now + rtt, request)));
        under_way.push(Some((pick, rtt, outcome)));
    }
    outcomes.latencies.sort_unstable();
    outcomes
}

#[test]
fn an_endpoint_that_is_a_second_slower_gets_next_to_nothing() {
    for endpoints in [2, 3, 10] {
        let share = simulate(BalancerKind::PeakEwma, endpoints, |_| (SEC, Outcome::Success)).share();
        assert!(share < 0.02, "of {endpoints}: {share}");
    }
}

#[test]
fn an_overloaded_endpoint_gets_next_to_nothing() {
    for retry_after in [None, Some(Duration::ZERO), Some(SEC), Some(60 * SEC)] {
        for endpoints in [2, 3, 10] {
            let overload = Outcome::Overload { retry_after };
            let share = simulate(BalancerKind::PeakEwma, endpoints, |_| (MS, overload)).share();
            assert!(share < 0.02, "of {endpoints} after {retry_after:?}: {share}");
        }
    }
}

#[test]
fn an_endpoint_that_fails_quickly_gets_next_to_nothing() {
    let kinds =
        [BalancerKind::PeakEwma, BalancerKind::LeastRequest, BalancerKind::RoundRobin, BalancerKind::Random];
    for kind in kinds {
        for endpoints in [2, 3, 10] {
            let share = simulate(kind, endpoints, |_| (MS, Outcome::Fault)).share();
            assert!(share < 0.02, "{kind:?} of {endpoints}: {share}");
        }
    }
}

#[test]
fn one_that_must_not_be_ejected_because_another_is_gets_next_to_nothing() {
    let fixture = Fixture::new(&spec(BalancerKind::PeakEwma), [BAD, 1, WORSE].map(found));

    let share = run(fixture, |_| (MS, Outcome::Fault)).share();

    assert!(share < 0.02, "{share}");
}

#[test]
fn an_endpoint_that_nobody_can_connect_to_gets_next_to_nothing() {
    for endpoints in [2, 3, 10] {
        let share = simulate(BalancerKind::PeakEwma, endpoints, |_| (MS, Outcome::Unreachable)).share();
        assert!(share < 0.02, "of {endpoints}: {share}");
    }
}

#[test]
fn an_endpoint_that_has_recovered_returns() {
    let troubles = [
        ("faults", Outcome::Fault, MS, 10),
        ("overload", Outcome::Overload { retry_after: None }, MS, 10),
        ("no connection", Outcome::Unreachable, MS, 10),
        ("slowness", Outcome::Success, SEC, 50),
    ];
    for (trouble, outcome, rtt, patience) in troubles {
        let bad = |second| if second < 8 { (rtt, outcome) } else { (10 * MS, Outcome::Success) };
        let by_second = simulate(BalancerKind::PeakEwma, 10, bad).bad;

        assert!(by_second[4..8].iter().sum::<u32>() < 40, "{trouble}: {by_second:?}");
        let late = &by_second[8 + patience..];
        let mean = late.iter().sum::<u32>() / late.len() as u32;
        assert!((25..=100).contains(&mean), "{trouble}: a tenth is 50: {by_second:?}");
    }
}

#[test]
fn a_slow_endpoint_is_tried_again_by_few_requests_at_a_time() {
    for endpoints in [2, 3, 10] {
        let by_second = simulate(BalancerKind::PeakEwma, endpoints, |_| (SEC, Outcome::Success)).bad;

        assert!(by_second.iter().sum::<u32>() >= 2, "it is: {by_second:?}");
        assert!(by_second.iter().all(|requests| *requests <= 10), "of {endpoints}: {by_second:?}");
    }
}

#[test]
fn the_tail_of_peak_ewma_is_a_fifth_of_the_round_robins() {
    let slow = |_| (SEC, Outcome::Success);

    let [ewma, robin] = [BalancerKind::PeakEwma, BalancerKind::RoundRobin]
        .map(|kind| simulate(kind, 10, slow).percentile(0.99));
    assert_eq!(robin, SEC);
    assert!(ewma * 5 <= robin, "{ewma:?}");
}
