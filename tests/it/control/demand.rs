//! What an autoscaler is told: what a service has under way, and what waits for it.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::joining::wait_for_answer;
use super::support::Plane;
use crate::mesh::support::{Mood, Origin, get};
use crate::support::process::wait_until;
use crate::support::run;

/// `echo` has two requests under way; further ones wait at who calls.
const NARROW: &str = "\
kind: Service
name: echo
spec:
  callers: [web]
  concurrency: { requests: 2, pending: 100, wait_ms: 60000 }
  routes:
    - { kind: unary, deadline_ms: 60000 }
---
kind: Service
name: web
spec: {}
";

#[test]
fn demand_is_what_runs_at_the_program_and_waits_at_callers() {
    run(async {
        let plane = Plane::start(1, &[]).await;
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

        requests.shutdown().await;
        wait_until("nothing is left", || demand("echo") == [json!(1), json!(0), json!(0)]);
    });
}
