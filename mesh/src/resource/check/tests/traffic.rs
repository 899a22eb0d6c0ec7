//! Mistakes of where requests go instead.

use super::{GOOD, assert_refused, in_route, mistakes};

#[test]
fn splits_and_mirrors() {
    for (text, expected) in [
        (
            "split:\n  to:\n    - { service: a, weight: 1 }\n    - { service: c, weight: 1 } # <-",
            "split.to[1].service: no service is called \"c\"",
        ),
        (
            "split:\n  to:\n    - { service: a, weight: 1 }\n    - { service: a, weight: 1 } # <-",
            "split.to[1].service: a has a share already",
        ),
        (
            "split:\n  to: [{ service: t, weight: 1 }] # <-",
            "split.to[0].service: the service t speaks no HTTP",
        ),
        (
            "split:\n  to: # <-\n    - { service: a, weight: 0 }\n    - { service: b, weight: 0 }",
            "split.to: one weight at least must be more than 0",
        ),
        ("split:\n  to: [] # <-", "split.to: one weight at least must be more than 0"),
        (
            "split:\n  to: # <-\n    - { service: a, weight: 4294967295 }\n    - { service: b, weight: 1 }",
            "split.to: the weights together must be at most 4294967295",
        ),
        (
            "split:\n  to: [{ service: b, weight: 1 }]\n  sticky: { header: '' } # <-",
            "split.sticky.header: \"\" is no header name",
        ),
        ("mirror:\n  service: c # <-", "mirror.service: no service is called \"c\""),
        ("mirror:\n  service: a # <-", "mirror.service: a service cannot be its own mirror"),
        ("mirror:\n  service: t # <-", "mirror.service: the service t speaks no HTTP"),
        ("mirror:\n  service: b\n  percent: 100.5 # <-", "mirror.percent: must be from 0 to 100"),
    ] {
        assert_refused(&in_route(text), &format!("services.a.routes[0].{expected}"));
    }
}

#[test]
fn redirects_and_rewrites() {
    for (text, expected) in [
        (
            "redirect:\n  location: /b\n  status: 304 # <-",
            "redirect.status: 304 is none of 301, 302, 303, 307, 308",
        ),
        ("redirect:\n  location: b # <-", "redirect.location: \"b\" is neither a path nor a URL"),
        (
            "redirect:\n  location: \"/a\\r\\nx: y\" # <-",
            "redirect.location: \"/a\\r\\nx: y\" is neither a path nor a URL",
        ),
        (
            "redirect: { location: /b }\nmirror: { service: b } # <-",
            "mirror: a redirect answers at once: no mirror beside it",
        ),
        ("rewrite: {} # <-", "rewrite: a rewrite needs a path or a host"),
        ("rewrite:\n  path: b # <-", "rewrite.path: \"b\" must begin with /"),
        ("rewrite:\n  path: /ä # <-", "rewrite.path: a path is ASCII; escape the rest with %"),
        ("rewrite:\n  host: a/b # <-", "rewrite.host: \"a/b\" is no host"),
        ("rewrite:\n  host: user@a # <-", "rewrite.host: \"user@a\" is no host"),
        (
            "rewrite:\n  host: b.example.com # <-",
            "rewrite.host: a proxy is called by its service's name; only with tls: off is there a host to rewrite",
        ),
        (
            "rewrite:\n  path: /b/../c # <-",
            "rewrite.path: a request cannot be rewritten to the path \"/b/../c\"",
        ),
        ("redirect:\n  location: //b # <-", "redirect.location: \"//b\" is neither a path nor a URL"),
    ] {
        assert_refused(&in_route(text), &format!("services.a.routes[0].{expected}"));
    }
}

