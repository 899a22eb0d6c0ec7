//! The hosts outside of the mesh that may be called.

use std::net::{IpAddr, Ipv4Addr};

use super::super::Egress;
use super::report::Report;
use super::{Mesh, Place, names};

/// The suffix of the mesh's own names.
const MESH: &str = ".mesh";

pub(super) fn check(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh) {
    for (index, egress) in mesh.egress.iter().enumerate() {
        let at = at.item(index);
        report.refuse_if(egress.from.is_empty(), &at.key("from"), "names nobody who may call");
        for (index, caller) in egress.from.iter().enumerate() {
            names::caller(report, &at.key("from").item(index), mesh, caller);
        }
        report.refuse_if(egress.ports.is_empty(), &at.key("ports"), "names no port");
        for (index, port) in egress.ports.iter().enumerate() {
            report.refuse_if(*port == 0, &at.key("ports").item(index), "0 is no port");
        }
        host(report, &at.key("host"), egress);
    }
}

fn host(report: &mut Report<'_>, at: &Place<'_>, egress: &Egress) {
    let host = egress.host.as_str();
    if !names::is_host_pattern(host, 2) {
        report.refuse(
            at,
            format!("{host:?} is no host in lower case, nor `*.` and a suffix of at least two labels"),
        );
        return;
    }
    if host.ends_with(MESH) {
        report.refuse(at, format!("{host:?} is inside the mesh, not outside"));
    }
    let is_private = match names::ip(host) {
        Some(ip) => is_private(ip),
        None => host == "localhost" || host.ends_with(".localhost"),
    };
    if is_private && !egress.private {
        report.refuse(at, format!("{host:?} is private: say `private: true` if that is meant"));
    }
}

/// Whether an address is not of the public internet. Only for literals: what names lead to is looked at per call.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_private_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped().or_else(|| ip.to_ipv4()) {
            Some(inner) => is_private_v4(inner),
            None => ip.is_multicast() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_multicast()
        // "this network" and the carriers' shared space (RFC 6598)
        || first == 0
        || (first == 100 && (64..128).contains(&second))
}
