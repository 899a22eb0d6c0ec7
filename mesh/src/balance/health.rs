//! Whether an endpoint may be picked: ejection, connect backoff, and what active checks say.
//!
//! A state machine without a clock, events or neighbours: the balancer tells it what happened, and decides whether an
//! ejection that is due may be (never the last endpoint, never more than half).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::dice::Dice;
use super::window::Window;
use crate::observe::Reason;
use crate::resource::Ejection;

/// The first wait after a connection failed.
const BACKOFF_BASE: Duration = Duration::from_millis(100);
/// The longest one: an endpoint that is back is used again within five seconds.
const BACKOFF_MAX: Duration = Duration::from_secs(4);

const EJECTED: u8 = 1;
const BACKOFF: u8 = 2;
const UNHEALTHY: u8 = 4;

/// One endpoint's health. While nothing is wrong, asking it is one atomic load.
#[derive(Debug)]
pub(crate) struct Health {
    /// Which of the three is wrong; written under `state`'s lock.
    flags: AtomicU8,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Faults since the last success.
    consecutive: u32,
    window: Window,
    ejected: Option<Ejected>,
    /// Ejections in a row; the exponent of the next one's length.
    ejections: u32,
    /// When the last ejection ended well, and how long it was.
    restored: Option<(Instant, Duration)>,
    backoff: Option<Backoff>,
    healthy: bool,
    /// The request that has the right to try an endpoint whose time is up.
    probe: Option<u64>,
    probes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ejected {
    until: Instant,
    length: Duration,
    reason: Reason,
}

#[derive(Clone, Copy, Debug)]
struct Backoff {
    until: Instant,
    failures: u32,
}

/// What a request told about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Success,
    Fault,
    Unreachable,
    Overload,
    /// Nothing: it was cancelled, or failed for its own reasons.
    Nothing,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Stays,
    /// It should be ejected, if the others allow it.
    EjectionDue(Reason),
    /// It is left out (longer) from now on.
    Left(Reason, Duration),
    /// It takes part again.
    Back,
}

/// A request may go to the endpoint; with the right to be its probe if it holds a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    pub(crate) probe: Option<u64>,
}

