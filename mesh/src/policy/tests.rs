//! Who gets in, and what each tries to get in all the same.

use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::matching::normalise;

const MESH: &str = "
trust_domain: meshbase.local
denied: ['spiffe://meshbase.local/stolen', 'spiffe://partner.example/bad']
asserts:
  gateway: [x-meshbase-project, x-meshbase-client-ip, x-meshbase-peer, x-meshbase-fault, authorization]
  'spiffe://partner.example/edge': [x-meshbase-origin]
services:
  data:
    callers: [gateway, stolen, 'spiffe://partner.example/bad']
    policies:
      - from: [auth, 'spiffe://partner.example/edge']
        match: { prefix: /public/, methods: [GET] }
      - from: [auth]
        match: { exact: /exact/path }
      - from: [auth]
        match: { template: '/one/{id}' }
      - from: [auth]
        match: { prefix: /by-header/, headers: { x-mode: reader } }
      - from: [auth]
        match: { prefix: /by-query/, query: { mode: reader } }
      - from: [auth]
        match: { prefix: /by-host/, host: data.mesh }
      - from: [batch]
    routes: [{ kind: unary, deadline_ms: 1000 }]
  trial:
    callers: [stolen]
    dry_run: true
    routes: [{ kind: unary, deadline_ms: 1000 }]
";

fn mesh() -> Mesh {
    serde_saphyr::from_str(MESH).unwrap()
}

fn policy(service: &str) -> Policy {
    Policy::compile(&mesh(), service)
}

fn id(text: &str) -> Identity {
    Identity::parse(&full_id("meshbase.local", text)).unwrap()
}

fn ask(policy: &Policy, peer: &str, method: Method, path: &str) -> Verdict {
    let head = Head { host: "data.mesh", method: &method, path, query: None, headers: &HeaderMap::new() };
    policy.judge(&id(peer), &head)
}

#[test]
fn those_who_are_named_get_in() {
    let data = policy("data");
    let allowed = [
        ("gateway", Method::DELETE, "/anything"),
        ("gateway", Method::GET, "/any%2Fthing"),
        ("batch", Method::POST, "/anything"),
        ("auth", Method::GET, "/public/a"),
        ("auth", Method::GET, "/public/a%2Fb"),
        ("auth", Method::POST, "/exact/path"),
        ("auth", Method::PUT, "/one/1"),
        ("auth", Method::GET, "/by-host/"),
        ("spiffe://meshbase.local/gateway", Method::GET, "/"),
        ("spiffe://partner.example/edge", Method::GET, "/public/a"),
    ];
    for (peer, method, path) in allowed {
        assert_eq!(ask(&data, peer, method, path), Verdict::Allowed, "{peer} {path}");
    }
}

#[test]
fn everything_else_is_denied() {
    let data = policy("data");
    let attacks = [
        // who: nobody, itself, strangers, look-alikes, and our names in other trust domains
        ("storage", Method::GET, "/public/a"),
        ("data", Method::GET, "/"),
        ("Gateway", Method::GET, "/"),
        ("gateway/x", Method::GET, "/"),
        ("x/gateway", Method::GET, "/"),
        ("gatewa", Method::GET, "/"),
        ("spiffe://elsewhere.local/gateway", Method::GET, "/"),
        ("spiffe://meshbase.local.evil/gateway", Method::GET, "/"),
        ("spiffe://evil.meshbase.local/gateway", Method::GET, "/"),
        ("spiffe://partner.example/gateway", Method::GET, "/"),
        ("spiffe://partner.example/auth", Method::GET, "/public/a"),
        ("edge", Method::GET, "/public/a"),
        // the denied, though they are callers
        ("stolen", Method::GET, "/"),
        ("spiffe://partner.example/bad", Method::GET, "/"),
        // what: methods and paths beside those that are allowed
        ("auth", Method::POST, "/public/a"),
        ("auth", Method::HEAD, "/public/a"),
        ("auth", Method::GET, "/"),
        ("auth", Method::GET, "/public"),
        ("auth", Method::GET, "/Public/a"),
        ("auth", Method::GET, "//public/a"),
        ("auth", Method::GET, "/public%2Fa"),
        ("auth", Method::GET, "/private/public/a"),
        ("auth", Method::POST, "/exact/path/"),
        ("auth", Method::POST, "/exact//path"),
        ("auth", Method::POST, "/exact%2Fpath"),
        ("auth", Method::POST, "/exact/path/more"),
        ("auth", Method::PUT, "/one/1/delete"),
        ("auth", Method::PUT, "/one/1%2Fdelete"),
        ("auth", Method::PUT, "/one/1%5Cdelete"),
        ("auth", Method::PUT, "/one/%2F"),
        ("auth", Method::PUT, "/one/"),
        ("spiffe://partner.example/edge", Method::POST, "/exact/path"),
    ];
    for (peer, method, path) in attacks {
        assert_eq!(ask(&data, peer, method, path), Verdict::Denied, "{peer} {path}");
    }
}

