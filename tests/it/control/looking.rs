//! What an operator sees without touching anything: requests live, and what would become of one.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{Plane, Running};
use crate::mesh::support::get;
use crate::support::{binary, run};

#[test]
fn requests_are_shown_live_to_whoever_looks() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        let (_origin, _echo, web) = plane.echoing().await;
        let mut tap = Command::new(binary());
        tap.args(["mesh", "--output", "json", "--admin"]).arg(plane.admin(0));
        tap.args(["tap", "echo", "--source", "web", "--path", "/seen"]);
        let mut tap = tap.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(tap.stdout.take().unwrap()).lines();
        let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
        let first = next();
        assert_eq!((&first["event"], &first["proxies"]), (&"looking".into(), &2.into()));

        for path in ["/unseen", "/seen/here"] {
            get(&web.calls(), &format!("http://echo.mesh{path}?secret=1")).await.unwrap();
        }

        let mut sides = Vec::new();
        for _ in 0..2 {
            let event = next();
            assert_eq!(event["path"], "/seen/here", "{event}");
            assert_eq!(event["told_by"]["service"], if event["side"] == "inbound" { "echo" } else { "web" });
            sides.push(event["side"].as_str().unwrap().to_owned());
        }
        sides.sort();
        assert_eq!(sides, ["inbound", "outbound"]);
        tap.kill().unwrap();
        tap.wait().unwrap();

        let wrong = plane.try_mesh(&["tap", "--status", "9"]);
        assert!(!wrong.status.success());
        let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(told.contains("status"), "{told}");
    });
}

#[test]
fn what_would_become_of_a_request_is_what_becomes_of_it() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        let (_origin, echo, web) = plane.echoing().await;
        let explain = |from: &str, url: &str| plane.mesh(&["explain", "--from", from, url]);

        let there = explain("web", "http://echo.mesh/x");
        assert_eq!(there["arrives"], true, "{there}");
        assert_eq!(there["endpoints"].as_array().unwrap().len(), 1);
        assert_eq!(explain("echo", "http://echo.mesh/x")["arrives"], false);

        plane.mesh(&["deny", "web"]);
        let denied = explain("web", "http://echo.mesh/x");
        assert_eq!(denied["arrives"], false, "{denied}");
        let nobody = plane.try_mesh(&["explain", "--from", "nobody", "http://echo.mesh/x"]);
        assert!(String::from_utf8_lossy(&nobody.stderr).contains("no service nobody"));
        drop((echo, web) as (Running, _));
    });
}
