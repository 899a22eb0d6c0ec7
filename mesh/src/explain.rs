//! What would become of a request, step by step, by the very code that decides it; nothing is sent.

use base::Request;
use serde::Serialize;
use serde_json::{Value, json};

use crate::egress::EgressRules;
use crate::identity::Identity;
use crate::matching::Head;
use crate::policy::{Policy, Verdict};
use crate::resource::{Mesh, Protocol};
use crate::snapshot::{Route, Service, Snapshot};
use crate::target;
use crate::traffic::edit;

/// One thing that is decided about a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// What: `service`, `route`, `policy`, `fault`, …
    pub about: &'static str,
    /// In words.
    pub says: String,
    /// The part of the configuration that says it.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub by: Value,
}

/// All of it, in the order in which it is decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// The steps.
    pub steps: Vec<Step>,
    /// Whether the request comes to a program.
    pub arrives: bool,
    /// The services that it may come to.
    pub services: Vec<String>,
}

impl Explained {
    fn step(&mut self, about: &'static str, says: impl Into<String>, by: impl Serialize) {
        let by = serde_json::to_value(by).unwrap_or_default();
        self.steps.push(Step { about, says: says.into(), by });
    }

    fn refused(mut self, about: &'static str, says: impl Into<String>) -> Explained {
        self.step(about, says, ());
        self
    }
}

/// What would become of `request`, made by the service `source` under `mesh`.
///
/// Errors: the mesh cannot be compiled.
pub fn explain(mesh: Mesh, source: &str, mut request: Request) -> Result<Explained, String> {
    let snapshot = Snapshot::compile(mesh, None)?;
    let mut told = Explained { steps: Vec::new(), arrives: false, services: Vec::new() };
    let host = request.uri().host().unwrap_or_default().to_ascii_lowercase();
    let Some(name) = host.strip_suffix(".mesh") else {
        return Ok(outside(told, &snapshot.egress, source, &request));
    };
    let Some(service) = snapshot.service(name) else {
        return Ok(told.refused("service", format!("there is no service {name} that can be called: 502")));
    };
    told.step(
        "service",
        format!("{source} calls {name}"),
        json!({ "tls": service.spec.tls, "protocol": service.spec.protocol }),
    );
    if service.spec.protocol == Protocol::Tcp {
        return Ok(told.refused("service", format!("{name} speaks tcp: HTTP does not go there: 403")));
    }
    if target::normalise_path(&mut request).is_err() {
        return Ok(told.refused("path", "the path has a dot segment, or cannot be read: 400"));
    }
    told.step("path", request.uri().path().to_owned(), ());
    let route = service.route(&Head::of(&request, request.uri().path())).clone();
    told.step("route", format!("{} ({})", route.name, kind(&route)), &route.spec);
    if let Some(fault) = &route.spec.fault {
        let every = fault.percent >= 100.0 && fault.headers.is_empty();
        told.step(
            "fault",
            if every { "it gets trouble on purpose" } else { "some get trouble on purpose" },
            fault,
        );
        if let Some(status) = fault.abort.filter(|_| every) {
            return Ok(told.refused("fault", format!("it is answered here, on purpose: {status}")));
        }
    }
    if let Some(redirect) = &route.spec.redirect {
        told.step("redirect", "it is answered here: nobody is asked", redirect);
        return Ok(told);
    }
    let names = match &route.spec.split {
        Some(split) => {
            told.step("split", "several services share it", split);
            split.to.iter().map(|backend| backend.service.clone()).collect()
        }
        None => vec![name.to_owned()],
    };
    // the other side judges what it gets
    edit::apply(&route.spec.request_headers, request.headers_mut());
    if let Some(rewrite) = &route.spec.rewrite {
        let (mut head, body) = request.into_parts();
        if let Err(wrong) = edit::rewrite(rewrite, route.spec.matches.prefix.as_deref(), &mut head) {
            return Ok(told.refused("rewrite", wrong));
        }
        request = Request::from_parts(head, body);
        told.step("rewrite", format!("the service sees {}", request.uri()), rewrite);
    }
    let me = Identity::new(&snapshot.trust_domain, source);
    for name in names {
        let Some(service) = snapshot.service(&name) else { continue };
        if is_let_in(&mut told, service, &me, &request) {
            told.arrives = true;
            told.services.push(name);
        }
    }
    if told.arrives {
        kept(&mut told, &route);
    }
    Ok(told)
}

