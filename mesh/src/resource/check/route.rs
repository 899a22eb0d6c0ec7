//! One route.

use super::super::{Kind, Protocol, Retry, Route};
use super::report::Report;
use super::{Mesh, Place, Service, headers, matches, traffic};

/// Attempts beyond the first that still help anybody.
const MAX_ATTEMPTS: usize = 10;
/// The longest name of a route. In bytes: it is a label of metrics.
const MAX_NAME: usize = 256;

/// The routes of `service`, which is called `name`.
pub(super) fn all(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, name: &str, service: &Service) {
    let Some(last) = service.routes.len().checked_sub(1) else {
        report.refuse_if(service.discovery.is_some(), at, "a service that can be called needs a route");
        return;
    };
    let is_tcp = service.protocol == Protocol::Tcp;
    report.refuse_if(is_tcp && last > 0, at, "a tcp service has exactly one route");
    for (index, route) in service.routes.iter().enumerate() {
        let at = at.item(index);
        if is_tcp {
            opaque(report, &at, route);
        } else {
            let everything = route.matches.is_everything();
            report.refuse_if(!everything && index == last, &at, "the last route must match everything");
            report.refuse_if(everything && index < last, &at, "no route after this one is ever reached");
            http(report, &at, mesh, name, service, route);
        }
        common(report, &at, route);
    }
}

fn common(report: &mut Report<'_>, at: &Place<'_>, route: &Route) {
    let name = &route.name;
    let named = (1..=MAX_NAME).contains(&name.len()) && !name.contains(char::is_control);
    report.refuse_if(!named, &at.key("name"), "a name has 1 to 256 bytes and no control characters");
    for (key, time) in route.kind.times() {
        report.time(&at.key(key), time);
    }
    let is_stream = matches!(route.kind, Kind::Stream { .. });
    report.refuse_if(route.watch && !is_stream, &at.key("watch"), "only a stream is a watch");
    matches::check(report, &at.key("match"), &route.matches, matches!(route.kind, Kind::Tcp { .. }));
}

/// A route of a service that speaks no HTTP: it has a kind and nothing else.
fn opaque(report: &mut Report<'_>, at: &Place<'_>, route: &Route) {
    if !matches!(route.kind, Kind::Tcp { .. }) {
        report.refuse(&at.key("kind"), format!("a tcp service has no {} routes", route.kind.name()));
    }
    let no_edit = super::super::Edit::default();
    for (key, given) in [
        ("idempotent", route.idempotent.is_some()),
        ("retry", route.retry != Retry::default()),
        ("hedge", route.hedge.is_some()),
        ("split", route.split.is_some()),
        ("mirror", route.mirror.is_some()),
        ("redirect", route.redirect.is_some()),
        ("rewrite", route.rewrite.is_some()),
        ("request_headers", route.request_headers != no_edit),
        ("response_headers", route.response_headers != no_edit),
        ("fault", route.fault.is_some()),
        ("fallback", !route.fallback.is_empty()),
    ] {
        if given {
            report.refuse(&at.key(key), format!("a tcp route has no {key}"));
        }
    }
}

fn http(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, name: &str, service: &Service, route: &Route) {
    match route.kind {
        Kind::Tcp { .. } => report.refuse(&at.key("kind"), "a service that speaks HTTP has no tcp routes"),
        Kind::Upgrade { .. } if service.protocol != Protocol::Http1 => {
            report.refuse(&at.key("kind"), "an upgrade needs a service that speaks http1");
        }
        _ => {}
    }
    attempts(report, at, route);
    traffic::check(report, at, mesh, name, service, route);
    headers::edit(report, &at.key("request_headers"), &route.request_headers);
    headers::edit(report, &at.key("response_headers"), &route.response_headers);
}

/// Retries and hedges, both within the deadline.
fn attempts(report: &mut Report<'_>, at: &Place<'_>, route: &Route) {
    let retry = at.key("retry");
    let attempts = usize::try_from(route.retry.attempts).unwrap_or(usize::MAX);
    report.number(&retry.key("attempts"), attempts, 0..=MAX_ATTEMPTS);
    report.time_or_zero(&retry.key("backoff_ms"), route.retry.backoff);
    if let Some(per_try) = route.retry.per_try {
        report.time(&retry.key("per_try_ms"), per_try);
        if let Kind::Unary { deadline } = route.kind {
            report.refuse_if(per_try > deadline, &retry.key("per_try_ms"), "must be at most the deadline");
        }
    }
    let Some(hedge) = &route.hedge else { return };
    let at = at.key("hedge");
    report.time(&at.key("after_ms"), hedge.after);
    match route.kind {
        Kind::Unary { deadline } => {
            report.refuse_if(hedge.after >= deadline, &at.key("after_ms"), "must be less than the deadline");
        }
        _ => report.refuse(&at, format!("a {} route has no hedge, only a unary one", route.kind.name())),
    }
}
