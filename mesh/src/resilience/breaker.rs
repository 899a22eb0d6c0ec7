//! A breaker for each project: calls that a project's own trouble would fail are refused at once.
//!
//! A project's database that is away must cost neither its callers a timeout each nor the service its places. After
//! some tenant faults in a row the project's calls are refused for a time; then one of them is let through as a probe
//! while the others are still refused. It closes the breaker or opens it for twice as long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::balance::Dice;
use crate::resource::TenantBreaker;
use crate::traffic::hash::hash;

/// The most projects in trouble that are remembered for one service. One too many takes the place of the one whose
/// last fault is longest ago among those that are not refused now; if there is none, it has no breaker.
const MAX_PROJECTS: usize = 10_000;

/// The breakers of one service's projects. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct TenantBreakers(Arc<Inner>);

/// A request that may go, to be handed back to [`TenantBreakers::record`] with what became of it.
///
/// Dropped without that, a probe gives its right to the next request.
#[derive(Debug)]
#[must_use = "what became of the request is recorded with this"]
pub(crate) struct Pass(Option<Probe>);

/// What a record changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The project's calls are refused from now on, for this time.
    Opened(Duration),
    /// The project's calls are let through again.
    Closed,
}

#[derive(Debug)]
struct Inner {
    spec: TenantBreaker,
    dice: Dice,
    /// How many projects in trouble have a name of this hash: nobody else needs the lock.
    troubled: [AtomicU32; 256],
    projects: Mutex<HashMap<Arc<str>, Trouble>>,
}

/// A project that had a tenant fault since its last answer.
#[derive(Debug)]
struct Trouble {
    /// In a row.
    faults: u32,
    last_fault_at: Instant,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    /// How often it opened since it was last closed.
    times: u32,
    probing: bool,
}

#[derive(Debug)]
struct Probe {
    breakers: Arc<Inner>,
    project: Arc<str>,
}

impl Pass {
    /// Whether it decides what becomes of an open breaker.
    pub(crate) fn is_probe(&self) -> bool {
        self.0.is_some()
    }
}

impl TenantBreakers {
    /// Breakers as `spec` has them; `seed` decides the jitter.
    pub(crate) fn new(spec: &TenantBreaker, seed: u64) -> TenantBreakers {
        TenantBreakers(Arc::new(Inner {
            spec: spec.clone(),
            dice: Dice::new(seed),
            troubled: [const { AtomicU32::new(0) }; 256],
            projects: Mutex::new(HashMap::new()),
        }))
    }

    /// Whether a request of `project` may go. No lock unless the project (or one of 256th of all) is in trouble.
    ///
    /// Errors: the time after which it makes sense to ask again.
    pub(crate) fn check(&self, project: &str, now: Instant) -> Result<Pass, Duration> {
        if !self.0.may_be_troubled(project) {
            return Ok(Pass(None));
        }
        let mut projects = self.0.projects();
        let Some(trouble) = projects.get_mut(project) else { return Ok(Pass(None)) };
        let Some(open) = &mut trouble.open else { return Ok(Pass(None)) };
        if now < open.until {
            return Err(open.until - now);
        }
        if open.probing {
            return Err(self.0.spec.base);
        }
        open.probing = true;
        let (name, _) = projects.get_key_value(project).expect("it was found above");
        Ok(Pass(Some(Probe { breakers: self.0.clone(), project: name.clone() })))
    }

    /// Tells what became of a request of `project`: a tenant fault, or anything else. No lock if all is well.
    ///
    /// While the breaker is open only its probe counts: requests that were under way before say nothing new.
    pub(crate) fn record(
        &self,
        project: &str,
        pass: Pass,
        tenant_fault: bool,
        now: Instant,
    ) -> Option<Change> {
        let is_probe = pass.is_probe();
        let change = match tenant_fault {
            true => self.0.fault(project, is_probe, now),
            false => self.0.answer(project, is_probe),
        };
        // last, so that the right to probe stays taken until it is known what the probe found
        drop(pass);
        change
    }
}

impl Inner {
    fn slot(&self, project: &str) -> &AtomicU32 {
        &self.troubled[(hash(project.as_bytes()) % 256) as usize]
    }

    fn may_be_troubled(&self, project: &str) -> bool {
        self.slot(project).load(Ordering::Relaxed) > 0
    }

