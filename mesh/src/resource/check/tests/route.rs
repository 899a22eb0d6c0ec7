//! Mistakes of routes: which requests they are for, and how often they are tried.

use super::{GOOD, assert_refused, in_route, in_service};

#[test]
fn the_last_route_and_only_it_matches_everything() {
    for (text, expected) in [
        (
            "discovery: { static: [{ address: 10.0.0.1:1 }] }\nroutes: [] # <-",
            "routes: a service that can be called needs a route",
        ),
        (
            "routes:\n  - { path: /a, kind: unary, deadline_ms: 1 } # <-",
            "routes[0]: the last route must match everything",
        ),
        (
            "routes:\n  - { kind: unary, deadline_ms: 1 } # <-\n  - { kind: unary, deadline_ms: 1 }",
            "routes[0]: no route after this one is ever reached",
        ),
    ] {
        assert_refused(&in_service(text), &format!("services.a.{expected}"));
    }
}

#[test]
fn a_service_that_only_calls_needs_no_route() {
    let mesh = super::Mesh::parse(&format!("{GOOD}  a: {{}}\n")).unwrap();

    assert!(mesh.services["a"].routes.is_empty());
}

#[test]
fn kinds_and_times() {
    for (text, expected) in [
        ("kind: unary\ndeadline_ms: 0 # <-", "deadline_ms: must be more than 0"),
        ("kind: stream\nresponse_ms: 0 # <-\nidle_ms: 1", "response_ms: must be more than 0"),
        (
            "kind: upgrade\nresponse_ms: 1\nidle_ms: 1\nlife_ms: 604800001 # <-",
            "life_ms: must be at most 7 days, 604800000",
        ),
        ("name: '' # <-", "name: a name has 1 to 256 bytes and no control characters"),
        ("name: \"a\\nb\" # <-", "name: a name has 1 to 256 bytes and no control characters"),
    ] {
        assert_refused(&in_route(text), &format!("services.a.routes[0].{expected}"));
    }
}

#[test]
fn a_service_that_speaks_http_has_no_tcp_routes() {
    assert_refused(
        &in_service("routes:\n  - kind: tcp # <-\n    idle_ms: 1"),
        "services.a.routes[0].kind: a service that speaks HTTP has no tcp routes",
    );
}

#[test]
fn an_upgrade_needs_http1() {
    let yaml = format!(
        "{GOOD}  a:\n    protocol: http2\n    routes:\n      - kind: upgrade # <-\n        response_ms: 1\n        \
         idle_ms: 1\n        life_ms: 1\n"
    );

    assert_refused(&yaml, "services.a.routes[0].kind: an upgrade needs a service that speaks http1");
}

#[test]
fn only_a_stream_is_a_watch() {
    let yaml = in_service("routes:\n  - kind: unary\n    deadline_ms: 1\n    watch: true # <-");

    assert_refused(&yaml, "services.a.routes[0].watch: only a stream is a watch");
}

#[test]
fn matches() {
    let no_path = "is no path: it has a query, a fragment or a space";
    let long = format!("path: /{} # <-", "a".repeat(4096));
    for (text, expected) in [
        ("path: x # <-", "path: \"x\" must begin with /".to_owned()),
        ("path: '' # <-", "path: \"\" must begin with /".to_owned()),
        ("match:\n  prefix: x # <-", "match.prefix: \"x\" must begin with /".to_owned()),
        ("match:\n  exact: /a?b # <-", format!("match.exact: \"/a?b\" {no_path}")),
        ("match:\n  exact: '/a b' # <-", format!("match.exact: \"/a b\" {no_path}")),
        ("match:\n  template: '/a/{b}/#c' # <-", format!("match.template: \"/a/{{b}}/#c\" {no_path}")),
        (
            "match: { prefix: /a, exact: /b } # <-",
            "match: a match has one of prefix, exact and template".to_owned(),
        ),
        (
            "match:\n  host: '*' # <-",
            "match.host: \"*\" is no host in lower case, nor `*.` and a suffix".to_owned(),
        ),
        (
            "match:\n  host: a:b # <-",
            "match.host: \"a:b\" is no host in lower case, nor `*.` and a suffix".to_owned(),
        ),
        (
            "match: { headers: { 'a b': '*' } } # <-",
            "match.headers.a b: \"a b\" is no header name".to_owned(),
        ),
        ("match: { query: { '': x } } # <-", "match.query: a query parameter has no name".to_owned()),
    ] {
        assert_refused(&in_route(text), &format!("services.a.routes[0].{expected}"));
    }
    // its name is the path, which is too long for a label
    assert_refused(
        &in_route(&format!("name: long\n{long}")),
        "services.a.routes[0].path: a path has at most 4096 bytes",
    );
}

#[test]
fn attempts() {
    for (text, expected) in [
        ("retry:\n  attempts: 11 # <-", "retry.attempts: must be from 0 to 10"),
        ("retry:\n  per_try_ms: 0 # <-", "retry.per_try_ms: must be more than 0"),
        ("retry:\n  per_try_ms: 1001 # <-", "retry.per_try_ms: must be at most the deadline"),
        ("retry:\n  backoff_ms: 604800001 # <-", "retry.backoff_ms: must be at most 7 days, 604800000"),
        ("hedge:\n  after_ms: 0 # <-", "hedge.after_ms: must be more than 0"),
        ("hedge:\n  after_ms: 1000 # <-", "hedge.after_ms: must be less than the deadline"),
        (
            "kind: stream\nresponse_ms: 1\nidle_ms: 1\nhedge: { after_ms: 1 } # <-",
            "hedge: a stream route has no hedge, only a unary one",
        ),
    ] {
        assert_refused(&in_route(text), &format!("services.a.routes[0].{expected}"));
    }
}

#[test]
fn headers_of_the_framing_and_of_the_mesh_cannot_be_changed() {
    let framing = "it belongs to the connection or the framing";
    let own = "it is the mesh's own";
    for (name, why) in [
        ("connection", framing),
        ("keep-alive", framing),
        ("proxy-connection", framing),
        ("te", framing),
        ("trailer", framing),
        ("transfer-encoding", framing),
        ("upgrade", framing),
        ("content-length", framing),
        ("host", framing),
        ("x-meshbase-project", own),
        ("x-meshbase-anything", own),
    ] {
        for (edit, at) in [
            (format!("request_headers: {{ remove: [{name}] }} # <-"), "request_headers.remove[0]".to_owned()),
            (
                format!("request_headers: {{ set: {{ {name}: a }} }} # <-"),
                format!("request_headers.set.{name}"),
            ),
            (
                format!("response_headers: {{ add: {{ {name}: a }} }} # <-"),
                format!("response_headers.add.{name}"),
            ),
            (
                format!("fallback: [{{ static: {{ status: 200, headers: {{ {name}: a }} }} }}] # <-"),
                format!("fallback[0].static.headers.{name}"),
            ),
        ] {
            let expected = format!("services.a.routes[0].{at}: the header {name} cannot be changed: {why}");
            assert_refused(&in_route(&edit), &expected);
        }
    }
}