#[test]
fn headers_queries_and_hosts_are_judged_in_full() {
    let data = policy("data");
    let auth = id("auth");
    let judge = |path, query, host, modes: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for mode in modes {
            headers.append("x-mode", HeaderValue::from_static(mode));
        }
        data.judge(&auth, &Head { host, method: &Method::GET, path, query, headers: &headers })
            == Verdict::Allowed
    };

    assert!(judge("/by-header/", None, "", &["reader"]));
    assert!(!judge("/by-header/", None, "", &[]));
    assert!(!judge("/by-header/", None, "", &["reader", "admin"]));
    assert!(!judge("/by-header/", None, "", &["admin", "reader"]));
    assert!(judge("/by-query/", Some("mode=reader"), "", &[]));
    assert!(!judge("/by-query/", None, "", &[]));
    assert!(!judge("/by-query/", Some("mode=reader&mode=admin"), "", &[]));
    assert!(!judge("/by-query/", Some("mode=admin&m%6fde=reader"), "", &[]));
    assert!(judge("/by-host/", None, "DATA.mesh:9000", &[]));
    assert!(!judge("/by-host/", None, "data.mesh.evil", &[]));
    assert!(!judge("/by-host/", None, "", &[]));
}

#[test]
fn a_service_without_policy_lets_nobody_in() {
    assert_eq!(ask(&policy("unknown"), "gateway", Method::GET, "/"), Verdict::Denied);
}

#[test]
fn a_dry_run_lets_in_and_tells_but_never_the_denied() {
    let trial = policy("trial");

    assert_eq!(ask(&trial, "auth", Method::GET, "/"), Verdict::DryRun);
    assert_eq!(ask(&trial, "stolen", Method::GET, "/"), Verdict::Denied);
    assert!(trial.is_denied_identity(&id("stolen")));
    assert!(!trial.is_denied_identity(&id("auth")));
}

#[test]
fn the_compiled_in_mesh_lets_in_whom_it_names() {
    let mesh: Mesh = serde_saphyr::from_str(include_str!("../../defaults.yaml")).unwrap();
    let data = Policy::compile(&mesh, "data");

    assert_eq!(ask(&data, "gateway", Method::GET, "/"), Verdict::Allowed);
    assert_eq!(ask(&data, "storage", Method::GET, "/"), Verdict::Denied);
}

fn stripped(peer: &str, names: &[&'static str]) -> Vec<String> {
    let mut headers = HeaderMap::new();
    for name in names {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
    }
    policy("data").strip(&id(peer), &mut headers);
    let mut left: Vec<String> = headers.iter().map(|(name, _)| name.as_str().to_owned()).collect();
    left.sort();
    left
}

#[test]
fn unproven_headers_are_stripped_and_the_deadline_is_kept() {
    let sent = [
        "x-meshbase-project",
        "x-meshbase-peer",
        "x-meshbase-role",
        "x-meshbase-fault",
        "x-meshbase-",
        "x-meshbase-origin",
        "x-meshbase-deadline-ms",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "x-meshbas",
        "authorization",
        "accept",
    ];
    let harmless = ["accept", "authorization", "x-forwarded-for", "x-meshbas", "x-meshbase-deadline-ms"];

    let mut from_gateway = stripped("gateway", &sent);
    let from_partner = stripped("spiffe://partner.example/edge", &sent);

    assert_eq!(stripped("stranger", &sent), harmless);
    assert!(
        from_partner.contains(&"x-meshbase-origin".to_owned()) && from_partner.len() == harmless.len() + 1
    );
    from_gateway.retain(|name| name != "x-meshbase-project");
    assert_eq!(from_gateway, harmless);
}

#[test]
fn what_a_caller_may_assert_nobody_of_its_name_elsewhere_may() {
    let project = ["x-meshbase-project"];

    assert_eq!(stripped("gateway", &project), project);
    assert!(stripped("spiffe://elsewhere.local/gateway", &project).is_empty());
    assert!(stripped("edge", &["x-meshbase-origin"]).is_empty());
}

#[test]
fn underscores_are_no_way_round() {
    let sent = [
        "x_meshbase_project",
        "x-meshbase_project",
        "x_meshbase-project",
        "x_forwarded_client_cert",
        "x-forwarded-client_cert",
        "x_meshbase_deadline_ms",
    ];

    assert!(stripped("gateway", &sent).is_empty());
}

#[test]
fn every_value_of_an_unproven_header_goes() {
    let twice = ["x-meshbase-role", "x-meshbase-role", "accept"];

    assert_eq!(stripped("gateway", &twice), ["accept"]);
}

proptest! {
    #[test]
    fn whatever_is_allowed_is_allowed_to_a_program_that_decodes(path in "/(public/|one/|exact)?([a-b]|/|%2F|%5c|%2f){0,6}") {
        let Ok(normal) = normalise(&path) else { return Ok(()) };
        let data = policy("data");

        if ask(&data, "auth", Method::GET, &normal) == Verdict::Allowed {
            let decoded = normal.replace("%2F", "/").replace("%5C", "/");
            prop_assert_eq!(ask(&data, "auth", Method::GET, &decoded), Verdict::Allowed);
        }
    }
}