impl Health {
    /// Nothing is known and nothing wrong.
    pub(crate) fn new(limits: &Ejection, now: Instant) -> Health {
        let state = State {
            consecutive: 0,
            window: Window::new(limits.window, now),
            ejected: None,
            ejections: 0,
            restored: None,
            backoff: None,
            healthy: true,
            probe: None,
            probes: 0,
        };
        Health { flags: AtomicU8::new(0), state: Mutex::new(state) }
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_clear(&self) -> bool {
        self.flags.load(Ordering::Acquire) == 0
    }

    /// Whether it is ejected, its probe included.
    pub(crate) fn is_ejected(&self) -> bool {
        self.flags.load(Ordering::Acquire) & EJECTED != 0
    }

    /// Whether a request may go to it. Where an ejection's or backoff's time is up, one at a time may: the probe.
    pub(crate) fn admit(&self, now: Instant) -> Option<Admission> {
        if self.is_clear() {
            return Some(Admission { probe: None });
        }
        let mut state = self.lock();
        if !state.healthy || state.waits(now) {
            return None;
        }
        if !state.is_left_out() {
            return Some(Admission { probe: None });
        }
        state.take_probe().map(|probe| Admission { probe: Some(probe) })
    }

    /// Whether a request may go to it when health is not believed: any time but in backoff.
    pub(crate) fn admit_in_panic(&self, now: Instant) -> Option<Admission> {
        if self.is_clear() {
            return Some(Admission { probe: None });
        }
        let mut state = self.lock();
        if state.backoff.is_some_and(|backoff| backoff.until > now) {
            return None;
        }
        let due = state.is_left_out() && !state.waits(now);
        Some(Admission { probe: if due { state.take_probe() } else { None } })
    }

    /// Takes note of what a request saw. `probe` is what its [`Admission`] held.
    pub(crate) fn note(
        &self,
        seen: Seen,
        probe: Option<u64>,
        limits: &Ejection,
        dice: &Dice,
        now: Instant,
    ) -> Verdict {
        let mut state = self.lock();
        let is_probe = probe.is_some() && state.probe == probe;
        if is_probe {
            state.probe = None;
        }
        let verdict = match seen {
            Seen::Nothing => Verdict::Stays,
            Seen::Unreachable => state.back_off(dice, now),
            _ => state.judge(seen, is_probe, limits, dice, now),
        };
        self.publish(&state);
        verdict
    }

    /// Ejects it, unless it is already. Returns for how long.
    pub(crate) fn eject(
        &self,
        reason: Reason,
        limits: &Ejection,
        dice: &Dice,
        now: Instant,
    ) -> Option<Duration> {
        let mut state = self.lock();
        if state.ejected.is_some() {
            return None;
        }
        if state.restored.is_some_and(|(at, length)| now.duration_since(at) > length) {
            state.ejections = 0;
        }
        let length = state.leave_out(reason, limits, dice, now);
        self.publish(&state);
        Some(length)
    }

    /// When its ejection ends or ended, if it is ejected.
    pub(crate) fn ejected_until(&self) -> Option<Instant> {
        self.lock().ejected.map(|ejected| ejected.until)
    }

    /// Ends its ejection, whatever it was for.
    pub(crate) fn pardon(&self, limits: &Ejection, now: Instant) {
        let mut state = self.lock();
        state.restore(limits, now);
        self.publish(&state);
    }

    /// What active checks say now. Returns whether that is news.
    pub(crate) fn set_healthy(&self, healthy: bool) -> bool {
        let mut state = self.lock();
        let news = state.healthy != healthy;
        state.healthy = healthy;
        self.publish(&state);
        news
    }

    fn publish(&self, state: &State) {
        let flags = u8::from(state.ejected.is_some()) * EJECTED
            + u8::from(state.backoff.is_some()) * BACKOFF
            + u8::from(!state.healthy) * UNHEALTHY;
        // most answers change nothing: the others' copy of this line stays valid
        if self.flags.load(Ordering::Relaxed) != flags {
            self.flags.store(flags, Ordering::Release);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn is_left_out(&self) -> bool {
        self.ejected.is_some() || self.backoff.is_some()
    }

    /// Whether the time of an ejection or a backoff is not up.
    fn waits(&self, now: Instant) -> bool {
        self.ejected.is_some_and(|ejected| ejected.until > now)
            || self.backoff.is_some_and(|backoff| backoff.until > now)
    }

    fn take_probe(&mut self) -> Option<u64> {
        if self.probe.is_some() {
            return None;
        }
        self.probes += 1;
        self.probe = Some(self.probes);
        self.probe
    }

    /// A connection failed: ever longer pauses, of which those who failed at the same time make one.
    ///
    /// No ejection follows. Connecting costs the callers nothing (another endpoint takes the request), so an endpoint
    /// that restarts is found again within [`BACKOFF_MAX`], not after an ejection's minutes.
    fn back_off(&mut self, dice: &Dice, now: Instant) -> Verdict {
        if self.backoff.is_some_and(|backoff| backoff.until > now) {
            return Verdict::Stays;
        }
        let failures = self.backoff.map_or(0, |backoff| backoff.failures);
        let first = self.backoff.is_none();
        let pause = dice.jittered(doubled(BACKOFF_BASE, failures, BACKOFF_MAX));
        self.backoff = Some(Backoff { until: now + pause, failures: failures.saturating_add(1) });
        if first { Verdict::Left(Reason::Unreachable, pause) } else { Verdict::Stays }
    }

    /// There was a connection. Only an answer, or the probe, proves that there is one now: a reset may be the last word
    /// of an endpoint that has gone.
    fn judge(&mut self, seen: Seen, is_probe: bool, limits: &Ejection, dice: &Dice, now: Instant) -> Verdict {
        let connected = (seen != Seen::Fault || is_probe) && self.backoff.take().is_some();
        match (self.ejected, is_probe) {
            (Some(_), true) if seen == Seen::Success => {
                self.restore(limits, now);
                Verdict::Back
            }
            (Some(ejected), true) => {
                Verdict::Left(ejected.reason, self.leave_out(ejected.reason, limits, dice, now))
            }
            // what began before the ejection, or in panic, proves nothing about now
            (Some(_), false) => Verdict::Stays,
            (None, _) => match self.count(seen, limits, now) {
                _ if connected => Verdict::Back,
                Some(reason) => Verdict::EjectionDue(reason),
                None => Verdict::Stays,
            },
        }
    }

    /// Counts a success or a fault; the reason for an ejection if there is one.
    fn count(&mut self, seen: Seen, limits: &Ejection, now: Instant) -> Option<Reason> {
        match seen {
            Seen::Success => {
                self.consecutive = 0;
                self.window.resize(limits.window, now);
                self.window.add(true, now);
                None
            }
            Seen::Fault => {
                self.consecutive = self.consecutive.saturating_add(1);
                self.window.resize(limits.window, now);
                self.window.add(false, now);
                self.reason(limits, now)
            }
            Seen::Overload | Seen::Unreachable | Seen::Nothing => None,
        }
    }

    fn reason(&mut self, limits: &Ejection, now: Instant) -> Option<Reason> {
        if limits.consecutive_faults > 0 && self.consecutive >= limits.consecutive_faults {
            return Some(Reason::ConsecutiveFaults);
        }
        let counts = self.window.counts(now);
        counts.is_below(limits.success_rate, limits.min_requests).then_some(Reason::SuccessRate)
    }

    /// Ejects, for twice as long as the last time in a row.
    fn leave_out(&mut self, reason: Reason, limits: &Ejection, dice: &Dice, now: Instant) -> Duration {
        let length = dice.jittered(doubled(limits.base, self.ejections, limits.max));
        self.ejected = Some(Ejected { until: now + length, length, reason });
        self.ejections = self.ejections.saturating_add(1);
        self.probe = None;
        length
    }

    /// Ends an ejection: what was counted before it does not count again.
    fn restore(&mut self, limits: &Ejection, now: Instant) {
        if let Some(ejected) = self.ejected.take() {
            self.restored = Some((now, ejected.length));
        }
        self.consecutive = 0;
        self.window = Window::new(limits.window, now);
        self.probe = None;
    }
}

/// `base` × 2^`times`, `max` at most.
fn doubled(base: Duration, times: u32, max: Duration) -> Duration {
    base.saturating_mul(2u32.saturating_pow(times)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const NO_PROBE: Option<Admission> = Some(Admission { probe: None });

    struct Endpoint {
        health: Health,
        limits: Ejection,
        dice: Dice,
    }

    impl Endpoint {
        fn new(now: Instant) -> Endpoint {
            let limits = Ejection::default();
            Endpoint { health: Health::new(&limits, now), limits, dice: Dice::new(1) }
        }

        fn note(&self, seen: Seen, probe: Option<u64>, now: Instant) -> Verdict {
            self.health.note(seen, probe, &self.limits, &self.dice, now)
        }

        fn eject(&self, now: Instant) -> Duration {
            let reason = Reason::ConsecutiveFaults;
            self.health.eject(reason, &self.limits, &self.dice, now).expect("it is not ejected")
        }

        fn probe(&self, now: Instant) -> Option<u64> {
            self.health.admit(now).expect("its time is up").probe
        }
    }

    #[test]
    fn five_faults_in_a_row_make_an_ejection_due() {
        let now = Instant::now();
        let endpoint = Endpoint::new(now);

        (0..4).for_each(|_| assert_eq!(endpoint.note(Seen::Fault, None, now), Verdict::Stays));
        endpoint.note(Seen::Success, None, now);
        (0..4).for_each(|_| assert_eq!(endpoint.note(Seen::Fault, None, now), Verdict::Stays));
        endpoint.note(Seen::Overload, None, now);
        endpoint.note(Seen::Nothing, None, now);

        let due = Verdict::EjectionDue(Reason::ConsecutiveFaults);
        assert_eq!(endpoint.note(Seen::Fault, None, now), due, "overload is neither");
        assert!(endpoint.health.is_clear(), "due is not done");
    }

    #[test]
    fn a_low_success_rate_makes_an_ejection_due_at_any_rate_of_requests() {
        for pause in [Duration::from_micros(10), Duration::from_millis(400)] {
            let mut now = Instant::now();
            let endpoint = Endpoint::new(now);

            let verdicts: Vec<Verdict> = (0..20)
                .map(|i| {
                    now += pause;
                    endpoint.note(if i % 4 == 3 { Seen::Fault } else { Seen::Success }, None, now)
                })
                .collect();

            assert!(verdicts[..19].iter().all(|verdict| *verdict == Verdict::Stays), "{pause:?}");
            assert_eq!(verdicts[19], Verdict::EjectionDue(Reason::SuccessRate), "{pause:?}");
        }
    }

    #[test]
    fn limits_of_zero_never_eject() {
        let now = Instant::now();
        let mut endpoint = Endpoint::new(now);
        endpoint.limits.consecutive_faults = 0;
        endpoint.limits.success_rate = 0.0;

        for _ in 0..1_000 {
            assert_eq!(endpoint.note(Seen::Fault, None, now), Verdict::Stays);
        }
    }

    #[test]
    fn an_ejected_endpoint_has_one_probe_when_its_time_is_up() {
        let now = Instant::now();
        let endpoint = Endpoint::new(now);

        let length = endpoint.eject(now);

        assert!((4 * SEC..=5 * SEC).contains(&length));
        assert_eq!(endpoint.health.admit(now + length - Duration::from_nanos(1)), None);
        let up = now + length;
        let probe = endpoint.probe(up);
        assert!(probe.is_some());
        assert_eq!(endpoint.health.admit(up), None, "one at a time");
        assert_eq!(endpoint.health.admit_in_panic(up), NO_PROBE, "panic takes no second probe");
        assert_eq!(endpoint.note(Seen::Success, probe, up), Verdict::Back);
        assert_eq!(endpoint.health.admit(up), NO_PROBE);
    }

    #[test]
    fn a_probe_that_fails_ejects_for_longer_and_longer() {
        for failure in [Seen::Fault, Seen::Overload] {
            let mut now = Instant::now();
            let endpoint = Endpoint::new(now);
            let mut length = endpoint.eject(now);

            for times in 1..10 {
                now += length;
                let verdict = endpoint.note(failure, endpoint.probe(now), now);
                let Verdict::Left(reason, longer) = verdict else { panic!("{verdict:?}") };

                let full = (5 * SEC * 2u32.pow(times)).min(300 * SEC);
                assert_eq!(reason, Reason::ConsecutiveFaults);
                assert!((full.mul_f64(0.8)..=full).contains(&longer), "{times}: {longer:?}");
                assert_eq!(endpoint.health.admit(now), None);
                length = longer;
            }
        }
    }

    #[test]
    fn a_probe_that_was_cancelled_gives_the_right_back() {
        let now = Instant::now();
        let endpoint = Endpoint::new(now);
        let up = now + endpoint.eject(now);
        let probe = endpoint.probe(up);

        assert_eq!(endpoint.note(Seen::Nothing, probe, up), Verdict::Stays);

        let next = endpoint.probe(up);
        assert!(next.is_some() && next != probe);
        assert_eq!(endpoint.note(Seen::Success, probe, up), Verdict::Stays, "the right is no longer its own");
        assert!(endpoint.health.is_ejected());
    }

    #[test]
    fn late_answers_neither_restore_nor_prolong() {
        let now = Instant::now();
        let endpoint = Endpoint::new(now);
        let length = endpoint.eject(now);

        assert_eq!(endpoint.note(Seen::Success, None, now), Verdict::Stays);
        (0..10).for_each(|_| assert_eq!(endpoint.note(Seen::Fault, None, now), Verdict::Stays));

        assert!(endpoint.health.is_ejected());
        assert_eq!(endpoint.health.ejected_until(), Some(now + length));
        assert_eq!(endpoint.health.eject(Reason::SuccessRate, &endpoint.limits, &endpoint.dice, now), None);
    }

    #[test]
    fn a_relapse_ejects_for_longer_but_a_good_while_is_a_new_start() {
        let now = Instant::now();
        let endpoint = Endpoint::new(now);
        let up = now + endpoint.eject(now);
        endpoint.note(Seen::Success, endpoint.probe(up), up);

        let relapse = endpoint.eject(up + SEC);
        assert!(relapse > 5 * SEC, "{relapse:?}");

        let up = up + SEC + relapse;
        endpoint.note(Seen::Success, endpoint.probe(up), up);
        assert!(endpoint.eject(up + relapse + SEC) <= 5 * SEC);
    }

    #[test]
    fn what_was_counted_before_an_ejection_does_not_eject_again() {
        let now = Instant::now();
        let endpoint = Endpoint::new(now);
        (0..30).for_each(|_| _ = endpoint.note(Seen::Fault, None, now));
        let up = now + endpoint.eject(now);
        endpoint.note(Seen::Success, endpoint.probe(up), up);

        assert_eq!(endpoint.note(Seen::Fault, None, up), Verdict::Stays);
    }

    #[test]
    fn failed_connections_back_off_up_to_ten_seconds_with_one_try_each() {
        let mut now = Instant::now();
        let endpoint = Endpoint::new(now);

        let first = endpoint.note(Seen::Unreachable, None, now);
        assert!(
            matches!(first, Verdict::Left(Reason::Unreachable, pause) if pause <= Duration::from_millis(100))
        );
        assert_eq!(
            endpoint.note(Seen::Unreachable, None, now),
            Verdict::Stays,
            "the same moment's failures are one"
        );
        for failures in 1..12u32 {
            let full = BACKOFF_MAX.min(BACKOFF_BASE * 2u32.pow(failures - 1));
            assert_eq!(endpoint.health.admit(now), None);
            assert_eq!(endpoint.health.admit(now + full.mul_f64(0.79)), None, "{failures}");
            now += full;
            let probe = endpoint.probe(now);
            assert_eq!(endpoint.health.admit(now), None, "one at a time");
            assert_eq!(endpoint.note(Seen::Unreachable, probe, now), Verdict::Stays);
        }
        now += BACKOFF_MAX;

        assert_eq!(endpoint.note(Seen::Fault, None, now), Verdict::Stays, "a reset proves no connection");
        assert!(!endpoint.health.is_clear());
        assert_eq!(endpoint.note(Seen::Fault, endpoint.probe(now), now), Verdict::Back, "the probe does");
        assert!(endpoint.health.is_clear());
    }

    #[test]
    fn a_probe_that_finds_nobody_leaves_the_ejection_as_long_as_it_was() {
        let now = Instant::now();
        let endpoint = Endpoint::new(now);
        let up = now + endpoint.eject(now);

        endpoint.note(Seen::Unreachable, endpoint.probe(up), up);

        assert_eq!(endpoint.health.admit(up), None, "in backoff");
        let later = up + BACKOFF_BASE;
        assert_eq!(endpoint.note(Seen::Success, endpoint.probe(later), later), Verdict::Back);
        assert!(endpoint.health.is_clear());
    }

    #[test]
    fn what_checks_find_unhealthy_is_only_used_in_panic() {
        let now = Instant::now();
        let endpoint = Endpoint::new(now);

        assert!(endpoint.health.set_healthy(false));
        assert!(!endpoint.health.set_healthy(false), "no news");

        assert_eq!(endpoint.health.admit(now), None);
        assert_eq!(endpoint.health.admit_in_panic(now), NO_PROBE);
        assert!(endpoint.health.set_healthy(true));
        assert_eq!(endpoint.health.admit(now), NO_PROBE);
    }

    #[test]
    fn panic_spares_what_cannot_be_connected_to() {
        let now = Instant::now();
        let endpoint = Endpoint::new(now);
        endpoint.note(Seen::Unreachable, None, now);

        assert_eq!(endpoint.health.admit_in_panic(now), None);
        assert!(
            endpoint
                .health
                .admit_in_panic(now + BACKOFF_BASE)
                .is_some_and(|admission| admission.probe.is_some())
        );
    }
}
