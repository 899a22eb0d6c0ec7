//! Adaptive concurrency: how much is let in follows from how long answers take.
//!
//! A program answers in its own time until something in it is used up; from then on every further request at once
//! only waits longer. The limiter looks for that knee. For each window of answers it compares their mean time with
//! the time that answers take without a queue, the *baseline*:
//!
//! ```text
//! gradient = clamp(TOLERANCE × baseline / mean, ½, 1)
//! limit    = limit + SMOOTHING × (limit × gradient + √limit − limit)
//! ```
//!
//! so the limit grows by a part of its root while answers are in time, and shrinks with their slowness. This is
//! Gradient2 of Netflix's concurrency-limits. Its baseline is a long average, which under lasting overload learns the
//! overload and lets the limit run away. Here the average learns only in windows in which nobody was refused. While
//! somebody is, the baseline is measured instead, as Envoy's adaptive concurrency filter does: every ten seconds the
//! limit is quartered for one window, and what that window's own requests take is half of the new baseline. Envoy
//! goes down to three requests for that; a quarter is enough to empty the queue near the knee and refuses far less,
//! and from further away a few such windows lead there. It costs less than one in a hundred of the requests that an
//! overloaded program could have taken.
//!
//! Sources: Netflix concurrency-limits, `Gradient2Limit`; Envoy, "Adaptive Concurrency", gradient controller.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::resource::Shed;

/// A window has at least this length,
const WINDOW: Duration = Duration::from_millis(100);
/// and at least this many answers.
const WINDOW_SAMPLES: u32 = 10;
/// How much slower than the baseline answers may be before the limit shrinks.
const TOLERANCE: f64 = 1.5;
/// The part of the difference that one window makes up.
const SMOOTHING: f64 = 0.2;
/// The part that one window has in the baseline while nobody is refused.
const LEARNING: f64 = 0.01;
/// The part of the limit that there is while the baseline is measured.
const PROBE_PART: f64 = 0.25;
/// How long somebody is refused before the baseline is measured.
const PROBE_AFTER: Duration = Duration::from_secs(10);

/// Bounds the requests under way by how long answers take.
#[derive(Debug)]
pub(crate) struct Adaptive(Arc<Inner>);

/// One request under way. Dropped without [`Admitted::finish`] it says nothing about the program.
#[derive(Debug)]
#[must_use = "the request counts as over when this is dropped"]
pub(crate) struct Admitted {
    limiter: Arc<Inner>,
    /// The number of measurements that had begun when it was let in.
    probe: u32,
}

#[derive(Debug)]
struct Inner {
    min: f64,
    max: f64,
    limit: AtomicUsize,
    running: AtomicUsize,
    /// The most that were under way at once in this window.
    peak: AtomicUsize,
    /// Whether somebody was refused in this window.
    refused: AtomicBool,
    /// The number of measurements that have begun.
    probes: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: f64,
    /// Seconds that an answer takes without a queue; zero until the first window is over.
    baseline: f64,
    began_at: Option<Instant>,
    samples: u32,
    /// Seconds of all samples of this window.
    total: f64,
    /// Since when somebody is refused in each window.
    refusing_since: Option<Instant>,
    /// Whether this window measures the baseline.
    probing: bool,
}

impl Adaptive {
    /// A limiter that begins as `spec` says.
    pub(crate) fn new(spec: &Shed) -> Adaptive {
        let (min, max) = (spec.min.max(1), spec.max.max(spec.min.max(1)));
        let initial = spec.initial.clamp(min, max);
        Adaptive(Arc::new(Inner {
            min: min as f64,
            max: max as f64,
            limit: AtomicUsize::new(initial),
            running: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            probes: AtomicU32::new(0),
            state: Mutex::new(State {
                limit: initial as f64,
                baseline: 0.0,
                began_at: None,
                samples: 0,
                total: 0.0,
                refusing_since: None,
                probing: false,
            }),
        }))
    }

    /// Lets a request in, or not. No lock.
    pub(crate) fn enter(&self) -> Option<Admitted> {
        let limit = self.0.limit.load(Ordering::Relaxed);
        let running = self.0.running.fetch_add(1, Ordering::Relaxed);
        if running >= limit {
            self.0.running.fetch_sub(1, Ordering::Relaxed);
            self.0.refused.store(true, Ordering::Relaxed);
            return None;
        }
        self.0.peak.fetch_max(running + 1, Ordering::Relaxed);
        Some(Admitted { limiter: self.0.clone(), probe: self.0.probes.load(Ordering::Relaxed) })
    }

