//! Trouble on purpose, and other services in the place of the one that was asked or beside it.

use std::time::{Duration, Instant};

use crate::world::conform;

/// `echo` with these words in its only route, and a service beside it.
fn beside(other: &str, words: &str) -> String {
    let service = |name: &str, words: &str| {
        format!(
            "  {name}:\n    callers: [gateway]\n    routes: [{{ kind: unary, deadline_ms: 5000{words} }}]\n"
        )
    };
    format!("services:\n{}{}", service("echo", words), service(other, ""))
}

#[tokio::test]
async fn trouble_meets_only_the_requests_that_are_meant() {
    let config = beside("spare", ", fault: { headers: { x-chaos: \"1\" }, abort: 418 }");
    conform(&config, async |world| {
        world.get("/").header("x-chaos", "1").await.is("418");
        world.get("/").header("x-chaos", "2").await.is("200 echo GET /");

        world
            .told(
                "fault injected echo *
                 outbound gateway>echo * 418 answer
                 exchange gateway>echo * 200",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn trouble_for_nobody_meets_nobody() {
    conform(&beside("spare", ", fault: { percent: 0, abort: 503 }"), async |world| {
        world.get("/").await.is("200 echo GET /");

        world.told("exchange gateway>echo * 200").await;
    })
    .await;
}

#[tokio::test]
async fn a_delay_comes_before_the_program() {
    conform(&beside("spare", ", fault: { delay_ms: 200 }"), async |world| {
        let started = Instant::now();

        world.get("/").await.is("200 echo GET /");

        assert!(started.elapsed() >= Duration::from_millis(200), "in the {} world", world.name);
        world.told("fault injected echo *\n exchange gateway>echo * 200").await;
    })
    .await;
}

#[tokio::test]
async fn a_service_without_a_share_gets_nothing() {
    let split = ", split: { to: [{ service: echo, weight: 0 }, { service: canary, weight: 1 }] }";
    conform(&beside("canary", split), async |world| {
        world.post("/a").body("b").show("host").await.is("200 canary POST /a 'b' host=canary.mesh");

        world
            .told(
                "attempt canary answer
                 inbound gateway>canary * 200 answer
                 outbound gateway>echo * 200 answer",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn the_same_value_always_goes_to_the_same_service() {
    let split = ", split: { to: [{ service: echo, weight: 1 }, { service: canary, weight: 1 }], \
                 sticky: { header: x-user } }";
    conform(&beside("canary", split), async |world| {
        let mut took = std::collections::BTreeSet::new();
        for user in 0..20 {
            let ask = || world.get("/").header("x-user", &user.to_string()).show("host");
            let (first, second) = (ask().await, ask().await);
            second.is(&first.summary());
            took.insert(first.summary());
        }
        assert_eq!(took.len(), 2, "both have a share in the {} world", world.name);
    })
    .await;
}

#[tokio::test]
async fn a_copy_goes_to_the_mirror_and_its_answer_to_nobody() {
    conform(&beside("shadow", ", mirror: { service: shadow }"), async |world| {
        world.post("/a").body("b").await.is("200 echo POST /a 'b'");

        world
            .told(
                "mirrored shadow
                 exchange gateway>echo * 200
                 exchange gateway>shadow * 200",
            )
            .await;
        let copy = world.exchanges(4).await.into_iter().find(|exchange| &*exchange.destination == "shadow");
        assert_eq!(copy.unwrap().response_bytes, "shadow POST /a 'b'".len() as u64);
    })
    .await;
}

#[tokio::test]
async fn a_mirror_that_refuses_is_nobodys_trouble() {
    let config = beside("shadow", ", mirror: { service: shadow }");
    conform(&config.replace("  shadow:\n    callers: [gateway]\n", "  shadow:\n"), async |world| {
        world.get("/").await.is("200 echo GET /");

        world
            .told(
                "mirrored shadow
                 denied gateway>shadow GET /
                 exchange gateway>echo * 200
                 attempt shadow answer
                 inbound gateway>shadow shadow 403 answer
                 outbound gateway>shadow * 403 answer",
            )
            .await;
    })
    .await;
}
