//! Mistakes outside of services.

use super::{GOOD, assert_refused};

/// A file that says `text` beside good services.
fn at_top(text: &str) -> String {
    format!("{GOOD}{text}\n")
}

#[test]
fn trust_domains_are_names() {
    let long = "a".repeat(256);
    for name in ["Meshbase.local", "spiffe://x", "a b", "\"\"", &long] {
        let shown = name.trim_matches('"');
        assert_refused(
            &format!("trust_domain: {name} # <-\nservices: {{}}\n"),
            &format!("trust_domain: {shown:?} is no trust domain: 1 to 255 of a-z, 0-9, `.`, `-` and `_`"),
        );
    }
}

#[test]
fn denied_are_spiffe_ids() {
    assert_refused(
        &at_top("denied:\n  - spiffe://z.local/z\n  - data # <-\n  - spiffe://a.local/a"),
        "denied[1]: \"data\" is no SPIFFE id, such as spiffe://meshbase.local/data",
    );
}

#[test]
fn asserts() {
    for (text, expected) in [
        (
            "asserts:\n  bb: [x-meshbase-project] # <-",
            "asserts.bb: no service is called \"bb\"; did you mean \"b\"?",
        ),
        (
            "asserts:\n  gateway:\n    - x-meshbase-project\n    - authorization # <-",
            "asserts.gateway[1]: authorization is not the mesh's own, so anybody may send it",
        ),
        (
            "asserts:\n  gateway: [X-Meshbase-Peer] # <-",
            "asserts.gateway[0]: x-meshbase-peer is what the certificate says, nobody may assert it",
        ),
        (
            "asserts:\n  gateway: ['x-meshbase-a b'] # <-",
            "asserts.gateway[0]: \"x-meshbase-a b\" is no header name",
        ),
    ] {
        assert_refused(&at_top(text), expected);
    }
}

#[test]
fn telemetry() {
    for (text, expected) in [
        (
            "telemetry:\n  otlp:\n    endpoint: 127.0.0.1:4318 # <-",
            "telemetry.otlp.endpoint: \"127.0.0.1:4318\" is no base URL, such as http://127.0.0.1:4318",
        ),
        (
            "telemetry:\n  otlp:\n    endpoint: http://a/?b # <-",
            "telemetry.otlp.endpoint: \"http://a/?b\" is no base URL, such as http://127.0.0.1:4318",
        ),
        (
            "telemetry:\n  otlp:\n    endpoint: http://a\n    sample: 1.5 # <-",
            "telemetry.otlp.sample: must be from 0 to 1",
        ),
        (
            "telemetry:\n  otlp:\n    endpoint: http://a\n    sample: .nan # <-",
            "telemetry.otlp.sample: must be from 0 to 1",
        ),
        (
            "telemetry:\n  otlp:\n    endpoint: http://a\n    headers: { x-token: \"a\\nb\" } # <-",
            "telemetry.otlp.headers.x-token: the value of x-token is not valid in a header",
        ),
    ] {
        assert_refused(&at_top(text), expected);
    }
}

#[test]
fn egress_hosts() {
    let no_host = "is no host in lower case, nor `*.` and a suffix of at least two labels";
    for bad in
        ["*", "*.com", "a.*.com", "*example.com", "https://example.com", "Example.com", "10.1", "*.10.0.0.1"]
    {
        assert_refused(
            &at_top(&format!("egress:\n  - from: [b]\n    host: '{bad}' # <-")),
            &format!("egress[0].host: {bad:?} {no_host}"),
        );
    }
    for private in [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "localhost",
        "a.localhost",
    ] {
        assert_refused(
            &at_top(&format!("egress:\n  - from: [b]\n    host: '{private}' # <-")),
            &format!("egress[0].host: {private:?} is private: say `private: true` if that is meant"),
        );
    }
}

#[test]
fn egress_otherwise() {
    for (text, expected) in [
        ("egress:\n  - host: example.com\n    from: [] # <-", "egress[0].from: names nobody who may call"),
        ("egress:\n  - host: a.com\n    from: [c] # <-", "egress[0].from[0]: no service is called \"c\""),
        (
            "egress:\n  - host: example.com\n    from: [spiffe://x/y] # <-",
            "egress[0].from[0]: no service is called \"spiffe://x/y\"",
        ),
        ("egress:\n  - from: [b]\n    host: a.com\n    ports: [] # <-", "egress[0].ports: names no port"),
        (
            "egress:\n  - from: [b]\n    host: a.com\n    ports: [443, 0] # <-",
            "egress[0].ports[1]: 0 is no port",
        ),
        (
            "egress:\n  - from: [b]\n    host: data.mesh # <-",
            "egress[0].host: \"data.mesh\" is inside the mesh, not outside",
        ),
    ] {
        assert_refused(&at_top(text), expected);
    }
}
