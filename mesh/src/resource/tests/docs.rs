//! `docs/mesh.md` is the reference: its examples are read, and it names every key.

use std::collections::BTreeSet;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::super::Mesh;
use super::arbitrary;

const PAGE: &str = include_str!("../../../../docs/mesh.md");

/// The examples: what each is a part of, and its text.
fn examples() -> Vec<(&'static str, &'static str)> {
    let blocks = PAGE.split("```yaml").skip(1);
    blocks
        .map(|block| {
            let (part, rest) = block.split_once('\n').unwrap();
            (part.trim(), rest.split("```").next().unwrap())
        })
        .collect()
}

/// A whole file around an example.
fn file(part: &str, text: &str) -> String {
    let indented =
        |by: usize| -> String { text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect() };
    let route = "routes: [{ kind: unary, deadline_ms: 1 }]";
    let others = format!(
        "  other: {{ {route} }}\n  bytes: {{ protocol: tcp, routes: [{{ kind: tcp, idle_ms: 1 }}] }}\n"
    );
    let top = format!("trust_domain: t.local\nservices:\n{others}");
    match part {
        "" => text.to_owned(),
        "service" => format!("{top}  own:\n{}", indented(4)),
        "route" => {
            let last = "      - { kind: unary, deadline_ms: 1 }";
            format!("{top}  own:\n    tls: off\n    routes:\n      -\n{}{last}\n", indented(8))
        }
        "sidecar" => format!("{top}  own: {{ {route} }}\nsidecar:\n{}", indented(2)),
        other => panic!("what is a {other}?"),
    }
}

#[test]
fn every_example_of_the_reference_is_valid() {
    let examples = examples();

    for (part, text) in &examples {
        let yaml = file(part, text);
        if let Err(error) = Mesh::parse(&yaml) {
            panic!("{}\n{yaml}", error.message);
        }
    }

    assert_eq!(examples.len(), 11);
}

#[test]
fn what_the_reference_calls_a_default_is_one() {
    let is_default = |line: &str| {
        line.split_once("# default").is_some_and(|(_, said)| said.is_empty() || said.starts_with(';'))
    };
    let mut count = 0;
    for (part, text) in examples() {
        let whole = Mesh::parse(&file(part, text)).unwrap();
        for line in text.lines().filter(|line| is_default(line)) {
            let without = text.replacen(&format!("{line}\n"), "", 1);
            assert_eq!(Mesh::parse(&file(part, &without)).unwrap(), whole, "{line}");
            count += 1;
        }
    }
    assert!(count >= 50, "{count}");
}

fn keys(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                into.insert(key.clone());
                keys(value, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, into)),
        _ => {}
    }
}

#[test]
fn the_reference_names_every_key() {
    let mut runner = TestRunner::deterministic();
    let mut all = BTreeSet::new();
    for _ in 0..64 {
        let mesh = arbitrary::mesh().new_tree(&mut runner).unwrap().current();
        keys(&serde_json::to_value(mesh).unwrap(), &mut all);
    }
    // names that the generator gives to services, headers and parameters
    all.retain(|key| key.len() > 4 || matches!(key.as_str(), "to" | "kind" | "name" | "path" | "host"));
    all.retain(|key| !key.starts_with("x-"));

    let missing: Vec<&String> = all.iter().filter(|key| !PAGE.contains(&format!("{key}:"))).collect();

    assert!(all.len() > 90, "{}", all.len());
    assert!(missing.is_empty(), "{missing:?}");
}
