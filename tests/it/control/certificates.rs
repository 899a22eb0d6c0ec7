//! Certificates that live for seconds, under traffic.

use std::time::Duration;

use super::joining::wait_for_answer;
use super::support::{ECHO, Plane, Running};
use crate::mesh::support::{Origin, failures, load};
use crate::support::process::wait_until;
use crate::support::run;

/// Certificates of `ttl` seconds, a new root on the way, `seconds` of traffic: nothing fails.
fn check(ttl: u64, seconds: u64, rotations: usize) {
    run(async {
        let (ttl_flag, spread) = (ttl.to_string(), (seconds / 4).max(1).to_string());
        let flags = ["--svid-ttl-seconds", &ttl_flag, "--root-spread-seconds", &spread];
        let plane = Plane::start(1, &flags).await;
        let (_origin, _echo, web) = plane.echoing().await;
        let before = roots(&plane);
        let serials = serial_of(&plane);

        plane.mesh(&["ca", "rotate"]);
        let calls = web.calls();
        let (samples, seen) = tokio::join!(
            load(&calls, "http://echo.mesh/", 100, Duration::from_secs(seconds)),
            count_changes(&plane, serials, seconds),
        );

        println!("{} of {} failed, {seen} certificates", failures(&samples), samples.len());
        assert_eq!(failures(&samples), 0);
        assert!(seen >= rotations, "{seen} rotations");
        let after = roots(&plane);
        assert_ne!(before.last(), after.first(), "another root signs");
    });
}

/// A token outlives the root that it was made with, and so does who was away while that root retired.
#[test]
fn who_was_away_finds_the_way_back_after_the_roots_changed() {
    run(async {
        let flags = ["--svid-ttl-seconds", "2", "--root-spread-seconds", "1"];
        let plane = Plane::start(1, &flags).await;
        plane.apply(ECHO);
        let origin = Origin::start().await;
        let program = origin.address.to_string();
        let echo = plane.callee("echo", "echo", &program);
        let web = plane.caller("web");
        wait_for_answer(&web).await;
        let (before, late) = (roots(&plane), plane.token("echo"));
        echo.stop();

        plane.mesh(&["ca", "rotate"]);
        wait_until("the old root is retired", || {
            let now = roots(&plane);
            now.len() == 1 && now != before
        });

        let kept = std::fs::read_to_string(plane.path("echo.token")).unwrap();
        let more = ["--program-at", &program, "--inbound", "127.0.0.1:0"];
        let _back = Running::start(&mut plane.proxy("echo", "echo", &kept, &more));
        let _new = Running::start(&mut plane.proxy("late", "echo", &late, &more));
        plane.found("echo", 2);
        wait_for_answer(&web).await;
    });
}

/// The ids of the roots, the one that signs first.
fn roots(plane: &Plane) -> Vec<String> {
    let mut roots: Vec<_> = plane.mesh(&["ca", "show"])["roots"].as_array().unwrap().clone();
    roots.sort_by_key(|root| root["signs"] != true);
    roots.iter().map(|root| root["id"].as_str().unwrap().to_owned()).collect()
}

fn serial_of(plane: &Plane) -> String {
    std::fs::read_to_string(plane.path("web.state/web/identity.pem")).unwrap_or_default()
}

async fn count_changes(plane: &Plane, mut last: String, seconds: u64) -> usize {
    let mut count = 0;
    for _ in 0..seconds * 20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = serial_of(plane);
        count += usize::from(now != last);
        last = now;
    }
    count
}

#[test]
fn certificates_and_roots_change_under_traffic() {
    check(4, 10, 3);
}

#[test]
#[ignore = "a minute"]
fn certificates_of_ten_seconds_change_for_a_minute_under_traffic() {
    check(10, 60, 5);
}