#[test]
fn faults_and_fallbacks() {
    for (text, expected) in [
        ("fault: # <-\n  percent: 5", "fault: a fault needs delay_ms or abort"),
        ("fault:\n  abort: 503\n  percent: -1 # <-", "fault.percent: must be from 0 to 100"),
        ("fault:\n  abort: 100 # <-", "fault.abort: 100 is no status from 200 to 599"),
        ("fault:\n  abort: 600 # <-", "fault.abort: 600 is no status from 200 to 599"),
        ("fault:\n  delay_ms: 0 # <-", "fault.delay_ms: must be more than 0"),
        (
            "fault:\n  abort: 503\n  headers: { 'a b': x } # <-",
            "fault.headers.a b: \"a b\" is no header name",
        ),
        (
            "fallback:\n  - static: { status: 99 } # <-",
            "fallback[0].static.status: 99 is no status from 200 to 599",
        ),
        (
            "fallback:\n  - static: { status: 200, headers: { x-a: \"ä\\n\" } } # <-",
            "fallback[0].static.headers.x-a: the value of x-a is not valid in a header",
        ),
        (
            "fallback:\n  - static: { status: 200 } # <-\n  - service: b",
            "fallback[0].static: a given answer never fails: nothing after it is ever tried",
        ),
        ("fallback:\n  - stale: { max_age_ms: 0 } # <-", "fallback[0].stale.max_age_ms: must be more than 0"),
        (
            "fallback:\n  - stale: { max_bytes: 0 } # <-",
            "fallback[0].stale.max_bytes: must be from 1 to 1073741824",
        ),
        ("fallback:\n  - service: c # <-", "fallback[0].service: no service is called \"c\""),
        ("fallback:\n  - service: t # <-", "fallback[0].service: the service t speaks no HTTP"),
        ("fallback:\n  - service: a # <-", "fallback[0].service: services fall back in a circle: a -> a"),
    ] {
        assert_refused(&in_route(text), &format!("services.a.routes[0].{expected}"));
    }
}

#[test]
fn a_given_answer_is_small() {
    let body = "x".repeat(1024 * 1024 + 1);

    assert_refused(
        &in_route(&format!("fallback:\n  - static: {{ status: 200, body: {body} }} # <-")),
        "services.a.routes[0].fallback[0].static.body: a body has at most 1048576 bytes",
    );
}

/// Services that each fall back to the named ones.
fn falling_back(edges: &[(&str, &[&str])]) -> String {
    let mut yaml = GOOD.to_owned();
    for (name, to) in edges {
        let to: Vec<String> = to.iter().map(|to| format!("{{ service: {to} }}")).collect();
        let to = to.join(", ");
        yaml += &format!("  {name}: {{ routes: [{{ kind: unary, deadline_ms: 1, fallback: [{to}] }}] }}\n");
    }
    yaml
}

#[test]
fn services_do_not_fall_back_in_circles() {
    let yaml = falling_back(&[("c", &["b", "d"]), ("d", &["b", "e"]), ("e", &["d", "c"])]);

    let told = mistakes(&yaml);

    let circle = "services fall back in a circle";
    assert_eq!(
        told,
        [
            format!("7:70: services.e.routes[0].fallback[0].service: {circle}: d -> e -> d"),
            format!("7:86: services.e.routes[0].fallback[1].service: {circle}: c -> d -> e -> c"),
        ]
    );
}

#[test]
fn services_may_share_what_they_fall_back_to() {
    let yaml = falling_back(&[("c", &["d", "e"]), ("d", &["f"]), ("e", &["f"]), ("f", &["b"])]);

    assert!(super::Mesh::parse(&yaml).is_ok());
}

#[test]
fn a_long_chain_of_fallbacks_needs_no_stack() {
    let names: Vec<String> = (0..5_000).map(|n| format!("s{n}")).collect();
    let mut yaml = GOOD.to_owned();
    for two in names.windows(2) {
        let fallback = format!("fallback: [{{ service: {} }}]", two[1]);
        yaml += &format!("  {}: {{ routes: [{{ kind: unary, deadline_ms: 1, {fallback} }}] }}\n", two[0]);
    }
    yaml += "  s4999: { routes: [{ kind: unary, deadline_ms: 1, fallback: [{ service: s0 }] }] }\n";

    let told = mistakes(&yaml);

    assert_eq!(told.len(), 1);
    assert!(
        told[0].ends_with("in a circle: s0 -> s1 -> s2 -> s3 -> s4 -> s5 -> s6 -> s7 -> … -> s0"),
        "{told:?}"
    );
}
