//! Mistakes of services.

use super::{GOOD, assert_refused, in_service};

#[test]
fn names_are_dns_labels() {
    let long = "a".repeat(64);
    for name in ["A", "a_b", "-a", "a-", "a.b", "\"\"", &long] {
        let shown = name.trim_matches('"');
        assert_refused(
            &format!("{GOOD}  {name}: # <-\n    routes: [{{ kind: unary, deadline_ms: 1000 }}]\n"),
            &format!(
                "services.{shown}: {shown:?} is no DNS label: 1 to 63 of a-z, 0-9 and -, which is not at an end"
            ),
        );
    }
}

#[test]
fn endpoints() {
    for (text, expected) in [
        ("discovery:\n  static: [] # <-", "discovery.static: names no endpoint"),
        (
            "discovery:\n  static:\n    - address: localhost:80 # <-",
            "discovery.static[0].address: localhost:80 is neither unix:PATH nor an address",
        ),
        (
            "discovery:\n  static:\n    - address: 'unix:' # <-",
            "discovery.static[0].address: unix: needs a path",
        ),
        (
            "discovery:\n  static:\n    - address: 10.0.0.1:0 # <-",
            "discovery.static[0].address: 0 is no port",
        ),
        (
            "discovery:\n  static:\n    - address: '[::1]:80'\n    - address: '[0::1]:80' # <-",
            "discovery.static[1].address: [::1]:80 is there twice",
        ),
        (
            "discovery:\n  static:\n    - address: 10.0.0.1:1\n      zone: '' # <-",
            "discovery.static[0].zone: a zone needs a name",
        ),
        (
            "discovery:\n  static: # <-\n    - { address: 10.0.0.1:1, weight: 0 }",
            "discovery.static: one weight at least must be more than 0",
        ),
        (
            "discovery:\n  dns:\n    port: 80\n    name: 10.0.0.1 # <-",
            "discovery.dns.name: \"10.0.0.1\" is no DNS name in lower case",
        ),
        ("discovery:\n  dns: # <-\n    name: a.local", "discovery.dns: host records need a port"),
        (
            "discovery:\n  dns:\n    name: a.local\n    record: srv\n    port: 80 # <-",
            "discovery.dns.port: srv records bring their ports",
        ),
        (
            "discovery:\n  dns: { name: a.local, port: 80, refresh_ms: 0 } # <-",
            "discovery.dns.refresh_ms: must be more than 0",
        ),
        ("health_check:\n  path: healthz # <-", "health_check.path: \"healthz\" must begin with /"),
        ("health_check:\n  interval_ms: 0 # <-", "health_check.interval_ms: must be more than 0"),
        (
            "health_check:\n  timeout_ms: 604800001 # <-",
            "health_check.timeout_ms: must be at most 7 days, 604800000",
        ),
        ("health_check:\n  healthy: 0 # <-", "health_check.healthy: must be more than 0"),
        ("health_check:\n  unhealthy: 0 # <-", "health_check.unhealthy: must be more than 0"),
    ] {
        assert_refused(&in_service(text), &format!("services.a.{expected}"));
    }
}

#[test]
fn choice_and_protection() {
    for (text, expected) in [
        ("balancer:\n  kind: ring_hash # <-", "balancer.kind: ring_hash needs a hash"),
        ("balancer:\n  hash: path # <-", "balancer.hash: only ring_hash looks at a hash"),
        (
            "balancer:\n  kind: ring_hash\n  hash: { header: 'a b' } # <-",
            "balancer.hash.header: \"a b\" is no header name",
        ),
        (
            "balancer:\n  kind: ring_hash\n  hash: { cookie: 'a=b' } # <-",
            "balancer.hash.cookie: \"a=b\" is no name of a cookie",
        ),
        ("balancer:\n  panic_threshold: 50 # <-", "balancer.panic_threshold: must be from 0 to 1"),
        (
            "balancer:\n  slow_start_ms: 999999999999 # <-",
            "balancer.slow_start_ms: must be at most 7 days, 604800000",
        ),
        ("ejection:\n  success_rate: 80 # <-", "ejection.success_rate: must be from 0 to 1"),
        ("ejection:\n  window_ms: 0 # <-", "ejection.window_ms: must be more than 0"),
        ("ejection:\n  min_requests: 0 # <-", "ejection.min_requests: must be more than 0"),
        (
            "ejection: # <-\n  base_ms: 300001",
            "ejection: must be at least base_ms: 300000 is less than 300001",
        ),
        ("concurrency:\n  connections: 0 # <-", "concurrency.connections: must be from 1 to 1000000"),
        ("concurrency:\n  requests: 1000001 # <-", "concurrency.requests: must be from 1 to 1000000"),
        ("concurrency:\n  pending: 1000001 # <-", "concurrency.pending: must be from 0 to 1000000"),
        ("concurrency:\n  wait_ms: 604800001 # <-", "concurrency.wait_ms: must be at most 7 days, 604800000"),
        ("shed:\n  max: 1000001 # <-", "shed.max: must be from 1 to 1000000"),
        ("concurrency:\n  project_share: 0 # <-", "concurrency.project_share: 0 would let no project in"),
        ("concurrency:\n  project_share: -0.1 # <-", "concurrency.project_share: must be from 0 to 1"),
        ("retry_budget:\n  ratio: 1.01 # <-", "retry_budget.ratio: must be from 0 to 1"),
        ("retry_budget:\n  window_ms: 0 # <-", "retry_budget.window_ms: must be more than 0"),
        ("tenant_breaker:\n  base_ms: 0 # <-", "tenant_breaker.base_ms: must be more than 0"),
        (
            "tenant_breaker:\n  base_ms: 100\n  max_ms: 99 # <-",
            "tenant_breaker.max_ms: must be at least base_ms: 99 is less than 100",
        ),
        ("shed:\n  min: 0 # <-", "shed.min: must be from 1 to 1000000"),
        ("shed: # <-\n  initial: 3", "shed: min, initial and max must be in this order"),
    ] {
        assert_refused(&in_service(text), &format!("services.a.{expected}"));
    }
}

