//! What is pushed to a workload: all of it is taken, or what of it can be in force.

use std::collections::{BTreeMap, BTreeSet};

use base::Result;

use super::agent::{Shared, Workload};
use super::held::Held;
use super::{ENDPOINTS, ROOTS, Resource};
use crate::observe::Name;

impl Shared {
    /// Takes what was pushed to `workload`: all of it, or what of it can be in force. Returns what is not, and why.
    ///
    /// It compiles the configuration: call it where that may take its time.
    pub(super) fn take(
        &self,
        workload: &Workload,
        set: &BTreeMap<String, Resource>,
        removed: &BTreeSet<String>,
        complete: bool,
    ) -> BTreeMap<String, String> {
        let mut all = self.held();
        let mut rejected = BTreeMap::new();
        let before = all.get(&workload.service).cloned().unwrap_or_default();
        let mut next = before.clone();
        for (key, resource) in set {
            if let Err(reason) = self.set(workload, &mut next, key, resource) {
                rejected.insert(key.clone(), reason);
            }
        }
        removed.iter().for_each(|key| next.remove(key));
        let touched = |key: &&String| !key.starts_with(ENDPOINTS) && next.get(key) != before.get(key);
        let changed: Vec<String> = set.keys().chain(removed).filter(touched).cloned().collect();
        if !changed.is_empty() {
            all.insert(workload.service.clone(), next.clone());
            if self.apply(&all).is_err() {
                // one by one: the bad ones stay as they were
                rejected.extend(self.apply_each(&mut all, workload, &before, &next, &changed));
                next = all[&workload.service].clone();
            }
        }
        for key in set.keys().filter_map(|key| key.strip_prefix(ENDPOINTS)) {
            if let Some(found) = next.endpoints(key) {
                self.directory.tell(key, found);
            }
        }
        if let Err(error) = workload.keeper.state.keep_resources(next.resources()) {
            tracing::warn!(%error, "the last good configuration was not kept on disk");
        }
        all.insert(workload.service.clone(), next);
        if complete {
            workload.complete.send_replace(true);
        }
        rejected
    }

    fn set(
        &self,
        workload: &Workload,
        next: &mut Held,
        key: &str,
        resource: &Resource,
    ) -> Result<(), String> {
        if key == ROOTS {
            // first in force, then held: what is held is not pushed again
            let mut tried = Held::default();
            tried.set(key, resource)?;
            workload.keeper.take_roots(&tried.roots().unwrap_or_default())?;
        }
        next.set(key, resource)
    }

    fn apply_each(
        &self,
        all: &mut BTreeMap<Name, Held>,
        workload: &Workload,
        before: &Held,
        next: &Held,
        changed: &[String],
    ) -> BTreeMap<String, String> {
        let mut rejected = BTreeMap::new();
        all.insert(workload.service.clone(), with_endpoints_of(before, next));
        for key in changed {
            let held = all.get_mut(&workload.service).expect("it was put there above");
            held.put_back(key, next.get(key).cloned());
            if let Err(error) = self.apply(all) {
                let held = all.get_mut(&workload.service).expect("it was put there above");
                held.put_back(key, before.get(key).cloned());
                rejected.insert(key.clone(), error.message.into_owned());
            }
        }
        rejected
    }

    fn apply(&self, all: &BTreeMap<Name, Held>) -> Result<()> {
        self.attached().map_or(Ok(()), |attached| (attached.apply)(self.composed(all)))
    }
}

/// `before` with the endpoint sets of `next`.
fn with_endpoints_of(before: &Held, next: &Held) -> Held {
    let mut held = before.clone();
    for (key, resource) in next.resources().iter().filter(|(key, _)| key.starts_with(ENDPOINTS)) {
        held.put_back(key, Some(resource.clone()));
    }
    held
}
