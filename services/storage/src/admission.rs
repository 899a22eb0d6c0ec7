//! How many uploads run at once: over all projects, and for each, so that one cannot take every place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base::Result;
use uuid::Uuid;

use crate::error::slow_down;

/// The places for uploads. A further one is refused at once instead of queued.
#[derive(Clone)]
pub(crate) struct Admission(Arc<Inner>);

struct Inner {
    total: usize,
    per_project: usize,
    taken: Mutex<HashMap<Uuid, usize>>,
}

/// A place; given back on drop.
pub(crate) struct Permit {
    admission: Admission,
    project: Uuid,
}

impl Admission {
    pub(crate) fn new(total: usize, per_project: usize) -> Admission {
        Admission(Arc::new(Inner { total, per_project, taken: Mutex::new(HashMap::new()) }))
    }

    /// Takes a place for `project`, or says `SlowDown`.
    pub(crate) fn enter(&self, project: Uuid) -> Result<Permit> {
        let mut taken = self.0.taken.lock().expect("no holder of this lock panics");
        let all: usize = taken.values().sum();
        let own = taken.get(&project).copied().unwrap_or_default();
        if all >= self.0.total || own >= self.0.per_project {
            return Err(slow_down("Too many uploads at once"));
        }
        taken.insert(project, own + 1);
        Ok(Permit { admission: self.clone(), project })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.admission.0.taken.lock().expect("no holder of this lock panics");
        if let Some(own) = taken.get_mut(&self.project) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.project);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_project_cannot_take_every_place() {
        let admission = Admission::new(3, 2);
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));

        let first = admission.enter(a).unwrap();
        let _second = admission.enter(a).unwrap();
        assert!(admission.enter(a).is_err());
        let _third = admission.enter(b).unwrap();
        assert!(admission.enter(b).is_err());

        drop(first);
        assert!(admission.enter(b).is_ok());
    }
}
