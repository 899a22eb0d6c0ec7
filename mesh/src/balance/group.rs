//! Endpoints that are chosen among: all of a service, one priority level, or the own zone's part of a level.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::dice::Dice;
use super::member::Member;
use super::ring::Ring;
use crate::resource::BalancerKind;

/// A set of endpoints with what the rules of choice need.
pub(crate) struct Group<T> {
    pub(crate) entries: Box<[Entry<T>]>,
    /// Each entry's weight and those of all before it.
    sums: Box<[u64]>,
    /// Whether all weights are the same.
    is_even: bool,
    /// How many entries are usable.
    usable: AtomicUsize,
    /// For the round robin.
    pub(crate) turns: Mutex<Turns>,
    /// For the ring hash.
    pub(crate) ring: Option<Ring>,
}

/// One endpoint of a group.
pub(crate) struct Entry<T> {
    pub(crate) member: Arc<Member<T>>,
    /// Its weight; 1 at least.
    pub(crate) weight: u32,
    /// Its weight beside the group's mean one.
    pub(crate) share: f64,
}

/// Whose turn it is: each endpoint's virtual time moves on by 1 ÷ weight when it was its turn, and the earliest is next.
///
/// Source: stride scheduling; Waldspurger and Weihl, MIT/LCS/TM-528, 1995.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The virtual time of the last turn: who was left out does not catch up on the turns it missed.
    pub(crate) now: f64,
    pub(crate) next: Box<[f64]>,
}

impl<T> Group<T> {
    pub(crate) fn new(members: &[Arc<Member<T>>], kind: BalancerKind, dice: &Dice) -> Group<T> {
        let weights = || members.iter().map(|member| member.found().weight.max(1));
        let sums: Box<[u64]> = weights()
            .scan(0u64, |sum, weight| {
                *sum += u64::from(weight);
                Some(*sum)
            })
            .collect();
        let mean = sums.last().copied().unwrap_or_default() as f64 / members.len().max(1) as f64;
        let entry = |(member, weight): (&Arc<Member<T>>, u32)| Entry {
            member: member.clone(),
            weight,
            share: f64::from(weight) / mean,
        };
        // everybody's first turn at another moment, or all proxies would begin with the same endpoint
        let next = match kind {
            BalancerKind::RoundRobin => weights().map(|weight| dice.unit() / f64::from(weight)).collect(),
            _ => Box::default(),
        };
        let keys = || members.iter().map(|member| &**member.key());
        Group {
            entries: members.iter().zip(weights()).map(entry).collect(),
            is_even: weights().is_sorted_by(|a, b| a == b),
            sums,
            usable: AtomicUsize::new(0),
            turns: Mutex::new(Turns { now: 0.0, next }),
            ring: (kind == BalancerKind::RingHash).then(|| Ring::new(keys().zip(weights()))),
        }
    }

    /// Counts anew how many are usable.
    pub(crate) fn recount(&self) {
        let usable = self.entries.iter().filter(|entry| entry.member.is_usable()).count();
        self.usable.store(usable, Ordering::Release);
    }

    /// Whether there is a usable one, and the usable ones are `threshold` of all at least.
    pub(crate) fn has_enough(&self, threshold: f64) -> bool {
        let usable = self.usable.load(Ordering::Acquire);
        usable > 0 && usable as f64 >= threshold * self.entries.len() as f64
    }

    /// Any index, by weight. The group must not be empty.
    pub(crate) fn draw(&self, dice: &Dice) -> usize {
        if self.is_even {
            return dice.below(self.entries.len());
        }
        let total = self.sums.last().copied().unwrap_or_default();
        let at = dice.below(usize::try_from(total).unwrap_or(usize::MAX)) as u64;
        self.sums.partition_point(|sum| *sum <= at)
    }
}