/// What the other side says: who may call, and how much.
fn is_let_in(told: &mut Explained, service: &Service, me: &Identity, request: &Request) -> bool {
    let name = &service.name;
    if service.is_denied {
        told.step("denied", format!("nobody talks to {name} any more: 403"), ());
        return false;
    }
    let policy: &Policy = &service.policy;
    let rules = json!({ "callers": service.spec.callers, "policies": service.spec.policies });
    let is_in = match policy.judge(me, &Head::of(request, request.uri().path())) {
        Verdict::Allowed => {
            told.step("policy", format!("{name} lets it in"), rules);
            true
        }
        Verdict::DryRun => {
            told.step("policy", format!("{name} lets it in, and would not but for dry_run"), rules);
            true
        }
        Verdict::Denied if policy.is_denied_identity(me) => {
            told.step("denied", format!("nobody talks to {me} any more: 403"), ());
            false
        }
        Verdict::Denied => {
            told.step("policy", format!("nothing lets {me} in to {name}: 403"), rules);
            false
        }
    };
    if is_in && !service.spec.limits.is_empty() {
        told.step("limits", format!("{name} counts it, if it is meant"), &service.spec.limits);
    }
    is_in
}

/// What the caller's side does if it goes wrong.
fn kept(told: &mut Explained, route: &Route) {
    told.step("retry", "what is tried again, within the budget", &route.spec.retry);
    if let Some(hedge) = &route.spec.hedge {
        told.step("hedge", "a second attempt beside a slow first one", hedge);
    }
    if let Some(mirror) = &route.spec.mirror {
        told.step("mirror", "a copy goes elsewhere, whose answer nobody waits for", mirror);
    }
    if !route.spec.fallback.is_empty() {
        told.step("fallback", "the answer when the service has none", &route.spec.fallback);
    }
}

fn outside(mut told: Explained, rules: &EgressRules, source: &str, request: &Request) -> Explained {
    let host = request.uri().host().unwrap_or_default();
    let port = request.uri().port_u16();
    let port = port.unwrap_or(if request.uri().scheme_str() == Some("https") { 443 } else { 80 });
    match rules.allows(source, host, port) {
        Ok(_) => {
            told.step(
                "egress",
                format!("{source} may call {host}:{port}, if its address is a public one"),
                (),
            );
            told.arrives = true;
            told
        }
        Err(denied) => told.refused("egress", format!("{source} may not call {host}:{port}: {denied}")),
    }
}

fn kind(route: &Route) -> String {
    let times: Vec<String> = route
        .kind
        .times()
        .into_iter()
        .map(|(name, time)| format!("{} {} ms", name.trim_end_matches("_ms"), time.as_millis()))
        .collect();
    format!("{}, {}", route.kind.name(), times.join(", "))
}

#[cfg(test)]
mod tests {
    use base::Body;

    use super::*;

