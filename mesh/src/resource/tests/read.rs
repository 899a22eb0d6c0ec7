//! What is read, what is refused, and how that is told.

use std::io::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::super::{Kind, Mesh, Tls};
use super::arbitrary;

const ROUTE: &str = "    routes:\n      - { kind: unary, deadline_ms: 1 }\n";

fn refusal(yaml: &str) -> String {
    Mesh::parse(yaml).expect_err(yaml).message.into_owned()
}

#[test]
fn the_defaults_are_valid() {
    let mesh = Mesh::defaults();

    assert_eq!(mesh.services.keys().collect::<Vec<_>>(), ["auth", "data", "platform", "storage"]);
    assert_eq!(mesh.trust_domain, "meshbase.local");
    assert!(mesh.egress.is_empty(), "nothing outside may be called");
    assert!(mesh.services.values().all(|service| service.tls == Tls::Mutual && !service.dry_run));
}

#[test]
fn the_defaults_say_which_routes_stream() {
    let mesh = Mesh::defaults();

    let kinds: Vec<(&str, &str)> = mesh.services["storage"]
        .routes
        .iter()
        .map(|route| (route.name.as_str(), route.kind.name()))
        .collect();

    assert_eq!(
        kinds,
        [
            ("/object/list/*", "unary"),
            ("/object/list-v2/*", "unary"),
            ("/object/info/*", "unary"),
            ("/object/move*", "unary"),
            ("/object/copy*", "stream"),
            ("/object/*", "stream"),
            ("*", "unary"),
        ]
    );
    let exports = &mesh.services["data"].routes[..2];
    assert!(exports.iter().all(|route| route.kind.name() == "stream" && !route.matches.headers.is_empty()));
    let changes = &mesh.services["platform"].routes[0];
    let (response, idle) = (Duration::from_secs(10), Duration::from_secs(60));
    assert_eq!(changes.kind, Kind::Stream { response, idle });
}

#[test]
fn the_form_is_refused_with_line_and_column() {
    let service = "trust_domain: t.local\nservices:\n  a:\n";
    for (text, expected) in [
        (
            "x: 1\n    routes: [{ retry: { zzz: 1 } }]",
            "4:5: there is no key \"x\" here, only protocol, tls, discovery, balancer, health_check, ejection, concurrency, retry_budget, tenant_breaker, shed, limits, callers, policies, dry_run, routes",
        ),
        ("ruotes: []", "4:5: there is no key \"ruotes\" here; did you mean \"routes\"?"),
        ("routes: [{ mach: {} }]", "4:16: there is no key \"mach\" here; did you mean \"match\"?"),
        (
            "balancer: { kind: ring_hsh }",
            "4:23: \"ring_hsh\" is none of peak_ewma, least_request, round_robin, random, ring_hash; did you mean \
             \"ring_hash\"?",
        ),
        ("tls: 'yes'", "4:10: \"yes\" is none of mutual, off"),
        (
            "discovery: { dns: { name: x, prot: 7 } }",
            "4:34: there is no key \"prot\" here; did you mean \"port\"?",
        ),
        ("discovery: { dns: { port: 7 } }", "4:25: the key \"name\" is missing"),
        (
            "routes: [{ kind: unray, deadline_ms: 1 }]",
            "4:14: unray is no kind of route: unary, stream, upgrade or tcp",
        ),
        ("routes: [{ kind: unary }]", "4:14: a route of kind unary needs deadline_ms"),
        (
            "routes: [{ kind: unary, deadline_ms: 1, idle_ms: 1 }]",
            "4:14: a route of kind unary has no idle_ms",
        ),
        ("routes: [{ deadline_ms: 1 }]", "4:14: a route needs a kind: unary, stream, upgrade or tcp"),
        ("routes: [{ kind: tcp, idle_ms: 1, path: /, match: {} }]", "4:14: a route has either path or match"),
        ("routes: [{ deadline_ms: -1 }]", "4:29: not a whole number from 0 on, or too large"),
        (
            "routes: [{ match: { template: '/a/{b' } }]",
            "4:35: a placeholder of the template /a/{b must be a whole segment",
        ),
        ("routes: [{ match: { methods: [GET, 'P T'] } }]", "4:34: P T is no method"),
        ("routes: [{ request_headers: { set: { 'a b': c } } }]", "4:40: \"a b\" is no header name"),
        ("routes: [{ request_headers: { set: { X-A: b, x-a: c } } }]", "4:40: the header x-a is there twice"),
        (
            "routes: [{ response_headers: { add: { x-a: \"\\n\" } } }]",
            "4:41: the value of x-a is not valid in a header",
        ),
        ("dry_run: 'no'", "4:14: neither true nor false"),
        ("dry_run: yes", "4:14: neither true nor false"),
        ("callers: gateway", "4:14: a list is expected"),
        ("callers: [~]", "4:15: a value is expected"),
        ("callers:", "4:12: a list is expected"),
        ("dry_run: true\n    dry_run: true", "5:5: the key \"dry_run\" is there twice"),
        ("protocol: !x http1", "4:18: unsupported tag `!x`"),
        ("routes: [", "4:13: unclosed bracket '['"),
    ] {
        assert_eq!(refusal(&format!("{service}    {text}\n")), format!("<mesh>:{expected}"), "{text}");
    }
}

