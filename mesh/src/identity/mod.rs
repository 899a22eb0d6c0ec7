//! Who a workload is: a SPIFFE id of the form `spiffe://<trust domain>/<service>`, and how it is proved.
//!
//! A certificate chain with its key is an [`Svid`]; [`Credentials`] keep one with the roots that peers are checked
//! against, and change both under way; [`handshake`] makes connections on which each side knows the other.

mod credentials;
mod follow;
pub mod handshake;
mod pem;
#[cfg(test)]
pub(crate) mod pki;
mod roots;
mod svid;
mod verifier;

use std::fmt;
use std::sync::Arc;

pub(crate) use credentials::Time;
pub use credentials::{Alpn, Credentials, Negotiated};
pub use follow::Files;
pub use handshake::HandshakeError;
pub use pem::Unusable;
pub use roots::Roots;
pub(crate) use roots::web_roots;
pub use svid::Svid;
pub(crate) use svid::identity_of_leaf;

use crate::observe::Name;

const SCHEME: &str = "spiffe://";
const MAX_ID_BYTES: usize = 2048;
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// A workload's identity. In one process it is synthetic; between processes a certificate proves it.
///
/// Cheap to clone: its parts are shared.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    id: Arc<str>,
    service: Name,
}

impl Identity {
    /// The identity of `service` in `trust_domain`, both of which come from a checked configuration.
    pub fn new(trust_domain: impl AsRef<str>, service: impl AsRef<str>) -> Identity {
        let (trust_domain, service) = (trust_domain.as_ref(), service.as_ref());
        Identity { id: format!("{SCHEME}{trust_domain}/{service}").into(), service: service.into() }
    }

    /// Reads the id of a workload: one with a path, in the only spelling there is of it.
    ///
    /// Scheme and trust domain must be lower-case, so that an id is the same as another one only if its bytes are.
    /// Errors say what is wrong with which text.
    /// Source: SPIFFE-ID standard, §2.
    pub fn parse(text: &str) -> Result<Identity, NotAnIdentity> {
        let bad = |reason| NotAnIdentity { text: text.chars().take(MAX_ID_BYTES).collect(), reason };
        if text.len() > MAX_ID_BYTES {
            return Err(bad("it is longer than 2048 bytes"));
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad("it does not begin with spiffe://"))?;
        let (trust_domain, service) = rest.split_once('/').ok_or_else(|| bad("it names no workload"))?;
        check_trust_domain(trust_domain).and_then(|()| check_path(service)).map_err(bad)?;
        Ok(Identity { id: text.into(), service: service.into() })
    }

    /// The service's name: the path without its leading slash.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The service's name, shared.
    pub fn name(&self) -> &Name {
        &self.service
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        &self.id[SCHEME.len()..self.id.len() - self.service.len() - 1]
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.id
    }
}

fn check_trust_domain(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("its trust domain is empty");
    }
    if name.len() > MAX_TRUST_DOMAIN_BYTES {
        return Err("its trust domain is longer than 255 bytes");
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    if name.bytes().all(allowed) { Ok(()) } else { Err("its trust domain holds more than a-z 0-9 . _ -") }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    path.split('/').try_for_each(|segment| match segment {
        "" => Err("its path has an empty segment"),
        "." | ".." => Err("its path has a dot segment"),
        _ if segment.bytes().all(allowed) => Ok(()),
        _ => Err("its path holds more than A-Z a-z 0-9 . _ -"),
    })
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no workload's SPIFFE id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnIdentity {
    text: String,
    reason: &'static str,
}

impl fmt::Display for NotAnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no SPIFFE id: {}", self.text, self.reason)
    }
}

impl std::error::Error for NotAnIdentity {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_parts_are_those_of_the_id() {
        let id = Identity::parse("spiffe://mesh.local/ns/prod/sa/Data_1").unwrap();

        assert_eq!(id.trust_domain(), "mesh.local");
        assert_eq!(id.service(), "ns/prod/sa/Data_1");
        assert_eq!(Identity::new("mesh.local", "ns/prod/sa/Data_1"), id);
    }

    #[test]
    fn what_is_no_workloads_id_is_refused() {
        let long_domain = format!("spiffe://{}/a", "d".repeat(256));
        let long_id = format!("spiffe://d/{}", "a".repeat(2048 - 10));
        let bad = [
            "",
            "spiffe",
            "spiffe://",
            "spiffe:///data",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://td/a/",
            "spiffe://td//a",
            "spiffe://td/a//b",
            "spiffe://td/.",
            "spiffe://td/../a",
            "spiffe://td/a/..",
            "spiffe://TD/a",
            "SPIFFE://td/a",
            "Spiffe://td/a",
            "https://td/a",
            "spiffe:/td/a",
            "spiffe://td:443/a",
            "spiffe://user@td/a",
            "spiffe://td/a?b",
            "spiffe://td/a#b",
            "spiffe://td/a%62",
            "spiffe://td/a b",
            "spiffe://td/ä",
            "spiffe://tä/a",
            "spiffe://td/a\0",
            "spiffe://td/a\n",
            " spiffe://td/a",
            "spiffe://td\\a",
            &long_domain,
            &long_id,
        ];
        for text in bad {
            assert!(Identity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_parts_are_accepted() {
        let domain = "d".repeat(255);
        let id = format!("spiffe://d/{}", "a".repeat(2048 - 11));

        assert_eq!(Identity::parse(&format!("spiffe://{domain}/a")).unwrap().trust_domain(), domain);
        assert_eq!(id.len(), 2048);
        assert!(Identity::parse(&id).is_ok());
    }

    #[test]
    fn errors_escape_what_they_quote() {
        let error = Identity::parse("spiffe://td/a\nforged line").unwrap_err();

        assert!(!error.to_string().contains('\n'));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(
            domain in "[a-z0-9._-]{1,40}",
            path in "[A-Za-z0-9_-]{1,9}(/[A-Za-z0-9_-]{1,9}){0,4}",
        ) {
            let id = Identity::new(&domain, &path);

            let read = Identity::parse(&id.to_string()).unwrap();

            prop_assert_eq!(read.trust_domain(), domain);
            prop_assert_eq!(read.service(), path);
            prop_assert_eq!(read, id);
        }

        #[test]
        fn only_what_is_printed_is_read(text in "(spiffe://)?[a-zA-Z0-9.:/%@?#_-]{0,40}") {
            if let Ok(id) = Identity::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
                prop_assert_eq!(Identity::new(id.trust_domain(), id.service()), id);
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(text in ".*") {
            let _ = Identity::parse(&text);
        }
    }
}