#[test]
fn limits() {
    for (text, expected) in [
        ("limits:\n  - { name: x, per: all } # <-", "limits[0]: a limit needs requests or concurrent"),
        ("limits:\n  - { name: x, per: all, requests: 0 } # <-", "limits[0].requests: must be more than 0"),
        (
            "limits:\n  - { name: x, per: all, concurrent: 0 } # <-",
            "limits[0].concurrent: must be more than 0",
        ),
        (
            "limits:\n  - { name: x, per: all, requests: 1, period_ms: 0 } # <-",
            "limits[0].period_ms: must be more than 0",
        ),
        (
            "limits:\n  - { name: x, per: { header: 'a:' }, requests: 1 } # <-",
            "limits[0].per.header: \"a:\" is no header name",
        ),
        (
            "limits:\n  - { name: 'a b', per: all, requests: 1 } # <-",
            "limits[0].name: \"a b\" is no name: 1 to 63 of a-z, 0-9, - and _",
        ),
        (
            "limits:\n  - { name: x, per: all, requests: 1 }\n  - { name: x, per: all, requests: 1 } # <-",
            "limits[1].name: x is there twice",
        ),
        (
            "limits:\n  - { name: x, per: all, requests: 1, match: { prefix: a } } # <-",
            "limits[0].match.prefix: \"a\" must begin with /",
        ),
    ] {
        assert_refused(&in_service(text), &format!("services.a.{expected}"));
    }
}

#[test]
fn who_may_call() {
    for (text, expected) in [
        (
            "callers:\n  - gateway\n  - bb # <-",
            "callers[1]: no service is called \"bb\"; did you mean \"b\"?",
        ),
        (
            "callers:\n  - spiffe://other.local/ # <-",
            "callers[0]: \"spiffe://other.local/\" is no SPIFFE id, such as spiffe://meshbase.local/data",
        ),
        ("policies:\n  - from: [b, nobody] # <-", "policies[0].from[1]: no service is called \"nobody\""),
        ("policies:\n  - from: [] # <-", "policies[0].from: names nobody who may call"),
        (
            "policies:\n  - from: [b]\n    match: { exact: admin } # <-",
            "policies[0].match.exact: \"admin\" must begin with /",
        ),
    ] {
        assert_refused(&in_service(text), &format!("services.a.{expected}"));
    }
}

#[test]
fn tcp_services_have_bytes_and_nothing_else() {
    let tcp = |text: &str| in_service(&format!("protocol: tcp\n{text}"));
    let route = "routes: [{ kind: tcp, idle_ms: 1 }]";
    for (text, expected) in [
        (
            "routes: [{ kind: unary, deadline_ms: 1 }] # <-",
            "routes[0].kind: a tcp service has no unary routes",
        ),
        (
            "routes: # <-\n  - { kind: tcp, idle_ms: 1 }\n  - { kind: tcp, idle_ms: 1 }",
            "routes: a tcp service has exactly one route",
        ),
        (
            "routes: [{ kind: tcp, idle_ms: 1, path: /x }] # <-",
            "routes[0].path: a tcp service has no requests to match on",
        ),
        (
            "routes: [{ kind: tcp, idle_ms: 1, retry: { attempts: 1 } }] # <-",
            "routes[0].retry: a tcp route has no retry",
        ),
        (
            "routes: [{ kind: tcp, idle_ms: 1, mirror: { service: b } }] # <-",
            "routes[0].mirror: a tcp route has no mirror",
        ),
        (
            "routes: [{ kind: tcp, idle_ms: 1, fallback: [{ service: b }] }] # <-",
            "routes[0].fallback: a tcp route has no fallback",
        ),
        (
            "routes: [{ kind: tcp, idle_ms: 1, request_headers: { remove: [x-a] } }] # <-",
            "routes[0].request_headers: a tcp route has no request_headers",
        ),
        (
            "routes: [{ kind: tcp, idle_ms: 604800001 }] # <-",
            "routes[0].idle_ms: must be at most 7 days, 604800000",
        ),
        (
            &format!("health_check: {{ path: /x }} # <-\n{route}"),
            "health_check.path: a tcp service is probed by connecting, without a path",
        ),
        (
            &format!("balancer: {{ kind: ring_hash, hash: path }} # <-\n{route}"),
            "balancer.hash: a tcp service can only be hashed by identity",
        ),
        (
            &format!("limits: [{{ name: x, per: project, concurrent: 1 }}] # <-\n{route}"),
            "limits[0].per: a tcp service has neither headers nor projects",
        ),
        (
            &format!("policies: [{{ from: [b], match: {{ methods: [GET] }} }}] # <-\n{route}"),
            "policies[0].match: a tcp service has no requests to match on",
        ),
    ] {
        assert_refused(&tcp(text), &format!("services.a.{expected}"));
    }
}
