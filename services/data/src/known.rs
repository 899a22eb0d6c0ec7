//! Reads that come again and again: parsed, planned and rendered once.
//!
//! What a read means depends on its question and on the project as it is, not on who asks: the caller's role and claims
//! are settings of its transaction. So what is known belongs to a snapshot, and goes with it.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::plan::Plan;
use crate::render::Sql;
use crate::request::{ApiRequest, Question};

/// How many are remembered: one in each slot, which its hash chooses.
const SLOTS: usize = 256;
/// A longer question is not remembered. In bytes.
const MAX_BYTES: usize = 2048;

/// A read that was understood.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) request: ApiRequest,
    pub(crate) plan: Plan,
    pub(crate) main: Sql,
}

/// The reads that are known of a project.
#[derive(Debug)]
pub(crate) struct Known {
    slots: Mutex<Vec<Slot>>,
    state: RandomState,
}

#[derive(Debug, Default)]
struct Slot {
    /// The hash of the last question that was not known.
    last: u64,
    kept: Option<(Question, Arc<Read>)>,
}

/// What is known of a question.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// It was understood before.
    Known(Arc<Read>),
    /// It came before: it is worth keeping, in this slot.
    Again(usize),
    /// It came for the first time, as most do that come once; or it is not to be kept.
    New,
}

impl Default for Known {
    fn default() -> Known {
        Known { slots: Mutex::default(), state: RandomState::new() }
    }
}

impl Known {
    /// Looks a question up, and remembers that it came.
    pub(crate) fn look_up(&self, question: &Question) -> Lookup {
        if !question.is_read() || question.len() > MAX_BYTES {
            return Lookup::New;
        }
        let hash = self.state.hash_one(question);
        let at = hash as usize % SLOTS;
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.resize_with(SLOTS, Slot::default);
        let slot = &mut slots[at];
        match &slot.kept {
            Some((kept, read)) if kept == question => Lookup::Known(read.clone()),
            _ if std::mem::replace(&mut slot.last, hash) == hash => Lookup::Again(at),
            _ => Lookup::New,
        }
    }

    /// Keeps a read in the place of whatever is in that slot.
    pub(crate) fn keep(&self, at: usize, question: &Question, read: Read) {
        let Some(question) = question.detached() else { return };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let old = slots.get_mut(at).and_then(|slot| slot.kept.replace((question, Arc::new(read))));
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

    fn read(address: &str) -> Read {
        let (request, settings) = (request(Method::GET, address, "", "").unwrap(), Settings::default());
        let plan = crate::plan::plan(&request, &cache(), &settings).unwrap();
        let main = main(&plan, &request, &settings);
        Read { request, plan, main }
    }

    #[test]
    fn a_read_is_known_from_the_third_time_on() {
        let known = Known::default();
        let asked = question("/todos?id=eq.1");

        assert!(matches!(known.look_up(&asked), Lookup::New));
        let Lookup::Again(slot) = known.look_up(&asked) else { panic!("it came before") };
        known.keep(slot, &asked, read("/todos?id=eq.1"));
        assert!(matches!(known.look_up(&asked), Lookup::Known(read) if read.request.range.is_all()));
        assert!(!matches!(known.look_up(&question("/todos?id=eq.2")), Lookup::Known(_)));
    }

    #[test]
    fn a_slot_is_for_one_question_whatever_its_hash() {
        let known = Known::default();
        let asked = question("/todos?id=eq.1");
        for slot in 0..SLOTS {
            let _ = known.look_up(&asked);
            known.keep(slot, &question("/todos?id=eq.2"), read("/todos?id=eq.2"));
        }

        assert!(!matches!(known.look_up(&asked), Lookup::Known(_)));
    }

    #[test]
    fn writes_and_long_questions_are_never_worth_keeping() {
        let known = Known::default();
        let long = question(&format!("/todos?title=eq.{}", "x".repeat(MAX_BYTES)));
        let write = Question { method: Method::POST, ..question("/todos") };
        for asked in [long, write] {
            for _ in 0..3 {
                assert!(matches!(known.look_up(&asked), Lookup::New));
            }
        }
    }
}
