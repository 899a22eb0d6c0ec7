//! Reads that come again and again: parsed, planned and rendered once.
//!
//! What a read means depends on its question and on the project as it is, not on who asks: the caller's role and claims
//! are settings of its transaction. So plans are cached in a snapshot, and go with it.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::plan::Plan;
use crate::render::Sql;
use crate::request::{ApiRequest, Question};

/// How many are cached: one in each slot, which its hash chooses.
const SLOTS: usize = 256;
/// A longer question is not cached. In bytes.
const MAX_QUESTION_BYTES: usize = 2048;
/// Nor is a longer statement. In bytes: a plan has some ten times as many, so all of them together some 20 MB at most.
const MAX_STATEMENT_BYTES: usize = 8 * 1024;

/// What a read came to.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) request: ApiRequest,
    pub(crate) plan: Plan,
    pub(crate) main: Sql,
}

/// The plans of a project's reads.
#[derive(Debug)]
pub(crate) struct PlanCache {
    slots: Mutex<Vec<Slot>>,
    state: RandomState,
}

#[derive(Debug, Default)]
struct Slot {
    /// The hash of the last question that was not cached.
    last_hash: u64,
    cached: Option<(Question, Arc<Cached>)>,
    /// Whether it was used since another question would have taken its slot: then it stays once more.
    used: bool,
}

/// What is known of a question.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// It comes for the first time, as most do that come once; or it is not to be cached.
    First,
    /// It came before: it is worth caching, in this slot.
    Again(usize),
    /// It is cached.
    Ready(Arc<Cached>),
}

impl Default for PlanCache {
    fn default() -> PlanCache {
        PlanCache { slots: Mutex::default(), state: RandomState::new() }
    }
}

impl PlanCache {
    /// Looks a question up, and remembers that it came.
    pub(crate) fn look_up(&self, question: &Question) -> Lookup {
        if !question.is_read() || question.len() > MAX_QUESTION_BYTES {
            return Lookup::First;
        }
        let hash = self.state.hash_one(question);
        let at = hash as usize % SLOTS;
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.resize_with(SLOTS, Slot::default);
        let slot = &mut slots[at];
        match &slot.cached {
            Some((cached, read)) if cached == question => {
                slot.used = true;
                Lookup::Ready(read.clone())
            }
            _ if std::mem::replace(&mut slot.last_hash, hash) != hash => Lookup::First,
            _ if std::mem::take(&mut slot.used) => Lookup::First,
            _ => Lookup::Again(at),
        }
    }

    /// Keeps a read in the place of whatever is in that slot.
    pub(crate) fn keep(&self, at: usize, question: &Question, read: Cached) {
        let Some(question) = question.detached() else { return };
        if read.main.text().len() > MAX_STATEMENT_BYTES {
            return;
        }
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let old = slots.get_mut(at).and_then(|slot| slot.cached.replace((question, Arc::new(read))));
        drop(slots);
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::plan::tests::{cache, request};
    use crate::render::main;
    use crate::settings::Settings;

    fn question(address: &str) -> Question {
        let request = http::Request::builder().uri(address).body(()).unwrap();
        Question::of(&request.into_parts().0)
    }

    fn read(address: &str) -> Cached {
        let (request, settings) = (request(Method::GET, address, "", "").unwrap(), Settings::default());
        let plan = crate::plan::plan(&request, &cache(), &settings).unwrap();
        let main = main(&plan, &request, &settings);
        Cached { request, plan, main }
    }

    /// Two questions that share a slot.
    fn neighbours(plans: &PlanCache) -> (String, String) {
        let slot_of = |address: &str| plans.state.hash_one(question(address)) as usize % SLOTS;
        let first = "/todos?id=eq.0".to_owned();
        let other =
            (1..).map(|n| format!("/todos?id=eq.{n}")).find(|other| slot_of(other) == slot_of(&first));
        (first, other.unwrap())
    }

    fn kept(plans: &PlanCache, address: &str) {
        while !matches!(plans.look_up(&question(address)), Lookup::Ready(_)) {
            if let Lookup::Again(slot) = plans.look_up(&question(address)) {
                plans.keep(slot, &question(address), read(address));
            }
        }
    }

    #[test]
    fn a_read_is_ready_from_the_third_time_on() {
        let plans = PlanCache::default();
        let asked = question("/todos?id=eq.1");

        assert!(matches!(plans.look_up(&asked), Lookup::First));
        let Lookup::Again(slot) = plans.look_up(&asked) else { panic!("it came before") };
        plans.keep(slot, &asked, read("/todos?id=eq.1"));
        assert!(matches!(plans.look_up(&asked), Lookup::Ready(read) if read.request.range.is_all()));
        assert!(!matches!(plans.look_up(&question("/todos?id=eq.2")), Lookup::Ready(_)));
    }

    #[test]
    fn a_slot_is_for_one_question_whatever_its_hash() {
        let plans = PlanCache::default();
        let asked = question("/todos?id=eq.1");
        for slot in 0..SLOTS {
            let _ = plans.look_up(&asked);
            plans.keep(slot, &question("/todos?id=eq.2"), read("/todos?id=eq.2"));
        }

        assert!(!matches!(plans.look_up(&asked), Lookup::Ready(_)));
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_makes_room() {
        let plans = PlanCache::default();
        let (first, other) = neighbours(&plans);
        kept(&plans, &first);

        for _ in 0..9 {
            assert!(matches!(plans.look_up(&question(&first)), Lookup::Ready(_)));
            assert!(!matches!(plans.look_up(&question(&other)), Lookup::Again(_)));
        }
        kept(&plans, &other);
        assert!(!matches!(plans.look_up(&question(&first)), Lookup::Ready(_)));
    }

    #[test]
    fn writes_and_what_is_long_are_not_cached() {
        let plans = PlanCache::default();
        let long = question(&format!("/todos?title=eq.{}", "x".repeat(MAX_QUESTION_BYTES)));
        let write = Question { method: Method::POST, ..question("/todos") };
        for asked in [long, write] {
            for _ in 0..3 {
                assert!(matches!(plans.look_up(&asked), Lookup::First));
            }
        }

        let (asked, mut long) = (question("/todos"), read("/todos"));
        let _ = plans.look_up(&asked);
        long.main = Sql::fixed("x".repeat(MAX_STATEMENT_BYTES + 1).leak(), Vec::new());
        plans.keep(plans.state.hash_one(&asked) as usize % SLOTS, &asked, long);
        assert!(!matches!(plans.look_up(&asked), Lookup::Ready(_)));
    }
}
