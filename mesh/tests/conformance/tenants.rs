//! One project's trouble: its calls are refused for a while, and nobody else's.

use std::time::Duration;

use crate::world::{World, conform, echo, in_each};

fn config(base_ms: u64) -> String {
    echo(&format!(
        "callers: [gateway]\ntenant_breaker: {{ consecutive_faults: 2, base_ms: {base_ms}, max_ms: 60000 }}\n\
         routes:\n- {{ kind: unary, deadline_ms: 20000 }}"
    ))
}

async fn fault(world: &World) {
    world.get("/").project("shop").plan("503@tenant").await.is("503 echo GET /");
}

#[tokio::test]
async fn a_project_in_trouble_is_refused_and_another_is_not() {
    conform(&config(60_000), async |world| {
        fault(world).await;
        fault(world).await;

        world.get("/").project("shop").await.is("no answer: tenant_breaker");
        world.get("/").project("blog").await.is("200 echo GET /");
        world.get("/").await.is("200 echo GET /");

        world
            .told(
                "2x exchange gateway>echo * 503
                 breaker opened echo shop
                 shed outbound echo tenant_breaker
                 outbound gateway>echo * 503 tenant_breaker
                 2x exchange gateway>echo * 200",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_in_between_starts_the_count_anew() {
    conform(&config(60_000), async |world| {
        fault(world).await;
        world.get("/").project("shop").plan("500").await.is("500 echo GET /");
        fault(world).await;

        world.get("/").project("shop").await.is("200 echo GET /");
    })
    .await;
}

#[tokio::test]
async fn one_call_is_let_through_to_see_whether_the_trouble_is_over() {
    conform(&config(400), async |world| {
        fault(world).await;
        fault(world).await;
        tokio::time::sleep(Duration::from_millis(450)).await;

        let (probe, ()) = tokio::join!(world.get("/").project("shop").plan("hold"), async {
            world.stage.held(1).await;
            world.get("/").project("shop").await.is("no answer: tenant_breaker");
            world.stage.let_go(1);
        });

        probe.is("200 echo GET /");
        world.get("/").project("shop").await.is("200 echo GET /");
        world
            .told(
                "2x exchange gateway>echo * 503
                 breaker opened echo shop
                 shed outbound echo tenant_breaker
                 outbound gateway>echo * 503 tenant_breaker
                 breaker closed echo shop
                 2x exchange gateway>echo * 200",
            )
            .await;
    })
    .await;
}

/// A database that takes connections and says nothing: its callers are not to wait for it one after the other.
#[tokio::test]
async fn a_probe_that_nobody_answers_is_trouble_that_goes_on() {
    let config = config(400).replace("deadline_ms: 20000", "deadline_ms: 1500");
    in_each(&config, async |world| {
        fault(world).await;
        fault(world).await;
        tokio::time::sleep(Duration::from_millis(450)).await;

        world.get("/").project("shop").plan("hang").await.is("no answer: deadline_exceeded");

        world.get("/").project("shop").await.is("no answer: tenant_breaker");
        assert_eq!(world.seen.count("breaker_opened"), 2, "in the {} world", world.name);
    })
    .await;
}

#[tokio::test]
async fn a_caller_in_a_hurry_does_not_keep_a_breaker_open() {
    in_each(&config(400), async |world| {
        fault(world).await;
        fault(world).await;
        tokio::time::sleep(Duration::from_millis(450)).await;

        let hasty = world.get("/").project("shop").header("x-meshbase-deadline-ms", "50");
        hasty.plan("hang").await.is("no answer: deadline_exceeded");

        world.get("/").project("shop").await.is("200 echo GET /");
    })
    .await;
}

#[tokio::test]
async fn trouble_that_goes_on_is_waited_out_for_longer() {
    conform(&config(400), async |world| {
        fault(world).await;
        fault(world).await;
        tokio::time::sleep(Duration::from_millis(450)).await;

        fault(world).await;

        world.get("/").project("shop").await.is("no answer: tenant_breaker");
        assert_eq!(world.seen.count("breaker_opened"), 2, "in the {} world", world.name);
    })
    .await;
}
