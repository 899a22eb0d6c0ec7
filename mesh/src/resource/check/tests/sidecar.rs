//! Mistakes of a lone proxy.

use super::{assert_refused, in_sidecar};

const CALLED: &str = "{ service: a, program: 127.0.0.1:1, certificate: c, key: k }";

#[test]
fn workloads() {
    for (text, expected) in [
        ("workloads: [] # <-", "workloads: names no workload"),
        (
            "workloads:\n  - { service: c, outbound: [{ listen: 127.0.0.1:1 }] } # <-",
            "workloads[0].service: no service is called \"c\"",
        ),
        (
            "workloads:\n  - { service: a, program: 127.0.0.1:1 }\n  - { service: a, program: 127.0.0.1:2 } # <-",
            "workloads[1].service: a is there twice",
        ),
        (
            "workloads:\n  - { service: gateway, program: 127.0.0.1:1 } # <-",
            "workloads[0].program: only a service is called, and gateway is none",
        ),
        (
            "workloads:\n  - { service: a } # <-",
            "workloads[0]: a workload needs a program or an outbound listener",
        ),
        (
            "workloads:\n  - { service: a, program: 127.0.0.1:1, certificate: c } # <-",
            "workloads[0].certificate: a certificate needs its key",
        ),
        (
            "workloads:\n  - { service: a, program: 127.0.0.1:1, key: k } # <-",
            "workloads[0].key: a key needs its certificate",
        ),
        (
            "workloads:\n  - service: a\n    outbound: [{ listen: 127.0.0.1:1 }]\n    ready: http:/x # <-",
            "workloads[0].ready: http:/x needs a program to connect to",
        ),
        (
            "workloads:\n  - service: a\n    program: 127.0.0.1:1\n    ready: http:/x?y # <-",
            "workloads[0].ready: \"/x?y\" is no path: it has a query, a fragment or a space",
        ),
    ] {
        assert_refused(&in_sidecar(text), &format!("sidecar.{expected}"));
    }
}

#[test]
fn who_is_called_proves_who_it_is() {
    let inbound = "inbound: 0.0.0.0:9443";
    for (text, expected) in [
        (format!("{inbound} # <-\nworkloads: [{CALLED}]"), "inbound: inbound needs roots"),
        (
            format!("metrics: 0.0.0.0:9441 # <-\nworkloads: [{CALLED}]"),
            "metrics: beyond loopback they take a token: metrics_token is its file",
        ),
        (
            format!("federated_roots:\n  meshbase.local: [r] # <-\nworkloads: [{CALLED}]"),
            "federated_roots.meshbase.local: our own roots stand under roots",
        ),
        (
            format!("federated_roots:\n  other.local: [] # <-\nworkloads: [{CALLED}]"),
            "federated_roots.other.local: names no file",
        ),
        (
            format!(
                "{inbound} # <-\nroots: [r]\nworkloads: [{{ service: a, outbound: [{{ listen: 127.0.0.1:1 }}] }}]"
            ),
            "inbound: no workload has a program that could be called",
        ),
        (
            format!(
                "{inbound}\nroots: [r]\nworkloads:\n  - {CALLED}\n  - {{ service: b, program: 127.0.0.1:2 }} # <-"
            ),
            "workloads[1]: b needs a certificate and a key to be called",
        ),
    ] {
        assert_refused(&in_sidecar(&text), &format!("sidecar.{expected}"));
    }
}

#[test]
fn outbound_listeners() {
    for (listener, expected) in [
        (
            "{ listen: 0.0.0.0:9446 }",
            ".listen: 0.0.0.0:9446 is not on loopback: anybody could call as this workload",
        ),
        (
            "{ listen: '[::ffff:10.0.0.1]:1' }",
            ".listen: [::ffff:10.0.0.1]:1 is not on loopback: anybody could call as this workload",
        ),
        (
            "{ listen: 127.0.0.1:1, protocol: tcp }",
            ": a tcp listener needs to: bytes do not say where they go",
        ),
        ("{ listen: 127.0.0.1:1, to: c }", ".to: no service is called \"c\""),
        ("{ listen: 127.0.0.1:1, protocol: tcp, to: a }", ".to: the service a speaks HTTP, the listener tcp"),
        (
            "{ listen: 127.0.0.1:1, to: b }",
            ".to: b is reached over mutual TLS, which needs a certificate, a key and roots",
        ),
    ] {
        let text = format!("workloads:\n  - {{ service: a, outbound: [{listener}] }} # <-");
        assert_refused(&in_sidecar(&text), &format!("sidecar.workloads[0].outbound[0]{expected}"));
    }
    let text = "roots: [r]\nworkloads:\n  - service: a\n    certificate: c\n    key: k\n    outbound:\n      \
                - { listen: 127.0.0.1:1, to: t } # <-";
    assert_refused(
        &in_sidecar(text),
        "sidecar.workloads[0].outbound[0].to: the service t speaks tcp, the listener HTTP",
    );
}

#[test]
fn addresses_are_taken_once() {
    let program = "workloads: [{ service: a, program: 127.0.0.1:1 }]";
    for (text, expected) in [
        (
            format!("probes: 127.0.0.1:1\n{program} # <-"),
            "workloads[0].program: 127.0.0.1:1 is taken already",
        ),
        (
            format!("probes: 127.0.0.1:2\nmetrics: 127.0.0.1:2 # <-\n{program}"),
            "metrics: 127.0.0.1:2 is taken already",
        ),
        (
            "admin: /run/a\nworkloads:\n  - { service: a, outbound: [{ listen: 'unix:/run/a' }] } # <-"
                .to_owned(),
            "workloads[0].outbound[0].listen: unix:/run/a is taken already",
        ),
    ] {
        assert_refused(&in_sidecar(&text), &format!("sidecar.{expected}"));
    }
}

#[test]
fn the_proxy_itself() {
    let workloads = "workloads: [{ service: a, program: 127.0.0.1:1 }]";
    for (text, expected) in [
        ("workers: 0 # <-", "workers: must be from 1 to 256"),
        ("zone: '' # <-", "zone: a zone needs a name"),
        ("grace_ms: 604800001 # <-", "grace_ms: must be at most 7 days, 604800000"),
        ("lame_duck_ms: 604800001 # <-", "lame_duck_ms: must be at most 7 days, 604800000"),
    ] {
        assert_refused(&in_sidecar(&format!("{workloads}\n{text}")), &format!("sidecar.{expected}"));
    }
}

#[test]
fn free_ports_may_be_asked_for_more_than_once() {
    let text = "probes: 127.0.0.1:0\nmetrics: 127.0.0.1:0\nworkloads: [{ service: a, program: 127.0.0.1:1 }]";

    assert!(super::Mesh::parse(&in_sidecar(text)).is_ok());
}
