//! The headers that a caller may assert.

use std::collections::HashMap;

use base::header;
use http::{HeaderMap, HeaderName};

use crate::identity::Identity;

/// What other proxies say about who called (Envoy's `XFCC`): nobody's word but a certificate's counts.
const FORWARDED_CERTIFICATE: &str = "x-forwarded-client-cert";

/// Caller → the headers of our own that it may assert.
#[derive(Clone, Debug)]
pub(super) struct Assertions(HashMap<Box<str>, Box<[HeaderName]>>);

impl Assertions {
    /// Compiles names by callers' whole ids. A name that is no header's is asserted by nobody.
    pub(super) fn compile<'a>(asserts: impl Iterator<Item = (Box<str>, &'a Vec<String>)>) -> Assertions {
        let mut by_caller: HashMap<Box<str>, Vec<HeaderName>> = HashMap::new();
        for (caller, names) in asserts {
            let names = names.iter().filter_map(|name| name.parse().ok());
            by_caller.entry(caller).or_default().extend(names.filter(is_assertable));
        }
        Assertions(by_caller.into_iter().map(|(caller, names)| (caller, names.into())).collect())
    }

    pub(super) fn strip(&self, peer: &Identity, headers: &mut HeaderMap) {
        let mut may: Option<&[HeaderName]> = None;
        let mut goes =
            |name: &HeaderName| is_guarded(name) && !may.get_or_insert_with(|| self.of(peer)).contains(name);
        if !headers.keys().any(&mut goes) {
            return;
        }
        let unproven: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
        for name in unproven {
            headers.remove(name);
        }
    }

    fn of(&self, peer: &Identity) -> &[HeaderName] {
        self.0.get(peer.as_str()).map_or(&[], AsRef::as_ref)
    }
}

/// Whether a configuration can let anybody assert it.
fn is_assertable(name: &HeaderName) -> bool {
    name.as_str().starts_with(header::PREFIX) && *name != header::PEER && *name != header::FAULT
}

/// Whether a header needs leave.
fn is_guarded(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x")
        && (begins_like(name, header::PREFIX) && name != header::DEADLINE.as_str()
            || name.len() == FORWARDED_CERTIFICATE.len() && begins_like(name, FORWARDED_CERTIFICATE))
}

/// Whether `name` begins with `ours` for a program to which `_` and `-` are the same, as in CGI (RFC 3875 §4.1.18).
fn begins_like(name: &str, ours: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() >= ours.len() && name.bytes().map(plain).zip(ours.bytes()).all(|(a, b)| a == b)
}