    fn projects(&self) -> MutexGuard<'_, HashMap<Arc<str>, Trouble>> {
        self.projects.lock().expect("no holder of this lock panics")
    }

    fn fault(&self, project: &str, is_probe: bool, now: Instant) -> Option<Change> {
        if self.spec.consecutive_faults == 0 {
            return None;
        }
        let mut projects = self.projects();
        if !projects.contains_key(project) && !self.make_room(&mut projects, project, now) {
            return None;
        }
        let trouble = projects.get_mut(project)?;
        if trouble.open.is_some() && !is_probe {
            return None;
        }
        trouble.faults += 1;
        trouble.last_fault_at = now;
        if !is_probe && trouble.faults < self.spec.consecutive_faults {
            return None;
        }
        let times = trouble.open.as_ref().map_or(1, |open| open.times.saturating_add(1));
        let length = self.length(times);
        trouble.open = Some(Open { until: now + length, times, probing: false });
        Some(Change::Opened(length))
    }

    /// Takes a place for `project`, one of another if need be. O(1), or O(projects in trouble) if all are taken.
    fn make_room(&self, projects: &mut HashMap<Arc<str>, Trouble>, project: &str, now: Instant) -> bool {
        if projects.len() >= MAX_PROJECTS {
            let refused = |trouble: &Trouble| trouble.open.as_ref().is_some_and(|open| open.until > now);
            let others = projects.iter().filter(|(_, trouble)| !refused(trouble));
            let oldest = others.min_by_key(|(_, trouble)| (trouble.open.is_some(), trouble.last_fault_at));
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { return false };
            self.forget(projects, &oldest);
        }
        projects.insert(project.into(), Trouble { faults: 0, last_fault_at: now, open: None });
        self.slot(project).fetch_add(1, Ordering::Relaxed);
        true
    }

    fn forget(&self, projects: &mut HashMap<Arc<str>, Trouble>, project: &str) {
        if projects.remove(project).is_some() {
            self.slot(project).fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn answer(&self, project: &str, is_probe: bool) -> Option<Change> {
        if !self.may_be_troubled(project) {
            return None;
        }
        let mut projects = self.projects();
        let was_open = projects.get(project)?.open.is_some();
        if was_open && !is_probe {
            return None;
        }
        self.forget(&mut projects, project);
        was_open.then_some(Change::Closed)
    }

    /// How long it stays open the `times`th time: twice as long each time, minus up to a quarter, so that many
    /// proxies do not all probe at once.
    fn length(&self, times: u32) -> Duration {
        let doubled = 2_u32.checked_pow(times - 1).and_then(|factor| self.spec.base.checked_mul(factor));
        let whole = doubled.unwrap_or(self.spec.max).min(self.spec.max);
        whole.mul_f64(1.0 - self.dice.unit() / 4.0)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut projects = self.breakers.projects();
        if let Some(open) = projects.get_mut(&self.project).and_then(|trouble| trouble.open.as_mut()) {
            open.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(500);

    fn breakers() -> TenantBreakers {
        TenantBreakers::new(&TenantBreaker { consecutive_faults: 3, base: BASE, max: 4 * BASE }, 1)
    }

    /// One request of `project`: `None` if it was refused.
    fn request(
        breakers: &TenantBreakers,
        project: &str,
        fault: bool,
        now: Instant,
    ) -> Option<Option<Change>> {
        let pass = breakers.check(project, now).ok()?;
        Some(breakers.record(project, pass, fault, now))
    }

    /// Opens the breaker of `project` and says for how long.
    fn open(breakers: &TenantBreakers, project: &str, now: Instant) -> Duration {
        for _ in 0..2 {
            assert_eq!(request(breakers, project, true, now), Some(None));
        }
        opened(request(breakers, project, true, now))
    }

    fn opened(change: Option<Option<Change>>) -> Duration {
        match change {
            Some(Some(Change::Opened(length))) => length,
            other => panic!("not opened: {other:?}"),
        }
    }

    #[test]
    fn faults_in_a_row_open_it_for_that_project_alone() {
        let (breakers, now) = (breakers(), Instant::now());

        let length = open(&breakers, "a", now);

        assert_eq!(breakers.check("a", now).unwrap_err(), length);
        assert!(breakers.check("b", now).is_ok());
    }

    #[test]
    fn an_answer_between_faults_begins_the_count_anew() {
        let (breakers, now) = (breakers(), Instant::now());
        let faults = [true, true, false, true, true];

        let changes = faults.map(|fault| request(&breakers, "a", fault, now));

        assert!(changes.iter().all(|change| *change == Some(None)), "{changes:?}");
    }

    #[test]
    fn one_probe_goes_after_the_time_and_closes_it() {
        let (breakers, now) = (breakers(), Instant::now());
        let length = open(&breakers, "a", now);
        assert!(breakers.check("a", now + length - Duration::from_millis(1)).is_err());

        let probe = breakers.check("a", now + length).unwrap();

        assert_eq!(breakers.check("a", now + length).unwrap_err(), BASE, "one probe is enough");
        assert_eq!(breakers.record("a", probe, false, now + length), Some(Change::Closed));
        assert_eq!(request(&breakers, "a", true, now + length), Some(None));
        assert!(breakers.check("a", now + length).is_ok());
    }

    #[test]
    fn a_failed_probe_opens_it_for_longer_up_to_the_longest_time() {
        let (breakers, mut now) = (breakers(), Instant::now());
        let mut length = open(&breakers, "a", now);

        for whole in [BASE, 2 * BASE, 4 * BASE, 4 * BASE, 4 * BASE] {
            assert!(length <= whole && length >= whole * 3 / 4, "{length:?} for {whole:?}");
            now += length;
            length = opened(request(&breakers, "a", true, now));
            assert!(breakers.check("a", now).is_err());
        }
    }

    #[test]
    fn a_dropped_probe_gives_its_right_back() {
        let (breakers, now) = (breakers(), Instant::now());
        let later = now + open(&breakers, "a", now);

        drop(breakers.check("a", later).unwrap());

        assert!(breakers.check("a", later).is_ok());
    }

    #[test]
    fn requests_from_before_neither_close_nor_prolong_it() {
        let (breakers, now) = (breakers(), Instant::now());
        let early = [breakers.check("a", now).unwrap(), breakers.check("a", now).unwrap()];
        let length = open(&breakers, "a", now);

        let [fault, answer] = early;
        assert_eq!(breakers.record("a", fault, true, now + BASE), None);
        assert_eq!(breakers.record("a", answer, false, now + BASE), None);

        assert_eq!(breakers.check("a", now).unwrap_err(), length);
    }

    #[test]
    fn zero_faults_means_never() {
        let breakers = TenantBreakers::new(&TenantBreaker { consecutive_faults: 0, ..Default::default() }, 1);
        let now = Instant::now();

        for _ in 0..100 {
            assert_eq!(request(&breakers, "a", true, now), Some(None));
        }
    }

    #[test]
    fn without_trouble_nothing_is_remembered() {
        let (breakers, now) = (breakers(), Instant::now());
        open(&breakers, "a", now);
        request(&breakers, "b", true, now);
        request(&breakers, "b", false, now);
        request(&breakers, "a", false, now + 4 * BASE);

        assert!(breakers.0.projects().is_empty());
        assert!(breakers.0.troubled.iter().all(|count| count.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn projects_that_are_refused_are_never_forgotten() {
        let spec = TenantBreaker { consecutive_faults: 1, base: BASE, max: BASE };
        let (breakers, now) = (TenantBreakers::new(&spec, 1), Instant::now());
        for n in 0..MAX_PROJECTS {
            request(&breakers, &format!("p{n}"), true, now);
        }

        assert_eq!(request(&breakers, "new", true, now), Some(None));
        assert!(breakers.check("p0", now).is_err());

        assert!(matches!(request(&breakers, "new", true, now + BASE), Some(Some(Change::Opened(_)))));
    }

    #[test]
    fn a_full_table_forgets_the_oldest_that_is_not_open() {
        let (breakers, start) = (breakers(), Instant::now());
        open(&breakers, "open", start);
        let at = |n: usize| start + Duration::from_micros(n as u64);
        for n in 1..MAX_PROJECTS {
            request(&breakers, &format!("p{n}"), true, at(n));
        }

        request(&breakers, "new", true, at(MAX_PROJECTS));

        let projects = breakers.0.projects();
        assert_eq!(projects.len(), MAX_PROJECTS);
        assert!(projects.contains_key("open") && projects.contains_key("new") && projects.contains_key("p2"));
        assert!(!projects.contains_key("p1"));
    }
}
