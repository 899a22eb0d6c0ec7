//! The addresses of one proxy: each is taken once, and what takes calls without asking who calls is for this machine.

use std::collections::BTreeSet;

use super::super::{Listen, Sidecar};
use super::Place;
use super::report::Report;

/// A listener that trusts whoever reaches it.
pub(super) fn loopback(report: &mut Report<'_>, at: &Place<'_>, listen: &Listen) {
    match listen {
        Listen::Tcp(addr) if !addr.ip().to_canonical().is_loopback() => {
            report.refuse(at, format!("{addr} is not on loopback: anybody could call as this workload"));
        }
        _ => {}
    }
}

/// No two listeners and programs share an address. Port 0 is any free one.
pub(super) fn check(report: &mut Report<'_>, at: &Place<'_>, sidecar: &Sidecar) {
    let mut seen = BTreeSet::new();
    let mut take = |at: &Place<'_>, listen: Listen| {
        let free = matches!(&listen, Listen::Tcp(addr) if addr.port() == 0);
        if !free && !seen.insert(listen.to_string()) {
            report.refuse(at, format!("{listen} is taken already"));
        }
    };
    for (key, addr) in
        [("inbound", sidecar.inbound), ("probes", sidecar.probes), ("metrics", sidecar.metrics)]
    {
        if let Some(addr) = addr {
            take(&at.key(key), Listen::Tcp(addr));
        }
    }
    if let Some(path) = &sidecar.admin {
        take(&at.key("admin"), Listen::Unix(path.clone()));
    }
    let workloads = at.key("workloads");
    for (index, workload) in sidecar.workloads.iter().enumerate() {
        let at = workloads.item(index);
        if let Some(program) = &workload.program {
            take(&at.key("program"), program.clone());
        }
        let outbound = at.key("outbound");
        for (index, listener) in workload.outbound.iter().enumerate() {
            take(&outbound.item(index).key("listen"), listener.listen.clone());
        }
    }
}
