//! One service: where it is, how it is chosen and protected, and who may call it.

use super::super::{BalancerKind, Discovery, DnsRecord, LimitKey, Listen, Protocol, StaticEndpoint};
use super::report::Report;
use super::{Mesh, Place, Service, headers, matches, names, route};

/// More than any of these makes no sense in one process.
const MANY: usize = 1_000_000;

/// The service that is called `name`.
pub(super) fn check(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, name: &str, service: &Service) {
    if !names::is_label(name) {
        report.refuse(
            at,
            format!("{name:?} is no DNS label: 1 to 63 of a-z, 0-9 and -, which is not at an end"),
        );
    }
    match &service.discovery {
        Some(Discovery::Static(endpoints)) => fixed(report, &at.key("discovery").key("static"), endpoints),
        Some(found @ Discovery::Dns { .. }) => dns(report, &at.key("discovery").key("dns"), found),
        Some(found @ Discovery::Kubernetes { .. }) => {
            kubernetes(report, &at.key("discovery").key("kubernetes"), found);
        }
        None => {}
    }
    balancer(report, &at.key("balancer"), service);
    health(report, &at.key("health_check"), service);
    protection(report, at, service);
    limits(report, &at.key("limits"), service);
    names::peers(report, &at.key("callers"), mesh, &service.callers);
    for (index, policy) in service.policies.iter().enumerate() {
        let policies = at.key("policies");
        let at = policies.item(index);
        report.refuse_if(policy.from.is_empty(), &at.key("from"), "names nobody who may call");
        names::peers(report, &at.key("from"), mesh, &policy.from);
        matches::check(report, &at.key("match"), &policy.matches, service.protocol == Protocol::Tcp);
    }
    route::all(report, &at.key("routes"), mesh, name, service);
}

fn fixed(report: &mut Report<'_>, at: &Place<'_>, endpoints: &[StaticEndpoint]) {
    report.refuse_if(endpoints.is_empty(), at, "names no endpoint");
    let mut seen = std::collections::BTreeSet::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let item = at.item(index);
        let address = item.key("address");
        match endpoint.address.parse::<Listen>() {
            Err(reason) => report.refuse(&address, reason),
            Ok(Listen::Tcp(addr)) if addr.port() == 0 => report.refuse(&address, "0 is no port"),
            Ok(parsed) if !seen.insert(parsed.to_string()) => {
                report.refuse(&address, format!("{parsed} is there twice"));
            }
            Ok(_) => {}
        }
        report.refuse_if(endpoint.zone.as_deref() == Some(""), &item.key("zone"), "a zone needs a name");
    }
    let no_weight = !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.weight == 0);
    report.refuse_if(no_weight, at, "one weight at least must be more than 0");
}

fn dns(report: &mut Report<'_>, at: &Place<'_>, found: &Discovery) {
    let Discovery::Dns { name, port, record, refresh } = found else { return };
    if !names::is_host(name) || names::ip(name).is_some() {
        report.refuse(&at.key("name"), format!("{name:?} is no DNS name in lower case"));
    }
    match record {
        DnsRecord::Host => report.refuse_if(*port == 0, &at.key("port"), "host records need a port"),
        DnsRecord::Srv => report.refuse_if(*port != 0, &at.key("port"), "srv records bring their ports"),
    }
    report.time(&at.key("refresh_ms"), *refresh);
}

/// Each is a label (RFC 1123): none of them leaves the path that is asked for.
fn kubernetes(report: &mut Report<'_>, at: &Place<'_>, found: &Discovery) {
    let Discovery::Kubernetes { service, namespace, port } = found else { return };
    let named = [("service", Some(service)), ("namespace", namespace.as_ref()), ("port", port.as_ref())];
    for (key, name) in named.into_iter().filter_map(|(key, name)| Some((key, name?))) {
        if !names::is_label(name) {
            report.refuse(&at.key(key), format!("{name:?} is no label"));
        }
    }
}

fn balancer(report: &mut Report<'_>, at: &Place<'_>, service: &Service) {
    let balancer = &service.balancer;
    let ring = balancer.kind == BalancerKind::RingHash;
    match &balancer.hash {
        Some(key) => {
            report.refuse_if(!ring, &at.key("hash"), "only ring_hash looks at a hash");
            matches::hash_key(report, &at.key("hash"), key, service.protocol == Protocol::Tcp);
        }
        None => report.refuse_if(ring, &at.key("kind"), "ring_hash needs a hash"),
    }
    report.time_or_zero(&at.key("slow_start_ms"), balancer.slow_start);
    report.ratio(&at.key("panic_threshold"), balancer.panic_threshold);
}

