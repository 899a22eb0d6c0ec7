//! What an autoscaler is told: what a service has under way, and what waits for it.

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::joining::wait_for_answer;
use super::support::Plane;
use crate::mesh::support::{Mood, Origin, get};
use crate::support::process::wait_until;
use crate::support::{Call, binary, run};

/// `echo` has two requests under way; further ones wait at who calls.
const NARROW: &str = "\
kind: Service
name: echo
spec:
  callers: [web]
  concurrency: { requests: 2, pending: 100, wait_ms: 60000 }
  routes:
    - { path: /watch, kind: stream, watch: true, response_ms: 60000, idle_ms: 60000 }
    - { kind: unary, deadline_ms: 60000 }
---
kind: Service
name: web
spec: {}
";

#[test]
fn demand_is_what_runs_at_the_program_and_waits_at_callers() {
    run(async {
        let mut plane = Plane::prepare(1).await;
        let token = plane.path("demand.token");
        std::fs::write(&token, "shown\n").unwrap();
        let flags = ["--demand-listen", "127.0.0.1:0", "--demand-token", token.to_str().unwrap()];
        plane.flags = flags.map(str::to_owned).into();
        plane.begin(0);
        let door = format!("http://{}", plane.replicas[0].as_ref().unwrap().said("demand"));
        plane.apply(NARROW);
        let origin = Origin::start().await;
        let _echo = plane.callee("echo", "echo", &origin.address.to_string());
        let web = plane.caller("web");
        wait_for_answer(&web).await;
        let demand = |service: &str| -> [Value; 3] {
            let answer = plane.mesh(&["demand"]);
            ["instances", "running", "waiting"].map(|key| answer[service][key].clone())
        };

        origin.set(Mood::Slow);
        let mut requests = JoinSet::new();
        let calls = web.calls();
        // one after the other
        let watch = requests.spawn(async move {
            loop {
                get(&calls, "http://echo.mesh/watch").await;
            }
        });
        wait_until("the watch is under way", || demand("web")[1] == json!(1));
        assert_eq!(demand("echo")[1], json!(0), "a watch is no work");
        watch.abort();
        for _ in 0..60 {
            let calls = web.calls();
            requests.spawn(async move { get(&calls, "http://echo.mesh/").await });
        }
        wait_until("both sides tell of it", || {
            let [instances, running, waiting] = demand("echo");
            [instances, running] == [json!(1), json!(2)] && waiting.as_u64() > Some(2)
        });
        let [instances, running, waiting] = demand("web");
        assert_eq!([instances, waiting], [json!(0), json!(0)], "nobody calls it");
        assert_eq!(running, json!(2), "without a program, its own calls are what it does");

        for (path, wanted) in [("/mesh/demand", "\"running\":2"), ("/metrics", "{service=\"echo\"} 2\n")] {
            let call = || Call::new(Method::GET, &format!("{door}{path}"));
            assert_eq!(call().send().await.status, 401);
            let answer = call().header("authorization", "Bearer shown").send().await;
            assert!(answer.text().contains(wanted), "{}", answer.text());
        }

        requests.shutdown().await;
        wait_until("nothing is left", || demand("echo") == [json!(1), json!(0), json!(0)]);
    });
}

#[test]
fn beyond_this_machine_demand_takes_a_token() {
    let mut command = std::process::Command::new(binary());
    command.args(["control", "--database-url", "postgres://a@localhost/a", "--demand-listen", "0.0.0.0:0"]);
    let folder = tempfile::tempdir().unwrap();
    command.args(["--listen", "127.0.0.1:0", "--join-listen", "127.0.0.1:0", "--probes", "127.0.0.1:0"]);
    command
        .arg("--admin")
        .arg(folder.path().join("admin"))
        .arg("--master-key")
        .arg(folder.path().join("key"));

    let refused = command.output().unwrap();

    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("no --demand-token"), "{told}");
}
