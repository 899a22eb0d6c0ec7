//! Every mistake is found, on its line, with its reason.
//!
//! In each file below the comment `# <-` marks the line that the only mistake must be told for.

mod route;
mod service;
mod sidecar;
mod top;
mod traffic;

use super::super::Mesh;

/// A good HTTP service `b`, a good TCP service `t`, and the beginning of the file.
const GOOD: &str = "\
trust_domain: meshbase.local
services:
  b: { protocol: http2, routes: [{ kind: unary, deadline_ms: 1000 }] }
  t: { protocol: tcp, routes: [{ kind: tcp, idle_ms: 1000 }] }
";

/// The lines of the error, without the file's name.
fn mistakes(yaml: &str) -> Vec<String> {
    let error = Mesh::parse(yaml).expect_err(yaml);
    error.message.lines().map(|line| line.trim_start_matches("<mesh>:").to_owned()).collect()
}

/// Asserts that `yaml` has one mistake, on the marked line, told as `expected`.
fn assert_refused(yaml: &str, expected: &str) {
    let marked = yaml.lines().position(|line| line.ends_with("# <-")).expect("a marked line") + 1;
    let told = mistakes(yaml);
    assert_eq!(told.len(), 1, "{yaml}\n{told:#?}");

    let mut parts = told[0].splitn(3, ':');
    assert_eq!(parts.next(), Some(marked.to_string().as_str()), "{yaml}\n{told:#?}");
    assert!(parts.next().is_some_and(|column| column.parse::<u32>().is_ok_and(|column| column > 0)));
    assert_eq!(parts.next().map(str::trim), Some(expected), "{yaml}");
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

/// A file with a service `a` that says `text` and, if it says none, has a good route.
fn in_service(text: &str) -> String {
    let routes =
        if text.contains("routes:") { "" } else { "    routes: [{ kind: unary, deadline_ms: 1000 }]\n" };
    format!("{GOOD}  a:\n{}{routes}", indented(text, 4))
}

/// A file whose service `a` has a route that says `text` and one for the rest.
fn in_route(text: &str) -> String {
    let says = |key: &str| text.lines().any(|line| line.starts_with(key));
    let matches = if says("path:") || says("match:") { "" } else { "path: /x\n" };
    let kind = if says("kind:") { "" } else { "kind: unary\ndeadline_ms: 1000\n" };
    let route = indented(&format!("{kind}{matches}{text}"), 8);
    format!("{GOOD}  a:\n    routes:\n      -\n{route}      - {{ kind: unary, deadline_ms: 1000 }}\n")
}

/// A file with a proxy that says `text`.
fn in_sidecar(text: &str) -> String {
    format!(
        "{GOOD}  a: {{ tls: off, routes: [{{ kind: unary, deadline_ms: 1000 }}] }}\nsidecar:\n{}",
        indented(text, 2)
    )
}

#[test]
fn up_to_twenty_mistakes_are_told_at_once_and_the_rest_counted() {
    let routes = "      - { path: x, kind: unary, deadline_ms: 0 }\n".repeat(12);
    let yaml = format!("{GOOD}  a:\n    routes:\n{routes}      - {{ kind: unary, deadline_ms: 1 }}\n");

    let told = mistakes(&yaml);

    assert_eq!(told.len(), 21);
    assert_eq!(told[0], "7:17: services.a.routes[0].path: \"x\" must begin with /");
    assert_eq!(told[1], "7:46: services.a.routes[0].deadline_ms: must be more than 0");
    assert_eq!(told[2], "8:17: services.a.routes[1].path: \"x\" must begin with /");
    assert_eq!(told[20], " and 4 more");
}
