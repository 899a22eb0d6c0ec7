//! Random numbers for choices that nobody's safety depends on: shared, seeded, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A generator that any thread may use at any time. Not for secrets: who sees a few numbers knows the rest.
///
/// Source: SplitMix64; Steele, Lea, Flood, OOPSLA 2014.
#[derive(Debug)]
pub(crate) struct Dice(AtomicU64);

impl Dice {
    /// The step: 2⁶⁴ divided by the golden ratio.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

    /// A generator; one seed gives one sequence.
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(AtomicU64::new(seed))
    }

    /// Any number.
    pub(crate) fn next(&self) -> u64 {
        mix(self.0.fetch_add(Dice::GOLDEN, Ordering::Relaxed).wrapping_add(Dice::GOLDEN))
    }

    /// A number below `n`; 0 if `n` is 0.
    pub(crate) fn below(&self, n: usize) -> usize {
        // the high half of the product: as even as 64 bits allow, without a division
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&self) -> f64 {
        // 53 bits are what an f64 holds exactly
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `duration`, less up to a fifth: so that those who failed together do not come back together.
    pub(crate) fn jittered(&self, duration: Duration) -> Duration {
        duration.mul_f64(1.0 - 0.2 * self.unit())
    }
}

/// Spreads a number over all 64 bits, one to one.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_paper() {
        let dice = Dice::new(1_234_567);

        let numbers: Vec<u64> = (0..3).map(|_| dice.next()).collect();

        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn numbers_below_are_below_and_even() {
        let dice = Dice::new(7);
        let mut counts = [0u32; 7];

        for _ in 0..70_000 {
            counts[dice.below(7)] += 1;
        }

        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!((dice.below(0), dice.below(1)), (0, 0));
    }

    #[test]
    fn units_and_jitter_stay_in_their_ranges() {
        let dice = Dice::new(3);
        let second = Duration::from_secs(1);

        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&dice.unit()));
            assert!((Duration::from_millis(800)..=second).contains(&dice.jittered(second)));
        }
    }
}
