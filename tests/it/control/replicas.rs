//! Several replicas on one store: one of them goes, and nothing else does.

use super::support::{ECHO, Plane, SECOND, traffic};
use crate::mesh::support::failures;
use crate::support::run;

#[test]
fn proxies_move_on_to_another_replica() {
    run(async {
        let mut plane = Plane::start(2, &[]).await;
        let (_origin, _echo, web) = plane.echoing().await;
        plane.settled(2);
        let calls = web.calls();

        let samples = traffic(&calls, 4);
        tokio::time::sleep(SECOND).await;
        plane.replicas[0].take().unwrap().kill();
        let samples = samples.await.unwrap();

        assert_eq!(failures(&samples), 0);
        plane.settled(2);
        plane.steers(&calls).await;
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
