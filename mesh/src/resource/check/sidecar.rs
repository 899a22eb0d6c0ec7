//! One proxy and the programs beside it.

use super::super::{Control, OutboundListener, Protocol, Ready, Sidecar, Tls, Workload};
use super::report::Report;
use super::{Mesh, Place, listeners, matches, names};

/// More threads than any proxy has processors for.
const MAX_WORKERS: usize = 256;

pub(super) fn check(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, sidecar: &Sidecar) {
    if let Some(control) = &sidecar.control {
        steered(report, &at.key("control"), mesh, control);
    }
    let workloads = at.key("workloads");
    report.refuse_if(sidecar.workloads.is_empty(), &workloads, "names no workload");
    for (index, workload) in sidecar.workloads.iter().enumerate() {
        let at = workloads.item(index);
        let here = at.key("service");
        match &sidecar.control {
            None => names::caller(report, &here, mesh, &workload.service),
            Some(_) => steered_workload(report, &at, workload),
        }
        if sidecar.workloads[..index].iter().any(|earlier| earlier.service == workload.service) {
            report.refuse(&here, format!("{} is there twice", workload.service));
        }
        self::workload(report, &at, mesh, sidecar, workload);
    }
    inbound(report, at, sidecar);
    federation(report, &at.key("federated_roots"), mesh, sidecar);
    let open = sidecar.metrics.is_some_and(|addr| !addr.ip().to_canonical().is_loopback());
    report.refuse_if(
        open && sidecar.metrics_token.is_none(),
        &at.key("metrics"),
        "beyond loopback they take a token: metrics_token is its file",
    );
    listeners::check(report, at, sidecar);
    report.refuse_if(sidecar.zone.as_deref() == Some(""), &at.key("zone"), "a zone needs a name");
    report.time_or_zero(&at.key("grace_ms"), sidecar.grace);
    report.time_or_zero(&at.key("lame_duck_ms"), sidecar.lame_duck);
    report.number(&at.key("workers"), sidecar.workers, 1..=MAX_WORKERS);
}

/// What the control plane knows is not said here too.
fn steered(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, control: &Control) {
    report.refuse_if(control.addresses.is_empty(), &at.key("addresses"), "names no control plane");
    for (key, addresses) in [("addresses", &control.addresses), ("join", &control.join)] {
        for (index, address) in addresses.iter().enumerate() {
            let host =
                address.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
            if !host.is_some_and(|(host, _)| names::is_host(host)) {
                let key = at.key(key);
                report.refuse(&key.item(index), format!("{address:?} is no HOST:PORT"));
            }
        }
    }
    report.refuse_if(
        !mesh.services.is_empty(),
        at,
        "the control plane knows the services: none may stand here",
    );
}

/// It proves itself with what the control plane gave it.
fn steered_workload(report: &mut Report<'_>, at: &Place<'_>, workload: &Workload) {
    if !names::is_label(&workload.service) {
        report.refuse(&at.key("service"), format!("{:?} is no DNS label", workload.service));
    }
    let has_files = workload.certificate.is_some() || workload.key.is_some();
    report.refuse_if(
        has_files,
        at,
        "its certificate is the control plane's to give: it needs a token, no files",
    );
}

/// Others' roots speak for others alone.
fn federation(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, sidecar: &Sidecar) {
    for (domain, files) in &sidecar.federated_roots {
        let at = at.key(domain);
        if !names::is_trust_domain(domain) {
            report.refuse(&at, format!("{domain:?} is no trust domain"));
        }
        report.refuse_if(*domain == mesh.trust_domain, &at, "our own roots stand under roots");
        report.refuse_if(files.is_empty(), &at, "names no file");
    }
}

/// What it takes to be called.
fn inbound(report: &mut Report<'_>, at: &Place<'_>, sidecar: &Sidecar) {
    if sidecar.inbound.is_none() {
        return;
    }
    let called = sidecar.workloads.iter().any(|workload| workload.program.is_some());
    report.refuse_if(!called, &at.key("inbound"), "no workload has a program that could be called");
    if sidecar.control.is_some() {
        return;
    }
    report.refuse_if(sidecar.roots.is_empty(), &at.key("inbound"), "inbound needs roots");
    for (index, workload) in sidecar.workloads.iter().enumerate() {
        let workloads = at.key("workloads");
        let at = workloads.item(index);
        if workload.program.is_some() && workload.certificate.is_none() && workload.key.is_none() {
            report.refuse(&at, format!("{} needs a certificate and a key to be called", workload.service));
        }
    }
}

fn workload(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh, sidecar: &Sidecar, workload: &Workload) {
    match (&workload.certificate, &workload.key) {
        (Some(_), None) => report.refuse(&at.key("certificate"), "a certificate needs its key"),
        (None, Some(_)) => report.refuse(&at.key("key"), "a key needs its certificate"),
        _ => {}
    }
    let is_known = sidecar.control.is_some() || mesh.services.contains_key(&workload.service);
    report.refuse_if(
        sidecar.control.is_none() && workload.token.is_some(),
        &at.key("token"),
        "there is no control plane to join",
    );
    if workload.program.is_some() && !is_known {
        report.refuse(
            &at.key("program"),
            format!("only a service is called, and {} is none", workload.service),
        );
    }
    let idle = workload.program.is_none() && workload.outbound.is_empty();
    report.refuse_if(idle, at, "a workload needs a program or an outbound listener");
    match &workload.ready {
        Some(ready) if ready.needs_place() && workload.program.is_none() => {
            report.refuse(&at.key("ready"), format!("{ready} needs a program to connect to"));
        }
        Some(Ready::Http(path)) => matches::path(report, &at.key("ready"), path),
        _ => {}
    }
    for (index, listener) in workload.outbound.iter().enumerate() {
        let outbound = at.key("outbound");
        self::outbound(report, &outbound.item(index), mesh, sidecar, workload, listener);
    }
}

fn outbound(
    report: &mut Report<'_>,
    at: &Place<'_>,
    mesh: &Mesh,
    sidecar: &Sidecar,
    workload: &Workload,
    listener: &OutboundListener,
) {
    listeners::loopback(report, &at.key("listen"), &listener.listen);
    let is_tcp = listener.protocol == Protocol::Tcp;
    let to = at.key("to");
    let Some(name) = &listener.to else {
        report.refuse_if(is_tcp, at, "a tcp listener needs to: bytes do not say where they go");
        return;
    };
    if sidecar.control.is_some() {
        return;
    }
    let Some(service) = names::service(report, &to, mesh, name) else { return };
    if is_tcp != (service.protocol == Protocol::Tcp) {
        let reason = if is_tcp { "speaks HTTP, the listener tcp" } else { "speaks tcp, the listener HTTP" };
        report.refuse(&to, format!("the service {name} {reason}"));
    }
    let proves_itself = workload.certificate.is_some() && !sidecar.roots.is_empty();
    if service.tls == Tls::Mutual && !proves_itself {
        report.refuse(
            &to,
            format!("{name} is reached over mutual TLS, which needs a certificate, a key and roots"),
        );
    }
}
