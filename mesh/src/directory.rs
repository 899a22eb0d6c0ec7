//! Where each service is. One process fills it with local endpoints; discovery fills it with remote ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::endpoint::Endpoint;

/// Service name → endpoint. Cheap to clone; all clones see an addition at once.
#[derive(Clone, Default)]
pub struct Directory(Arc<ArcSwap<BTreeMap<String, Endpoint>>>);

impl Directory {
    /// Adds or replaces a service's endpoint.
    pub fn insert(&self, service: impl Into<String>, endpoint: Endpoint) {
        let service = service.into();
        self.0.rcu(|endpoints| {
            let mut endpoints = BTreeMap::clone(endpoints);
            endpoints.insert(service.clone(), endpoint.clone());
            endpoints
        });
    }

    /// The service's endpoint.
    pub fn find(&self, service: &str) -> Option<Endpoint> {
        self.0.load().get(service).cloned()
    }
}
