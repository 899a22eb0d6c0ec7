//! Which requests are meant: routes, policies and limits say it in the same way.

use super::super::{HashKey, Match};
use super::Place;
use super::report::Report;
use super::{headers, names};

/// The longest path of a match. In bytes.
const MAX_PATH: usize = 4096;

/// A match. A service that speaks no HTTP has nothing to match on.
pub(super) fn check(report: &mut Report<'_>, at: &Place<'_>, matches: &Match, is_tcp: bool) {
    if is_tcp {
        report.refuse_if(!matches.is_everything(), at, "a tcp service has no requests to match on");
        return;
    }
    if let Some(host) = &matches.host {
        pattern(report, &at.key("host"), host);
    }
    let template = matches.template.as_ref().map(|template| template.as_str());
    let forms =
        [("prefix", matches.prefix.as_deref()), ("exact", matches.exact.as_deref()), ("template", template)];
    for (key, form) in forms {
        if let Some(form) = form {
            path(report, &at.key(key), form);
        }
    }
    let given = forms.iter().filter(|(_, form)| form.is_some()).count();
    report.refuse_if(given > 1, at, "a match has one of prefix, exact and template");
    headers::wanted(report, &at.key("headers"), &matches.headers);
    report.refuse_if(matches.query.contains_key(""), &at.key("query"), "a query parameter has no name");
}

/// A host as clients write it, with a port or without one.
fn pattern(report: &mut Report<'_>, at: &Place<'_>, host: &str) {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if !names::is_host_pattern(name, 1) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        report.refuse(at, format!("{host:?} is no host in lower case, nor `*.` and a suffix"));
    }
}

/// A path, or the beginning of one.
pub(super) fn path(report: &mut Report<'_>, at: &Place<'_>, path: &str) {
    if !path.starts_with('/') {
        report.refuse(at, format!("{path:?} must begin with /"));
    }
    if path.contains(['?', '#']) || path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        report.refuse(at, format!("{path:?} is no path: it has a query, a fragment or a space"));
    }
    report.refuse_if(path.len() > MAX_PATH, at, "a path has at most 4096 bytes");
}

/// Something in a request that is hashed.
pub(super) fn hash_key(report: &mut Report<'_>, at: &Place<'_>, key: &HashKey, is_tcp: bool) {
    match key {
        HashKey::Header(name) => headers::name(report, &at.key("header"), name),
        // a cookie's name is a token, as a header's is (RFC 6265 §4.1.1)
        HashKey::Cookie(name) if http::HeaderName::from_bytes(name.as_bytes()).is_err() => {
            report.refuse(&at.key("cookie"), format!("{name:?} is no name of a cookie"));
        }
        HashKey::Cookie(_) | HashKey::Project | HashKey::Identity | HashKey::Path => {}
    }
    report.refuse_if(is_tcp && *key != HashKey::Identity, at, "a tcp service can only be hashed by identity");
}
