//! Who may call a service, and which headers of our own a caller may assert. Default deny, judged per request.

mod headers;

use std::collections::{HashMap, HashSet};

use http::HeaderMap;

use self::headers::Assertions;
use crate::identity::Identity;
use crate::matching::{Head, RouteTable};
use crate::resource::{Match, Mesh};

/// What policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is let in.
    Allowed,
    /// It is not.
    Denied,
    /// It would not be, but the service only tries its policy out: it is let in and told.
    DryRun,
}

/// The policy of one service, compiled. All callers are known by their whole SPIFFE ids.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    denied: HashSet<Box<str>>,
    grants: HashMap<Box<str>, Grant>,
    assertions: Assertions,
    dry_run: bool,
}

/// What one caller may do.
#[derive(Clone, Debug)]
enum Grant {
    Everything,
    Some(RouteTable),
}

impl Policy {
    /// The policy that `mesh` has for `service`; one that it does not know lets nobody in.
    ///
    /// A caller by name is that service of our trust domain; one of another trust domain is only meant by its whole
    /// id.
    pub(crate) fn compile(mesh: &Mesh, service: &str) -> Policy {
        let id = |caller: &str| full_id(&mesh.trust_domain, caller);
        let mut granted: HashMap<Box<str>, Vec<&Match>> = HashMap::new();
        let everything = Match::default();
        let service = mesh.services.get(service);
        for caller in service.iter().flat_map(|service| &service.callers) {
            granted.entry(id(caller)).or_default().push(&everything);
        }
        for policy in service.iter().flat_map(|service| &service.policies) {
            for caller in &policy.from {
                granted.entry(id(caller)).or_default().push(&policy.matches);
            }
        }
        Policy {
            denied: mesh.denied.iter().map(|denied| id(denied)).collect(),
            grants: granted.into_iter().map(|(caller, matches)| (caller, Grant::of(&matches))).collect(),
            assertions: Assertions::compile(mesh.asserts.iter().map(|(caller, names)| (id(caller), names))),
            dry_run: service.is_some_and(|service| service.dry_run),
        }
    }

    /// Whether `peer` may make the request. O(1) in callers and, nearly, in policies.
    ///
    /// A path with an encoded slash or backslash must be allowed as it is and also with a slash in its place: nobody
    /// knows how the program reads it.
    pub(crate) fn judge(&self, peer: &Identity, head: &Head<'_>) -> Verdict {
        if self.is_denied_identity(peer) {
            return Verdict::Denied;
        }
        let allowed = match self.grants.get(peer.as_str()) {
            None => false,
            Some(Grant::Everything) => true,
            Some(Grant::Some(table)) => table.matches(head) && decoded_matches(table, head),
        };
        match (allowed, self.dry_run) {
            (true, _) => Verdict::Allowed,
            (false, true) => Verdict::DryRun,
            (false, false) => Verdict::Denied,
        }
    }

    /// Whether nobody talks to `peer` any more, a dry run or not.
    pub(crate) fn is_denied_identity(&self, peer: &Identity) -> bool {
        self.denied.contains(peer.as_str())
    }

    /// Removes the headers that `peer` may not assert.
    ///
    /// Those are all of our own that policy does not let it, the ones that only an inbound side says (who the peer is,
    /// what kind of fault an answer has), and other proxies' word on who called. Names with `_` for `-` count as what
    /// many programs take them for. The deadline stays: it can only be lowered. Allocates only if something goes.
    pub(crate) fn strip(&self, peer: &Identity, headers: &mut HeaderMap) {
        self.assertions.strip(peer, headers);
    }
}

impl Grant {
    fn of(matches: &[&Match]) -> Grant {
        if matches.iter().any(|matches| matches.is_everything()) {
            return Grant::Everything;
        }
        Grant::Some(RouteTable::compile(matches.iter().copied()))
    }
}

/// The SPIFFE id of a caller as it is written in a configuration: whole, or a service of ours.
fn full_id(trust_domain: &str, caller: &str) -> Box<str> {
    if caller.contains("://") { caller.into() } else { Identity::new(trust_domain, caller).as_str().into() }
}

/// Whether the request would also be allowed if the program took encoded slashes for slashes.
fn decoded_matches(table: &RouteTable, head: &Head<'_>) -> bool {
    // a normalised path has its escapes in upper case
    if !head.path.contains("%2F") && !head.path.contains("%5C") {
        return true;
    }
    let path = head.path.replace("%2F", "/").replace("%5C", "/");
    table.matches(&Head { path: &path, ..*head })
}

#[cfg(test)]
mod tests;
