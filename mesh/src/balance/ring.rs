//! Consistent hashing: a key's owner changes only if the owner goes or a new one takes its place.
//!
//! Source: Karger et al., STOC 1997; many points per endpoint as in ketama. The points depend on addresses and weights
//! alone, so that every proxy sends a key to the same endpoint.

use super::dice::mix;
use crate::traffic::hash::hash;

/// Points per unit of weight: shares differ by about a tenth.
const POINTS: u64 = 100;
/// Most points of a ring. Weights that ask for more are halved, all of them, until they fit.
const MAX_POINTS: u64 = 65_536;

/// Points on a circle of 2⁶⁴, and the index of each one's endpoint.
#[derive(Debug)]
pub(crate) struct Ring(Box<[(u64, u32)]>);

impl Ring {
    /// A ring of endpoints, given by name and weight.
    pub(crate) fn new<'a>(endpoints: impl Iterator<Item = (&'a str, u32)> + Clone) -> Ring {
        let total: u64 = endpoints.clone().map(|(_, weight)| POINTS * u64::from(weight)).sum();
        let halvings = (0..).find(|shift| total >> shift <= MAX_POINTS).unwrap_or_default();
        let mut points = Vec::new();
        for (index, (name, weight)) in (0..).zip(endpoints) {
            let seed = hash(name.as_bytes());
            // the first points stay the same at any weight, so that a change of weight moves no more than it must
            let count = ((POINTS * u64::from(weight)) >> halvings).max(1);
            points.extend((0..count).map(|i| (mix(seed.wrapping_add(mix(i + 1))), index)));
        }
        points.sort_unstable();
        Ring(points.into())
    }

    /// Whose key this is, then whose it would be without that one, and so on. An index comes more than once.
    pub(crate) fn owners(&self, key: u64) -> impl Iterator<Item = usize> {
        let first = self.0.partition_point(|(point, _)| *point < key);
        let (before, after) = self.0.split_at(first);
        after.iter().chain(before).map(|(_, index)| *index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(endpoints: &[(String, u32)]) -> Ring {
        Ring::new(endpoints.iter().map(|(name, weight)| (name.as_str(), *weight)))
    }

    fn names(count: usize) -> Vec<(String, u32)> {
        (0..count).map(|i| (format!("10.0.0.{i}:80"), 1)).collect()
    }

    fn owner<'a>(endpoints: &'a [(String, u32)], ring: &Ring, key: u64) -> &'a str {
        &endpoints[ring.owners(hash(&key.to_le_bytes())).next().unwrap()].0
    }

    #[test]
    fn shares_follow_the_weights() {
        let endpoints = [("a".to_owned(), 1), ("b".to_owned(), 2), ("c".to_owned(), 5)];
        let ring = ring(&endpoints);
        let mut counts = [0u32; 3];

        for key in 0..40_000u64 {
            counts[ring.owners(hash(&key.to_le_bytes())).next().unwrap()] += 1;
        }

        for (count, ideal) in counts.into_iter().zip([5_000, 10_000, 25_000]) {
            assert!((ideal * 3 / 4..ideal * 5 / 4).contains(&count), "{counts:?}");
        }
    }

    #[test]
    fn a_ring_is_bounded_and_nobody_is_left_out() {
        let ring = ring(&[("a".to_owned(), u32::MAX), ("b".to_owned(), u32::MAX), ("c".to_owned(), 1)]);

        assert!(ring.0.len() as u64 <= MAX_POINTS + 3, "{}", ring.0.len());
        assert!((0..3).all(|index| ring.0.iter().any(|(_, owner)| *owner == index)));
    }

    #[test]
    fn a_ring_of_nobody_owns_nothing() {
        assert_eq!(ring(&[]).owners(7).count(), 0);
    }

    proptest::proptest! {
        /// Removing one endpoint moves its keys, to whom they would have gone next, and no others.
        #[test]
        fn removing_one_moves_only_its_keys(count in 2usize..12, pick: u64, keys: [u64; 64]) {
            let all = names(count);
            let removed = (pick % count as u64) as usize;
            let mut rest = all.clone();
            rest.remove(removed);
            let (before, after) = (ring(&all), ring(&rest));

            for key in keys {
                let was = owner(&all, &before, key);
                let is = owner(&rest, &after, key);
                if was == all[removed].0 {
                    let next = before.owners(hash(&key.to_le_bytes())).find(|index| *index != removed);
                    proptest::prop_assert_eq!(is, &all[next.unwrap()].0);
                } else {
                    proptest::prop_assert_eq!(is, was);
                }
            }
        }
    }
}
