//! The control plane, and its store, are away: what is in force stays, whoever starts goes on with what it kept.

use std::time::Duration;

use super::joining::wait_for_answer;
use super::support::{ECHO, Plane, SECOND, traffic};
use crate::mesh::support::{Origin, failures, quantile};
use crate::support::run;

/// Everything goes and comes back under traffic, `pause` seconds apart.
fn check(pause: u64) {
    run(async {
        let mut plane = Plane::start(1, &["--lease-seconds", "2"]).await;
        let (_origin, _echo, web) = plane.echoing().await;
        plane.settled(2);
        let (calls, wait) = (web.calls(), Duration::from_secs(pause));
        let before = traffic(&calls, pause).await.unwrap();

        let during = traffic(&calls, pause * 4 + 3);
        plane.replicas[0].take().unwrap().kill();
        tokio::time::sleep(wait).await;
        plane.begin(0);
        tokio::time::sleep(wait).await;
        plane.store.stop().await;
        // longer than a lease: nobody is forgotten while the store is away
        tokio::time::sleep(wait.max(3 * SECOND)).await;
        plane.store.begin().await;

        let during = during.await.unwrap();
        let [p99, calm] = [&during, &before].map(|samples| quantile(samples, 0.99));
        println!("{} of {} failed, p99 {p99:?} beside {calm:?}", failures(&during), during.len());
        assert_eq!(failures(&during), 0);
        let few = before.len() < 1000;
        assert!(few || p99 <= calm * 3 / 2, "{p99:?} beside {calm:?}");

        plane.settled(2);
        plane.found("echo", 1);
        plane.steers(&calls).await;
    });
}

#[test]
fn nothing_fails_while_the_control_plane_and_its_store_are_away() {
    check(2);
}

#[test]
#[ignore = "five minutes"]
fn nothing_fails_while_the_control_plane_is_away_for_a_minute() {
    check(60);
}

#[test]
fn a_proxy_starts_from_what_it_kept() {
    run(async {
        let mut plane = Plane::start(1, &[]).await;
        let (_origin, _echo, web) = plane.echoing().await;
        plane.settled(2);
        plane.replicas[0].take().unwrap().kill();

        let web = web.restart();

        wait_for_answer(&web).await;
    });
}

#[test]
fn who_is_killed_is_forgotten() {
    run(async {
        let plane = Plane::start(1, &["--lease-seconds", "3"]).await;
        plane.apply(ECHO);
        let origin = Origin::start().await;
        let echo = plane.callee("echo", "echo", &origin.address.to_string());
        plane.found("echo", 1);

        echo.kill();

        plane.found("echo", 0);
    });
}
