//! The forms of names: services, trust domains, SPIFFE ids, hosts.

use std::net::IpAddr;

use super::Place;
use super::report::Report;
use super::{GATEWAY, Mesh, Service};

/// A DNS label (RFC 1123 §2.1) in lower case.
pub(super) fn is_label(name: &str) -> bool {
    let inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| inner(&byte))
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// What a thing inside a service may be called: it ends up in metrics and answers.
pub(super) fn is_word(name: &str) -> bool {
    let inner = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=63).contains(&name.len()) && name.bytes().all(inner)
}

/// Source: SPIFFE-ID §2.1.
pub(super) fn is_trust_domain(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
}

/// Source: SPIFFE-ID §2. An id without a path is a trust domain's own and no workload's.
pub(super) fn is_spiffe_id(id: &str) -> bool {
    let Some((domain, path)) = id.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    id.len() <= 2048 && is_trust_domain(domain) && path.split('/').all(is_segment)
}

/// A DNS name or an IP address, in lower case so that there is one way to write it. `_` is for SRV names.
pub(super) fn is_host(host: &str) -> bool {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let is_part = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    ip(host).is_some() || (host.len() <= 253 && host.split('.').all(is_part) && !looks_like_ip(host))
}

/// A host, or `*.` and a suffix of at least `labels` labels.
pub(super) fn is_host_pattern(pattern: &str, labels: usize) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => is_host(suffix) && ip(suffix).is_none() && suffix.split('.').count() >= labels,
        None => is_host(pattern),
    }
}

/// An address, an IPv6 one with or without brackets.
pub(super) fn ip(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

/// Resolvers take `127.1` or `2130706433` for addresses: no host ends in a label of digits.
fn looks_like_ip(host: &str) -> bool {
    host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The service of this name; if there is none, that is a mistake.
pub(super) fn service<'m>(
    report: &mut Report<'_>,
    at: &Place<'_>,
    mesh: &'m Mesh,
    name: &str,
) -> Option<&'m Service> {
    let found = mesh.services.get(name);
    if found.is_none() {
        report.refuse(at, unknown(mesh, name));
    }
    found
}

/// A caller: a service of this mesh, or the gateway.
pub(super) fn caller(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, name: &str) {
    if name != GATEWAY && !mesh.services.contains_key(name) {
        report.refuse(at, unknown(mesh, name));
    }
}

/// Who a policy speaks of: callers, or whole SPIFFE ids.
pub(super) fn peers(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, from: &[String]) {
    for (index, name) in from.iter().enumerate() {
        let at = at.item(index);
        if !name.contains("://") {
            caller(report, &at, mesh, name);
        } else if !is_spiffe_id(name) {
            report.refuse(&at, not_spiffe(name));
        }
    }
}

pub(super) fn not_spiffe(id: &str) -> String {
    format!("{id:?} is no SPIFFE id, such as spiffe://meshbase.local/data")
}

fn unknown(mesh: &Mesh, name: &str) -> String {
    match base::config::nearest(name, mesh.services.keys().map(String::as_str)) {
        Some(near) => format!("no service is called {name:?}; did you mean {near:?}?"),
        None => format!("no service is called {name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spiffe_ids_are_whole_and_clean() {
        for good in ["spiffe://meshbase.local/data", "spiffe://a_b.c-d/ns/x/sa/Y.z_1"] {
            assert!(is_spiffe_id(good), "{good}");
        }
        for bad in [
            "spiffe://meshbase.local",
            "spiffe://meshbase.local/",
            "spiffe:///data",
            "spiffe://Meshbase.local/data",
            "spiffe://meshbase.local/a//b",
            "spiffe://meshbase.local/a/../b",
            "spiffe://meshbase.local/a?b",
            "spiffe://meshbase.local:1/a",
            "SPIFFE://meshbase.local/a",
            "https://meshbase.local/a",
        ] {
            assert!(!is_spiffe_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_host_cannot_be_an_address_in_disguise() {
        for good in ["example.com", "a", "_sip._tcp.example.com", "10.0.0.1", "[::1]", "1a.com"] {
            assert!(is_host(good), "{good}");
        }
        for bad in
            ["", "127.1", "2130706433", "a..b", "-a.b", "a-.b", "Example.com", "a b", "a:1", "example.com."]
        {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn a_pattern_has_one_star_and_enough_behind_it() {
        assert!(is_host_pattern("*.example.com", 2));
        for bad in ["*", "*.com", "*.*.com", "a.*.com", "*example.com", "*.10.0.0.1"] {
            assert!(!is_host_pattern(bad, 2), "{bad}");
        }
    }
}
