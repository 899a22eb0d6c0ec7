//! What a configuration of the right form may still get wrong.
//!
//! Each check says where, in the words of the file. None of them stops at the first mistake.

mod cycles;
mod egress;
mod headers;
mod listeners;
mod matches;
mod names;
mod report;
mod route;
mod service;
mod sidecar;
#[cfg(test)]
mod tests;
mod traffic;

use super::locate::Place;
use super::{Mesh, Service, Telemetry};
use report::Report;

/// The edge calls services even where it is none itself.
const GATEWAY: &str = "gateway";

/// Looks at everything in `mesh`, which was read from `yaml`.
pub(super) fn check<'y>(mesh: &Mesh, yaml: &'y str) -> Report<'y> {
    let mut report = Report::new(yaml);
    let top = Place::TOP;
    if !names::is_trust_domain(&mesh.trust_domain) {
        let reason =
            format!("{:?} is no trust domain: 1 to 255 of a-z, 0-9, `.`, `-` and `_`", mesh.trust_domain);
        report.refuse(&top.key("trust_domain"), reason);
    }
    asserts(&mut report, &top.key("asserts"), mesh);
    for id in mesh.denied.iter().filter(|id| !names::is_spiffe_id(id)) {
        report.refuse(&top.key("denied").text(id), names::not_spiffe(id));
    }
    egress::check(&mut report, &top.key("egress"), mesh);
    telemetry(&mut report, &top.key("telemetry"), &mesh.telemetry);
    let services = top.key("services");
    for (name, service) in &mesh.services {
        service::check(&mut report, &services.key(name), mesh, name, service);
    }
    cycles::check(&mut report, mesh);
    if let Some(sidecar) = &mesh.sidecar {
        sidecar::check(&mut report, &top.key("sidecar"), mesh, sidecar);
    }
    report
}

/// Nobody says about itself who it is: the peer's name comes from its certificate.
fn asserts(report: &mut Report<'_>, at: &Place<'_>, mesh: &Mesh) {
    for (caller, headers) in &mesh.asserts {
        let at = at.key(caller);
        names::caller(report, &at, mesh, caller);
        for (index, name) in headers.iter().enumerate() {
            let at = at.item(index);
            headers::name(report, &at, name);
            let name = name.to_ascii_lowercase();
            if !name.starts_with(base::header::PREFIX) {
                report.refuse(&at, format!("{name} is not the mesh's own, so anybody may send it"));
            } else if name == base::header::PEER.as_str() {
                report.refuse(&at, format!("{name} is what the certificate says, nobody may assert it"));
            }
        }
    }
}

fn telemetry(report: &mut Report<'_>, at: &Place<'_>, telemetry: &Telemetry) {
    let Some(otlp) = &telemetry.otlp else { return };
    let at = at.key("otlp");
    let endpoint = &otlp.endpoint;
    let is_url = ["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme));
    let is_base = endpoint.parse::<http::Uri>().is_ok_and(|url| url.query().is_none());
    if !is_url || !is_base {
        report.refuse(
            &at.key("endpoint"),
            format!("{endpoint:?} is no base URL, such as http://127.0.0.1:4318"),
        );
    }
    report.ratio(&at.key("sample"), otlp.sample);
    headers::sent(report, &at.key("headers"), &otlp.headers);
}
