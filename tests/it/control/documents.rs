//! What people apply: checked as a whole, with a history that leads back.

use serde_json::Value;

use super::support::{ECHO, Plane};
use crate::support::run;

fn refusal(plane: &Plane, text: &str) -> String {
    let file = plane.path("bad.yaml");
    std::fs::write(&file, text).unwrap();
    let output = plane.try_mesh(&["apply", "--file", file.to_str().unwrap()]);
    assert!(!output.status.success(), "{text}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.replace(&file.display().to_string(), "FILE")
}

fn documents(value: &Value) -> Vec<String> {
    let name = |one: &Value| format!("{}/{}", one["kind"].as_str().unwrap(), one["name"].as_str().unwrap());
    value["resources"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_bad_file_changes_nothing_and_says_where_it_is_bad() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        let before = plane.mesh(&["get"]);

        let unknown = refusal(&plane, "kind: Service\nname: a\nspec:\n  colour: red\n");
        let stranger = refusal(&plane, &ECHO.replace("[web]", "[wbe]"));

        assert!(unknown.contains("FILE:4: "), "{unknown}");
        assert!(
            stranger.contains("FILE:1: Service/echo: services.echo.callers[0]: no service is called"),
            "{stranger}"
        );
        assert_eq!(plane.mesh(&["get"]), before);
    });
}

#[test]
fn a_change_is_shown_before_it_is_made_and_can_be_taken_back() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        let file = plane.path("echo.yaml");
        std::fs::write(&file, ECHO).unwrap();
        let begin = plane.mesh(&["get"]);

        let shown = plane.mesh(&["diff", "--file", file.to_str().unwrap()]);
        assert_eq!(shown["changes"].as_array().unwrap().len(), 2);
        assert_eq!(plane.mesh(&["get"]), begin, "a look changes nothing");

        plane.apply(ECHO);
        assert!(documents(&plane.mesh(&["get"])).contains(&"Service/echo".to_owned()));
        assert_eq!(plane.apply(ECHO)["changes"], serde_json::json!([]), "applied twice is applied once");

        plane.mesh(&["rollback", "1"]);
        assert_eq!(plane.mesh(&["get"])["resources"], begin["resources"]);
        assert_eq!(plane.mesh(&["history"])["revisions"][0]["reason"], "back to revision 1");
        let missing = plane.try_mesh(&["rollback", "99"]);
        assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no revision 99"));
    });
}

#[test]
fn who_looked_too_long_ago_does_not_overwrite() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        plane.apply(ECHO);
        let file = plane.path("late.yaml");
        std::fs::write(&file, "kind: Service\nname: late\nspec: {}").unwrap();

        let late = plane.try_mesh(&["apply", "--base", "1", "--file", file.to_str().unwrap()]);

        assert!(!late.status.success());
        assert!(String::from_utf8_lossy(&late.stderr).contains("somebody applied something since"));
    });
}

#[test]
fn what_is_recorded_changes_without_a_restart() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        let (_origin, _echo, _web) = plane.echoing().await;

        plane.apply("kind: Telemetry\nname: all\nspec: { access_log: true, otlp: { endpoint: \"http://127.0.0.1:9\" } }");
        plane.settled(2);
        plane.apply("kind: Telemetry\nname: all\nspec: {}");
        plane.settled(2);
    });
}