    const MESH: &str = "\
trust_domain: t.local
denied: [spiffe://t.local/evil]
services:
  shop:
    callers: [gateway, evil]
    policies: [{ from: [web], match: { prefix: /public/, methods: [GET] } }]
    limits: [{ name: many, per: identity, requests: 10 }]
    routes:
      - { path: /old, kind: unary, deadline_ms: 100, redirect: { location: /new } }
      - { path: /half, kind: unary, deadline_ms: 100, split: { to: [{ service: shop, weight: 1 }, { service: beta, weight: 1 }] } }
      - { path: /v2/, kind: unary, deadline_ms: 100, rewrite: { path: / } }
      - { path: /broken, kind: unary, deadline_ms: 100, fault: { percent: 100, abort: 418 } }
      - { kind: unary, deadline_ms: 5000 }
  beta: { callers: [gateway], routes: [{ kind: unary, deadline_ms: 1 }] }
  bytes: { protocol: tcp, routes: [{ kind: tcp, idle_ms: 1 }] }
  web: {}
  gateway: {}
  evil: {}
egress: [{ host: api.example.com, from: [web] }]
";

    fn explained(source: &str, method: &str, url: &str) -> Explained {
        let request = http::Request::builder().method(method).uri(url).body(Body::empty()).unwrap();
        explain(Mesh::parse(MESH).unwrap(), source, request).unwrap()
    }

    /// Whether it arrives, and what the last word on `about` is.
    fn says(source: &str, method: &str, url: &str, about: &str) -> (bool, String) {
        let told = explained(source, method, url);
        let step = told.steps.iter().rev().find(|step| step.about == about);
        (told.arrives, step.map(|step| step.says.clone()).unwrap_or_default())
    }

    #[test]
    fn policy_is_judged_as_it_is_for_requests() {
        let policy = |source, method, url| says(source, method, url, "policy");
        assert_eq!(policy("gateway", "POST", "http://shop.mesh/x"), (true, "shop lets it in".to_owned()));
        assert_eq!(policy("web", "GET", "http://shop.mesh/public/a"), (true, "shop lets it in".to_owned()));
        let refused = (false, "nothing lets spiffe://t.local/web in to shop: 403".to_owned());
        assert_eq!(policy("web", "POST", "http://shop.mesh/public/a"), refused);
        assert_eq!(policy("web", "GET", "http://shop.mesh/private"), refused);
        let denied = says("evil", "GET", "http://shop.mesh/", "denied");
        assert_eq!(denied, (false, "nobody talks to spiffe://t.local/evil any more: 403".to_owned()));
    }

    #[test]
    fn the_route_says_where_it_goes_and_how_long_it_may_take() {
        let told = explained("gateway", "GET", "http://shop.mesh/x");
        assert_eq!(told.steps[2].says, "* (unary, deadline 5000 ms)");
        assert_eq!(told.services, ["shop"]);
        let names: Vec<&str> = told.steps.iter().map(|step| step.about).collect();
        assert_eq!(names, ["service", "path", "route", "policy", "limits", "retry"]);

        assert_eq!(explained("gateway", "GET", "http://shop.mesh/half").services, ["shop", "beta"]);
        let old = explained("gateway", "GET", "http://shop.mesh/old");
        assert_eq!((old.arrives, old.steps.last().unwrap().about), (false, "redirect"));
    }

    #[test]
    fn what_the_other_side_gets_is_what_it_judges() {
        assert!(explained("web", "GET", "http://shop.mesh/v2/public/a").arrives);
        assert!(!explained("web", "GET", "http://shop.mesh/v2/private").arrives);
        let rewritten = says("web", "GET", "http://shop.mesh/v2/public/a?b=1", "rewrite").1;
        assert!(rewritten.ends_with("/public/a?b=1"), "{rewritten}");
    }

    #[test]
    fn what_goes_nowhere_is_said() {
        let broken = says("gateway", "GET", "http://shop.mesh/broken", "fault");
        assert_eq!(broken, (false, "it is answered here, on purpose: 418".to_owned()));
        assert!(!says("web", "GET", "http://none.mesh/", "service").0);
        assert!(says("web", "GET", "http://bytes.mesh/", "service").1.contains("speaks tcp"));
        assert!(says("gateway", "GET", "http://shop.mesh/../x", "path").1.contains("400"));
        assert!(says("web", "GET", "https://api.example.com/", "egress").0);
        assert!(!says("gateway", "GET", "https://api.example.com/", "egress").0);
    }
}
