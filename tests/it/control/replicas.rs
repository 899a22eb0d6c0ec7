//! Several replicas on one store: one of them goes, and nothing else does.

use super::joining::wait_for_answer;
use super::support::{ECHO, Plane, SECOND, traffic};
use crate::mesh::support::{Origin, failures, get};
use crate::support::run;

#[test]
fn proxies_move_on_to_another_replica() {
    run(async {
        let mut plane = Plane::start(2, &[]).await;
        plane.apply(ECHO);
        let origin = Origin::start().await;
        let _echo = plane.callee("echo", "echo", &origin.address.to_string());
        let web = plane.caller("web");
        wait_for_answer(&web).await;
        plane.settled(2);
        let calls = web.calls();

        let samples = traffic(&calls, 4);
        tokio::time::sleep(SECOND).await;
        plane.replicas[0].take().unwrap().kill();
        let samples = samples.await.unwrap();

        assert_eq!(failures(&samples), 0);
        plane.settled(2);
        plane.apply("kind: Fault\nname: stop\nspec: { service: echo, route: '*', fault: { abort: 418 } }");
        let started = std::time::Instant::now();
        while get(&calls, "http://echo.mesh/").await.map(|status| status.as_u16()) != Some(418) {
            assert!(started.elapsed() < 5 * SECOND, "the other one steers");
        }
    });
}

#[test]
fn what_one_replica_applies_the_other_pushes() {
    run(async {
        let mut plane = Plane::start(2, &[]).await;
        plane.apply(ECHO);
        let first = plane.replicas[0].take();

        let seen = plane.mesh(&["get"]);
        let history = plane.mesh(&["history"]);

        assert_eq!(seen["revision"], 2);
        assert_eq!(history["revisions"].as_array().unwrap().len(), 2);
        drop(first);
    });
}
