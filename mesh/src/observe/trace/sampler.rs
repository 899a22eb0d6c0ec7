//! Which traces are recorded.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderMap;

use super::{Trace, Wire, b3};

/// The bits of a trace's id that are random by W3C's level 2: the last seven bytes.
const RANDOM_BITS: u32 = 56;

/// Decides for the traces that begin here; a decision that came along is kept.
///
/// The decision is a function of the trace's id, so that every proxy of the same ratio decides alike.
/// Source: OpenTelemetry, consistent probability sampling (randomness ≥ rejection threshold).
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// Ids whose random bits are less are not recorded.
    threshold: u64,
}

/// Whether exchanges are spans, and which of them are recorded: it may change. Clones are the same.
#[derive(Clone, Default)]
pub struct Sampling(Arc<ArcSwapOption<Sampler>>);

impl Sampling {
    /// Records as `sampler` says from now on; without one, traces pass untouched.
    pub fn set(&self, sampler: Option<Sampler>) {
        self.0.store(sampler.map(Arc::new));
    }

    /// The sampler of now.
    pub fn get(&self) -> Option<Sampler> {
        self.0.load().as_deref().copied()
    }
}

impl Sampler {
    /// Records the part `ratio` (0 to 1) of the traces.
    pub fn new(ratio: f64) -> Result<Sampler, String> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(format!("the sampled part of traces is {ratio}, not between 0 and 1"));
        }
        let all = (1_u64 << RANDOM_BITS) as f64;
        Ok(Sampler { threshold: ((1.0 - ratio) * all).round() as u64 })
    }

    /// The span of an exchange that begins now: caused by the caller's span, or the first of a new trace.
    ///
    /// `dice` is asked for 64 random bits, at most three times.
    pub fn enter(&self, headers: &HeaderMap, mut dice: impl FnMut() -> u64) -> Trace {
        if let Some(mut caller) = Trace::of(headers) {
            if caller.wire.has(Wire::UNDECIDED) {
                caller.sampled = self.takes(&caller.id);
                caller.wire = caller.wire.without(Wire::UNDECIDED);
            }
            return caller.child(dice());
        }
        let mut trace = Trace::begin(dice, false);
        let b3 = b3::read(headers);
        if b3.is_decided() {
            trace.wire = Wire::default().with(Wire::B3_SINGLE, b3.single).with(Wire::B3_MULTI, b3.multi);
            b3.decide(&mut trace);
        } else {
            trace.sampled = self.takes(&trace.id);
        }
        trace
    }

    fn takes(&self, id: &[u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g] = *id;
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// A full period of numbers that look random.
    fn dice() -> impl FnMut() -> u64 {
        let mut state = 1_u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 31)
        }
    }

    fn header(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn the_part_asked_for_is_recorded() {
        let recorded = |ratio: f64| {
            let (sampler, mut dice) = (Sampler::new(ratio).unwrap(), dice());
            (0..10_000).filter(|_| sampler.enter(&HeaderMap::new(), &mut dice).sampled).count()
        };

        assert_eq!(recorded(0.0), 0);
        assert_eq!(recorded(1.0), 10_000);
        assert!((2_300..2_700).contains(&recorded(0.25)), "{}", recorded(0.25));
    }

    #[test]
    fn a_trace_that_a_small_ratio_takes_is_taken_by_a_larger_one() {
        let (few, many, mut dice) = (Sampler::new(0.1).unwrap(), Sampler::new(0.5).unwrap(), dice());

        for _ in 0..1_000 {
            let id = few.enter(&HeaderMap::new(), &mut dice).id;
            assert!(!few.takes(&id) || many.takes(&id));
        }
    }

    #[test]
    fn a_decision_that_came_along_is_kept() {
        let (all, none) = (Sampler::new(1.0).unwrap(), Sampler::new(0.0).unwrap());
        let ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        let w3c = |flags: &str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static("traceparent"),
                format!("00-{ids}-{flags}").parse().unwrap(),
            )])
        };

        assert!(none.enter(&w3c("01"), dice()).sampled);
        assert!(!all.enter(&w3c("00"), dice()).sampled);
        assert!(!all.enter(&header("b3", "0"), dice()).sampled);
        assert!(none.enter(&header("b3", "d"), dice()).sampled);
        assert!(none.enter(&header("x-b3-sampled", "1"), dice()).sampled);
    }

    #[test]
    fn a_decision_left_to_us_is_made_and_passed_on() {
        let mut headers = header("b3", "64fe8b2a57d3eff7-e457b5a2e4d86bd1");

        Sampler::new(1.0).unwrap().enter(&headers, || 9).write(&mut headers);

        assert_eq!(headers["b3"], "64fe8b2a57d3eff7-0000000000000009-1-e457b5a2e4d86bd1");
    }

    #[test]
    fn a_ratio_must_be_one() {
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Sampler::new(bad).is_err(), "{bad}");
        }
    }
}
