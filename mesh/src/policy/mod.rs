//! Who may call a service, and which headers of our own a caller may assert. Default deny, judged per request.

use std::collections::{BTreeMap, BTreeSet};

use base::header;
use http::{HeaderMap, HeaderName};

use crate::identity::Identity;
use crate::resource::Mesh;

/// The policy of one service.
#[derive(Clone, Debug)]
pub struct Policy {
    trust_domain: String,
    callers: BTreeSet<String>,
    asserts: BTreeMap<String, BTreeSet<String>>,
}

impl Policy {
    /// The policy that `mesh` has for `service`; one it does not know lets nobody in.
    pub fn of(mesh: &Mesh, service: &str) -> Policy {
        let callers = mesh.services.get(service).map(|s| s.callers.iter().cloned().collect());
        let asserts =
            mesh.asserts.iter().map(|(name, headers)| (name.clone(), headers.iter().cloned().collect()));
        Policy {
            trust_domain: mesh.trust_domain.clone(),
            callers: callers.unwrap_or_default(),
            asserts: asserts.collect(),
        }
    }

    /// Whether `peer` may call.
    pub fn allows(&self, peer: &Identity) -> bool {
        peer.trust_domain() == self.trust_domain && self.callers.contains(peer.service())
    }

    /// Removes the headers of our own that `peer` may not assert. The deadline stays: it can only be lowered.
    pub fn strip(&self, peer: &Identity, headers: &mut HeaderMap) {
        let may = self.asserts.get(peer.service());
        let unproven: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with(header::PREFIX) && **name != header::DEADLINE)
            .filter(|name| !may.is_some_and(|may| may.contains(name.as_str())))
            .cloned()
            .collect();
        for name in unproven {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn peer(service: &str) -> Identity {
        Identity::new("meshbase.local", service)
    }

    #[test]
    fn only_named_callers_of_our_trust_domain_are_let_in() {
        let policy = Policy::of(&Mesh::defaults(), "data");

        assert!(policy.allows(&peer("gateway")));
        assert!(!policy.allows(&peer("storage")));
        assert!(!policy.allows(&peer("data")));
        assert!(!policy.allows(&Identity::new("elsewhere.local", "gateway")));
    }

    #[test]
    fn a_service_without_policy_lets_nobody_in() {
        assert!(!Policy::of(&Mesh::defaults(), "unknown").allows(&peer("gateway")));
    }

    #[test]
    fn unproven_headers_are_stripped_and_the_deadline_is_kept() {
        let policy = Policy::of(&Mesh::defaults(), "data");
        let mut headers = HeaderMap::new();
        for name in
            ["x-meshbase-project", "x-meshbase-peer", "x-meshbase-role", "x-meshbase-deadline-ms", "accept"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }

        let mut from_gateway = headers.clone();
        policy.strip(&peer("gateway"), &mut from_gateway);
        let mut from_stranger = headers;
        policy.strip(&peer("stranger"), &mut from_stranger);

        let names = |headers: &HeaderMap| {
            let names: BTreeSet<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
            names.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(names(&from_gateway), ["accept", "x-meshbase-deadline-ms", "x-meshbase-project"]);
        assert_eq!(names(&from_stranger), ["accept", "x-meshbase-deadline-ms"]);
    }
}