    /// How many may be under way at once now.
    pub(crate) fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }
}

impl Admitted {
    /// The request is over after `rtt`, counted to the head of its answer.
    ///
    /// A failure (`ok` is false) counts only if it was slow: a quick one says nothing about load, and would make
    /// answers look faster than they are.
    pub(crate) fn finish(self, rtt: Duration, now: Instant, ok: bool) {
        let mut state = self.limiter.state.lock().expect("no holder of this lock panics");
        let rtt = rtt.as_secs_f64();
        let late_for_probe = state.probing && self.probe != self.limiter.probes.load(Ordering::Relaxed);
        if late_for_probe || (!ok && rtt <= state.baseline) {
            return;
        }
        state.samples += 1;
        state.total += rtt;
        let began_at = *state.began_at.get_or_insert(now);
        if state.samples >= WINDOW_SAMPLES && now.saturating_duration_since(began_at) >= WINDOW {
            self.limiter.close_window(&mut state, now);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.limiter.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inner {
    fn close_window(&self, state: &mut State, now: Instant) {
        let mean = state.total / f64::from(state.samples);
        let refused = self.refused.swap(false, Ordering::Relaxed);
        let peak = self.peak.swap(self.running.load(Ordering::Relaxed), Ordering::Relaxed);
        (state.samples, state.total, state.began_at) = (0, 0.0, Some(now));
        if state.baseline == 0.0 {
            state.baseline = mean;
        }
        if state.probing {
            state.probing = false;
            state.refusing_since = Some(now);
            state.baseline += (mean - state.baseline) / 2.0;
        } else {
            if !refused || mean < state.baseline {
                state.baseline += (mean - state.baseline) * LEARNING;
            }
            self.adjust(state, mean, peak);
            self.probe_if_due(state, refused, now);
        }
        let limit = if state.probing { (state.limit * PROBE_PART).max(self.min) } else { state.limit };
        self.limit.store(limit as usize, Ordering::Relaxed);
    }

    /// Moves the limit, unless less than half of it was used: then the window does not say whether it is right.
    fn adjust(&self, state: &mut State, mean: f64, peak: usize) {
        if (peak as f64) < state.limit / 2.0 {
            return;
        }
        let gradient = (TOLERANCE * state.baseline / mean.max(f64::MIN_POSITIVE)).clamp(0.5, 1.0);
        let aim = state.limit * gradient + state.limit.sqrt();
        state.limit = (state.limit + SMOOTHING * (aim - state.limit)).clamp(self.min, self.max);
    }

    fn probe_if_due(&self, state: &mut State, refused: bool, now: Instant) {
        if !refused {
            state.refusing_since = None;
            return;
        }
        let since = *state.refusing_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= PROBE_AFTER {
            state.probing = true;
            self.probes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use super::*;

    /// A program with `cores` places and a queue before them, in steps of a millisecond.
    struct Program {
        limiter: Adaptive,
        cores: usize,
        work: u64,
        millis: u64,
        start: Instant,
        /// Under way, by when each is over: `(-end, begin)`.
        running: BinaryHeap<(i64, u64, usize)>,
        admitted: Vec<Option<Admitted>>,
        /// When each place is free again.
        free_at: Vec<u64>,
        answered: u64,
        refused: u64,
    }

    impl Program {
        fn new(cores: usize, work: u64, spec: &Shed) -> Program {
            Program {
                limiter: Adaptive::new(spec),
                cores,
                work,
                millis: 0,
                start: Instant::now(),
                running: BinaryHeap::new(),
                admitted: Vec::new(),
                free_at: vec![0; cores],
                answered: 0,
                refused: 0,
            }
        }

        /// `per_second` requests for `seconds`.
        fn run(&mut self, seconds: u64, per_second: u64) {
            for _ in 0..seconds * 1000 {
                self.millis += 1;
                let due = |n: u64| n * per_second / 1000;
                for _ in due(self.millis - 1)..due(self.millis) {
                    self.arrive();
                }
                self.complete();
            }
        }

        fn arrive(&mut self) {
            let Some(admitted) = self.limiter.enter() else {
                self.refused += 1;
                return;
            };
            let place = (0..self.cores).min_by_key(|n| self.free_at[*n]).unwrap();
            let end = self.free_at[place].max(self.millis) + self.work;
            self.free_at[place] = end;
            self.admitted.push(Some(admitted));
            self.running.push((-(end as i64), self.millis, self.admitted.len() - 1));
        }

        fn complete(&mut self) {
            while let Some((end, began, index)) = self.running.peek().copied() {
                if -end > self.millis as i64 {
                    return;
                }
                self.running.pop();
                let now = self.start + Duration::from_millis(self.millis);
                let rtt = Duration::from_millis(self.millis - began);
                self.admitted[index].take().unwrap().finish(rtt, now, true);
                self.answered += 1;
            }
        }

        fn limit(&self) -> usize {
            self.limiter.limit()
        }
    }

    #[test]
    fn overload_finds_the_knee_and_stays_there() {
        let mut program = Program::new(20, 10, &Shed::default());
        program.run(10, 1_000);

        program.run(60, 4_000);

        assert!((20..=45).contains(&program.limit()), "{}", program.limit());
        let answered = program.answered;
        program.run(60, 4_000);
        assert!((20..=45).contains(&program.limit()), "{}", program.limit());
        let rate = (program.answered - answered) / 60;
        assert!((1_950..=2_000).contains(&rate), "of 2000 a second {rate} were answered");
    }

    #[test]
    fn a_baseline_learnt_in_overload_is_measured_anew() {
        let mut program = Program::new(20, 10, &Shed { initial: 400, ..Shed::default() });

        program.run(60, 4_000);

        assert!((20..=50).contains(&program.limit()), "{}", program.limit());
    }

    #[test]
    fn the_limit_recovers_after_the_program_was_slow() {
        let mut program = Program::new(20, 10, &Shed::default());
        program.run(10, 1_500);
        program.work = 100;
        program.run(30, 1_500);
        let slow = program.limit();

        program.work = 10;
        program.run(30, 1_500);
        let refused = program.refused;
        program.run(10, 1_500);

        assert!(slow < 40, "while it was slow: {slow}");
        assert_eq!(program.refused, refused, "at {}", program.limit());
    }

    #[test]
    fn a_program_that_became_slower_for_good_is_not_starved() {
        let mut program = Program::new(200, 10, &Shed::default());
        program.run(10, 2_000);

        program.work = 50;
        program.run(120, 2_000);

        let refused = program.refused;
        program.run(10, 2_000);
        assert_eq!(
            program.refused,
            refused,
            "100 at once suffice, and it has 200 places: {}",
            program.limit()
        );
    }

    #[test]
    fn a_load_below_half_the_limit_changes_nothing() {
        let mut program = Program::new(20, 10, &Shed::default());

        program.run(60, 1_000);

        assert_eq!(program.limit(), 100);
        assert_eq!(program.refused, 0);
    }

    #[test]
    fn the_limit_stays_within_its_bounds() {
        let mut program = Program::new(1, 500, &Shed { initial: 8, min: 4, max: 10 });
        program.run(60, 1_000);
        assert!((4..=10).contains(&program.limit()));

        let mut program = Program::new(100, 5, &Shed { initial: 8, min: 4, max: 10 });
        program.run(60, 5_000);
        assert_eq!(program.limit(), 10);
    }

    #[test]
    fn a_dropped_request_gives_its_place_back_and_is_no_sample() {
        let limiter = Adaptive::new(&Shed { initial: 1, min: 1, max: 1 });
        let admitted = limiter.enter();
        assert!(admitted.is_some() && limiter.enter().is_none());

        drop(admitted);

        assert!(limiter.enter().is_some());
        assert_eq!(limiter.0.state.lock().unwrap().samples, 0);
    }

    #[test]
    fn quick_failures_say_nothing_about_load() {
        let limiter = Adaptive::new(&Shed::default());
        let start = Instant::now();
        let finish = |n: u32, rtt: u64, ok| {
            let at = start + Duration::from_millis(u64::from(n) * 20);
            limiter.enter().unwrap().finish(Duration::from_millis(rtt), at, ok);
        };
        (0..20).for_each(|n| finish(n, 50, true));
        let baseline = limiter.0.state.lock().unwrap().baseline;

        (20..400).for_each(|n| finish(n, 1, false));

        assert_eq!(limiter.0.state.lock().unwrap().baseline, baseline);
    }
}
