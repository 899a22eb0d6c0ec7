use mesh::resource::Mesh;

use super::*;

const SERVICE: &str = "\
kind: Service
name: data
spec:
  callers: [web]
  routes:
    - { name: list, path: /list, kind: unary, deadline_ms: 1000 }
    - { kind: unary, deadline_ms: 1000 }
---
kind: Service
name: web
spec: {}
";

fn read(text: &str) -> Resources {
    let documents = documents("f.yaml", text).unwrap_or_else(|error| panic!("{error}"));
    Resources::default().changed(documents.into_iter().map(|document| (document.key, document.spec)), &[])
}

fn refused(text: &str) -> String {
    let all = match documents("f.yaml", text) {
        Err(error) => return error.message.into_owned(),
        Ok(documents) => documents,
    };
    let at: BTreeMap<Key, String> = all.iter().map(|d| (d.key.clone(), d.at.clone())).collect();
    let resources = Resources::default().changed(all.into_iter().map(|d| (d.key, d.spec)), &[]);
    resources.checked("t", |key| at.get(key).cloned()).unwrap_err().message.into_owned()
}

#[test]
fn what_hangs_on_a_service_becomes_a_part_of_it() {
    let resources = read(&format!(
        "{SERVICE}---
kind: Route
name: search
spec: {{ service: data, route: {{ path: /search, kind: unary, deadline_ms: 5 }} }}
---
kind: Policy
name: other-may-list
spec: {{ service: data, policy: {{ from: ['spiffe://far/away'], match: {{ exact: /list }} }} }}
---
kind: Limit
name: slow
spec: {{ service: data, limit: {{ name: slow, per: all, concurrent: 3 }} }}
---
kind: Fault
name: test
spec: {{ service: data, route: list, fault: {{ percent: 1, abort: 503 }} }}
---
kind: Fallback
name: calm
spec: {{ service: data, route: search, fallback: [{{ static: {{ status: 200, body: '[]' }} }}] }}
---
kind: Egress
name: mail
spec: {{ from: [web], host: mail.example.com }}
---
kind: Telemetry
name: default
spec: {{ access_log: true }}
---
kind: Assertion
name: web
spec: {{ caller: web, headers: [x-meshbase-project] }}
"
    ));

    let mesh = resources.checked("t", |_| None).unwrap();

    let data = &mesh.services["data"];
    let names: Vec<&str> = data.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["list", "search", "*"]);
    assert!(data.routes[0].fault.is_some() && data.routes[1].fallback.len() == 1);
    assert_eq!((data.policies.len(), data.limits.len(), mesh.egress.len()), (1, 1, 1));
    assert!(mesh.telemetry.access_log && mesh.asserts["web"] == ["x-meshbase-project"]);
}

#[test]
fn a_whole_mesh_file_is_its_documents() {
    let mesh = Mesh::defaults();
    let text = serde_json::to_string_pretty(&mesh).unwrap();
    // JSON has no line that begins with `services:`; YAML does
    let yaml =
        "trust_domain: meshbase.local\nservices:\n  a: { routes: [{ kind: unary, deadline_ms: 1 }] }\n";

    assert_eq!(Resources::of(&mesh).checked("meshbase.local", |_| None).unwrap(), mesh, "{text}");
    assert_eq!(read(yaml).iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>(), ["Service/a"]);
}

#[test]
fn every_mistake_says_where_it_is() {
    for (text, expected) in [
        ("kind: Planet\nname: a\nspec: {}", "f.yaml:1: "),
        ("name: a\nspec: {}", "f.yaml:1: a document needs a kind: Service, Route"),
        ("kind: Service\nname: a\nspec:\n  colour: red", "f.yaml:4: "),
        ("\n---\nkind: Egress\nname: a\nspec:\n  host: x", "f.yaml:"),
        (
            "kind: Policy\nname: p\nspec: { service: data, policy: { from: [web] } }",
            "f.yaml:1: Policy/p: no service is called \"data\"",
        ),
    ] {
        assert!(refused(text).starts_with(expected), "{text}\n{}", refused(text));
    }
    let twice = format!("{SERVICE}---\nkind: Service\nname: web\nspec: {{}}");
    assert_eq!(refused(&twice), "f.yaml:13: Service/web is there twice, also at f.yaml:9");
    let nobody =
        format!("{SERVICE}---\nkind: Policy\nname: p\nspec: {{ service: data, policy: {{ from: [webb] }} }}");
    assert_eq!(
        refused(&nobody),
        "f.yaml:13: Policy/p: services.data.policies[0].from[0]: no service is called \"webb\"; did you mean \"web\"?"
    );
    let lost = format!(
        "{SERVICE}---\nkind: Fault\nname: p\nspec: {{ service: data, route: lst, fault: {{ abort: 503 }} }}"
    );
    assert_eq!(refused(&lost), "f.yaml:13: Fault/p: data has no route \"lst\", only list, *");
}

#[test]
fn a_difference_is_what_came_went_and_changed() {
    let before = read(SERVICE);
    let same = before.changed(read(SERVICE).0, &[]);
    assert!(before.difference(&same).is_empty(), "defaults are not news");

    let web = Key { kind: Kind::Service, name: "web".to_owned() };
    let changed = read("kind: Service\nname: new\nspec: {}");
    let next = before.changed(changed.0, std::slice::from_ref(&web));

    let difference = before.difference(&next);
    let shown: Vec<_> =
        difference.iter().map(|c| (c.key.name.as_str(), c.from.is_some(), c.to.is_some())).collect();
    assert_eq!(shown, [("new", false, true), ("web", true, false)]);
}

#[test]
fn what_a_newer_version_wrote_is_left_out_and_the_rest_is_in_force() {
    let mut resources = read(SERVICE);
    resources
        .0
        .insert(Key { kind: Kind::Service, name: "odd".to_owned() }, serde_json::json!({ "colour": "red" }));

    let composed = resources.compose("t");

    assert_eq!(composed.mesh.services.len(), 2);
    assert_eq!(composed.left_out.keys().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["odd"]);
}