fn health(report: &mut Report<'_>, at: &Place<'_>, service: &Service) {
    let Some(probe) = &service.health_check else { return };
    if let Some(path) = &probe.path {
        matches::path(report, &at.key("path"), path);
        let is_tcp = service.protocol == Protocol::Tcp;
        report.refuse_if(is_tcp, &at.key("path"), "a tcp service is probed by connecting, without a path");
    }
    report.time(&at.key("interval_ms"), probe.interval);
    report.time(&at.key("timeout_ms"), probe.timeout);
    report.refuse_if(probe.healthy == 0, &at.key("healthy"), "must be more than 0");
    report.refuse_if(probe.unhealthy == 0, &at.key("unhealthy"), "must be more than 0");
}

fn protection(report: &mut Report<'_>, at: &Place<'_>, service: &Service) {
    let (here, ejection) = (at.key("ejection"), &service.ejection);
    report.ratio(&here.key("success_rate"), ejection.success_rate);
    report.time(&here.key("window_ms"), ejection.window);
    report.refuse_if(ejection.min_requests == 0, &here.key("min_requests"), "must be more than 0");
    report.growing(&here, ejection.base, ejection.max);

    let (here, concurrency) = (at.key("concurrency"), &service.concurrency);
    report.number(&here.key("connections"), concurrency.connections, 1..=MANY);
    report.number(&here.key("requests"), concurrency.requests, 1..=MANY);
    report.number(&here.key("pending"), concurrency.pending, 0..=MANY);
    report.time_or_zero(&here.key("wait_ms"), concurrency.wait);
    report.ratio(&here.key("project_share"), concurrency.project_share);
    let nothing = concurrency.project_share == 0.0;
    report.refuse_if(nothing, &here.key("project_share"), "0 would let no project in");

    let (here, budget) = (at.key("retry_budget"), &service.retry_budget);
    report.ratio(&here.key("ratio"), budget.ratio);
    report.time(&here.key("window_ms"), budget.window);

    let (here, breaker) = (at.key("tenant_breaker"), &service.tenant_breaker);
    report.growing(&here, breaker.base, breaker.max);

    if let Some(shed) = &service.shed {
        let here = at.key("shed");
        report.number(&here.key("min"), shed.min, 1..=MANY);
        report.number(&here.key("max"), shed.max, 1..=MANY);
        let ordered = shed.min <= shed.initial && shed.initial <= shed.max;
        report.refuse_if(!ordered, &here, "min, initial and max must be in this order");
    }
}

fn limits(report: &mut Report<'_>, at: &Place<'_>, service: &Service) {
    for (index, limit) in service.limits.iter().enumerate() {
        let at = at.item(index);
        let is_tcp = service.protocol == Protocol::Tcp;
        if !names::is_word(&limit.name) {
            report.refuse(
                &at.key("name"),
                format!("{:?} is no name: 1 to 63 of a-z, 0-9, - and _", limit.name),
            );
        }
        if service.limits[..index].iter().any(|earlier| earlier.name == limit.name) {
            report.refuse(&at.key("name"), format!("{} is there twice", limit.name));
        }
        matches::check(report, &at.key("match"), &limit.matches, is_tcp);
        if let LimitKey::Header(name) = &limit.per {
            headers::name(report, &at.key("per").key("header"), name);
        }
        let of_requests = matches!(limit.per, LimitKey::Project | LimitKey::Header(_));
        report.refuse_if(
            is_tcp && of_requests,
            &at.key("per"),
            "a tcp service has neither headers nor projects",
        );
        report.time(&at.key("period_ms"), limit.period);
        report.refuse_if(limit.requests == Some(0), &at.key("requests"), "must be more than 0");
        report.refuse_if(limit.concurrent == Some(0), &at.key("concurrent"), "must be more than 0");
        let nothing = limit.requests.is_none() && limit.concurrent.is_none();
        report.refuse_if(nothing, &at, "a limit needs requests or concurrent");
    }
}
