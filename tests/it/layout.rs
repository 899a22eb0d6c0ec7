//! Which crate may use which, and documents that are generated: what is committed is what the code says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The allowed edges; ARCHITECTURE.md shows them.
const EDGES: [(&str, &[&str]); 10] = [
    ("base", &[]),
    ("mesh", &["base"]),
    ("control", &["base", "mesh"]),
    ("common", &["base"]),
    ("auth", &["base", "common"]),
    ("data", &["base", "common"]),
    ("storage", &["base", "common"]),
    ("platform", &["base", "common"]),
    ("gateway", &["base", "common", "mesh"]),
    ("meshbase", &["base", "common", "mesh", "gateway", "auth", "data", "storage", "platform", "control"]),
];

#[test]
fn no_crate_uses_one_that_it_may_not() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let allowed = BTreeMap::from(EDGES);
    assert_eq!(ours, allowed.keys().copied().collect::<BTreeSet<_>>(), "every crate of ours has a row");

    for package in packages {
        let name = package["name"].as_str().unwrap();
        let uses = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
        let uses = uses.filter_map(|d| d["name"].as_str()).filter(|d| ours.contains(d));
        for used in uses {
            assert!(allowed[name].contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn the_committed_openapi_documents_are_what_the_code_says() {
    for document in meshbase::openapi::documents() {
        let path = Path::new(ROOT).join("openapi").join(document.file);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == meshbase::openapi::text(&document), "{} is stale: make openapi", document.file);
    }
}

#[test]
fn every_operation_has_an_id_of_its_own_and_a_summary() {
    for document in meshbase::openapi::documents() {
        let json: Value = serde_json::from_str(&meshbase::openapi::text(&document)).unwrap();
        let mut ids = BTreeSet::new();
        for (path, item) in json["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Some(operation) = operation.as_object().filter(|o| o.contains_key("responses")) else {
                    continue;
                };
                let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
                assert!(!id.is_empty(), "{} {method} {path} has no operation_id", document.file);
                assert!(
                    operation.contains_key("summary"),
                    "{} {method} {path} has no summary",
                    document.file
                );
                assert!(ids.insert(id.clone()), "{}: {id} names two operations", document.file);
            }
        }
    }
}
