//! How many connections each identity has at a door: one of them cannot take all there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::identity::Identity;

/// Connections of one identity at a time: half of what a door takes.
const MOST: usize = base::serve::MAX_CONNECTIONS / 2;

/// The connections of each identity. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Peers(Arc<Mutex<HashMap<Identity, usize>>>);

/// A connection's place, given back when this is dropped.
pub(crate) struct Place {
    peers: Peers,
    peer: Identity,
}

impl Peers {
    /// A place for one more connection of `peer`; `None` if it has as many as it may.
    pub(super) fn enter(&self, peer: &Identity) -> Option<Place> {
        let mut counts = self.counts();
        let count = counts.entry(peer.clone()).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { peers: self.clone(), peer: peer.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Identity, usize>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.peers.counts();
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_identity_takes_half_and_the_others_find_room() {
        let peers = Peers::default();
        let [greedy, other] = ["greedy", "other"].map(|name| Identity::new("mesh.local", name));
        let mut held: Vec<Place> = (0..MOST).map(|_| peers.enter(&greedy).unwrap()).collect();

        assert!(peers.enter(&greedy).is_none());
        assert!(peers.enter(&other).is_some());

        held.pop();
        assert!(peers.enter(&greedy).is_some(), "a place that was given back");
        drop(held);
        assert!(peers.counts().is_empty());
    }
}
