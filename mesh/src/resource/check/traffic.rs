//! Where a route's requests go instead.

use super::super::{Fallback, Fault, Mirror, Protocol, Redirect, Rewrite, Route, Split, Tls};
use super::report::Report;
use super::{Mesh, Place, Service, headers, matches, names};
use crate::traffic::edit;

/// The largest given answer. In bytes.
const MAX_BODY: usize = 1024 * 1024;
/// The largest memory of good answers. In bytes.
const MAX_STALE: usize = 1024 * 1024 * 1024;

/// Everything of `route` of `service`, which is called `own`, that sends requests elsewhere or answers them itself.
pub(super) fn check(
    report: &mut Report<'_>,
    at: &Place<'_>,
    mesh: &Mesh,
    own: &str,
    service: &Service,
    route: &Route,
) {
    if let Some(to) = &route.split {
        split(report, &at.key("split"), mesh, to);
    }
    if let Some(to) = &route.mirror {
        mirror(report, &at.key("mirror"), mesh, own, to);
    }
    if let Some(to) = &route.redirect {
        redirect(report, &at.key("redirect"), to);
        for (key, given) in [
            ("split", route.split.is_some()),
            ("mirror", route.mirror.is_some()),
            ("rewrite", route.rewrite.is_some()),
            ("hedge", route.hedge.is_some()),
            ("fallback", !route.fallback.is_empty()),
        ] {
            if given {
                report.refuse(&at.key(key), format!("a redirect answers at once: no {key} beside it"));
            }
        }
    }
    if let Some(to) = &route.rewrite {
        rewrite(report, &at.key("rewrite"), service, to);
    }
    if let Some(trouble) = &route.fault {
        fault(report, &at.key("fault"), trouble);
    }
    fallback(report, &at.key("fallback"), mesh, &route.fallback);
}

/// A service that takes HTTP requests in another's place.
fn stand_in(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, name: &str) {
    if names::service(report, at, mesh, name).is_some_and(|found| found.protocol == Protocol::Tcp) {
        report.refuse(at, format!("the service {name} speaks no HTTP"));
    }
}

fn split(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, split: &Split) {
    let to = at.key("to");
    for (index, backend) in split.to.iter().enumerate() {
        let at = to.item(index);
        stand_in(report, &at.key("service"), mesh, &backend.service);
        if split.to[..index].iter().any(|earlier| earlier.service == backend.service) {
            report.refuse(&at.key("service"), format!("{} has a share already", backend.service));
        }
    }
    let sum: u64 = split.to.iter().map(|backend| u64::from(backend.weight)).sum();
    report.refuse_if(sum == 0, &to, "one weight at least must be more than 0");
    report.refuse_if(u32::try_from(sum).is_err(), &to, "the weights together must be at most 4294967295");
    if let Some(key) = &split.sticky {
        matches::hash_key(report, &at.key("sticky"), key, false);
    }
}

fn mirror(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, own: &str, mirror: &Mirror) {
    stand_in(report, &at.key("service"), mesh, &mirror.service);
    report.refuse_if(mirror.service == own, &at.key("service"), "a service cannot be its own mirror");
    report.percent(&at.key("percent"), mirror.percent);
}

fn redirect(report: &mut Report<'_>, at: &Place<'_>, redirect: &Redirect) {
    report.refuse_err(&at.key("status"), edit::check_status(redirect.status));
    report.refuse_err(&at.key("location"), edit::check_location(&redirect.location));
}

fn rewrite(report: &mut Report<'_>, at: &Place<'_>, service: &Service, rewrite: &Rewrite) {
    if let Some(path) = &rewrite.path {
        matches::path(report, &at.key("path"), path);
        report.refuse_if(!path.is_ascii(), &at.key("path"), "a path is ASCII; escape the rest with %");
        if path.starts_with('/') && path.is_ascii() {
            report.refuse_err(&at.key("path"), edit::check_path(path));
        }
    }
    if let Some(host) = &rewrite.host {
        let is_seen = match service.tls {
            Tls::Off => Ok(()),
            Tls::Mutual => {
                Err("a proxy is called by its service's name; only with tls: off is there a host to rewrite"
                    .to_owned())
            }
        };
        report.refuse_err(&at.key("host"), edit::check_host(host).and(is_seen));
    }
    let nothing = rewrite.path.is_none() && rewrite.host.is_none();
    report.refuse_if(nothing, at, "a rewrite needs a path or a host");
}

fn fault(report: &mut Report<'_>, at: &Place<'_>, fault: &Fault) {
    report.percent(&at.key("percent"), fault.percent);
    headers::wanted(report, &at.key("headers"), &fault.headers);
    if let Some(delay) = fault.delay {
        report.time(&at.key("delay_ms"), delay);
    }
    if let Some(status) = fault.abort {
        self::status(report, &at.key("abort"), status);
    }
    let nothing = fault.delay.is_none() && fault.abort.is_none();
    report.refuse_if(nothing, at, "a fault needs delay_ms or abort");
}

/// A final status: 1xx is none, and beyond 599 nobody knows what it means.
fn status(report: &mut Report<'_>, at: &Place<'_>, status: u16) {
    if !(200..=599).contains(&status) {
        report.refuse(at, format!("{status} is no status from 200 to 599"));
    }
}

fn fallback(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, tried: &[Fallback]) {
    for (index, fallback) in tried.iter().enumerate() {
        let at = at.item(index);
        match fallback {
            Fallback::Static { status, headers, body } => {
                let at = at.key("static");
                self::status(report, &at.key("status"), *status);
                headers::sent(report, &at.key("headers"), headers);
                report.refuse_if(body.len() > MAX_BODY, &at.key("body"), "a body has at most 1048576 bytes");
                let last = index + 1 == tried.len();
                report.refuse_if(!last, &at, "a given answer never fails: nothing after it is ever tried");
            }
            Fallback::Stale(stale) => {
                let at = at.key("stale");
                report.time(&at.key("max_age_ms"), stale.max_age);
                report.number(&at.key("max_bytes"), stale.max_bytes, 1..=MAX_STALE);
            }
            Fallback::Service(name) => stand_in(report, &at.key("service"), mesh, name),
        }
    }
}