#[test]
fn a_file_is_one_mapping() {
    for (text, expected) in [
        ("", "<mesh>:1:1: unexpected end of file"),
        ("- a", "<mesh>:1:1: keys with values are expected"),
        ("services: {}", "<mesh>:1:1: the key \"trust_domain\" is missing"),
        (
            "trust_domain: a\nservices: {}\n---\nb: c\n",
            "<mesh>:4:1: only single YAML document expected but multiple found",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn the_file_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"trust_domain: T\nservices: {}\n").unwrap();

    let error = Mesh::load(file.path()).unwrap_err();

    let name = file.path().display();
    assert!(
        error.message.starts_with(&format!("{name}:1:15: trust_domain: \"T\" is no trust domain")),
        "{error}"
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let missing = Mesh::load("/nowhere/mesh.yaml".as_ref()).unwrap_err();
    let folder = Mesh::load("/".as_ref()).unwrap_err();

    assert_eq!(missing.message, "cannot read /nowhere/mesh.yaml");
    assert!(missing.source.unwrap().to_string().contains("No such file"));
    assert_eq!(folder.message, "cannot read /");
}

#[test]
fn what_is_not_utf8_is_told_with_its_line() {
    let error = Mesh::from_bytes("a.yaml", b"trust_domain: a\n# \xff\n").unwrap_err();

    assert_eq!(error.message, "a.yaml:2: not UTF-8");
}

#[test]
fn a_file_has_a_largest_size() {
    let comment = format!("# {}\n", "x".repeat(16 * 1024 * 1024));

    assert_eq!(refusal(&comment), "<mesh>: larger than 16777216 bytes");
}

#[test]
fn aliases_cannot_blow_up() {
    let mut yaml = "trust_domain: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let ten = vec![format!("*a{}", n - 1); 10].join(", ");
        yaml += &format!("k{n}: &a{n} [{ten}]\n");
    }

    assert!(Mesh::parse(&yaml).is_err());
}

#[test]
fn anchors_and_merges_save_writing() {
    let yaml = format!("trust_domain: t\nservices:\n  a: &a\n{ROUTE}  b:\n    <<: *a\n    dry_run: true\n");

    let mesh = Mesh::parse(&yaml).unwrap();

    assert_eq!(mesh.services["a"].routes, mesh.services["b"].routes);
    assert!(mesh.services["b"].dry_run);
}

#[test]
fn json_may_hold_what_yaml_wants_escaped() {
    let mut mesh = Mesh::parse(&format!("trust_domain: t\nservices:\n  a:\n{ROUTE}")).unwrap();
    let service = mesh.services.get_mut("a").unwrap();
    service.routes[0]
        .matches
        .query
        .insert("q".to_owned(), "\u{7f}\u{85}\u{9f}\u{feff}\u{ffff}\u{2028}".to_owned());
    service.routes.push(Mesh::defaults().services["data"].routes[2].clone());

    let json = serde_json::to_string(&mesh).unwrap();

    assert_eq!(Mesh::parse(&json).unwrap(), mesh);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Mesh::from_bytes("x", &bytes);
    }

    #[test]
    fn text_never_panics(text in "(?s)[a-z:\\-{}\\[\\],&*!|>'\"#%@ \n\t0-9\\PC]{0,200}") {
        let _ = Mesh::parse(&text);
    }

    #[test]
    fn a_damaged_configuration_never_panics(
        mesh in arbitrary::mesh(),
        at in any::<prop::sample::Index>(),
        length in 0..40_usize,
        instead in "\\PC{0,10}|[\\[\\]{}:,\\-\n 0-9a]{0,6}",
    ) {
        let json = serde_json::to_string_pretty(&mesh).unwrap();
        let begin = json.floor_char_boundary(at.index(json.len()));
        let end = json.floor_char_boundary((begin + length).min(json.len())).max(begin);

        let _ = Mesh::parse(&format!("{}{instead}{}", &json[..begin], &json[end..]));
    }

    #[test]
    fn what_is_written_is_read_again(mesh in arbitrary::mesh()) {
        let json = serde_json::to_string(&mesh).unwrap();

        let read = Mesh::parse(&json);

        prop_assert_eq!(read.map_err(|error| error.message), Ok(mesh), "{}", json);
    }
}
