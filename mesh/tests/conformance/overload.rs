//! Too much at once: what waits, what is refused at once, and how it is told.

use crate::world::{conform, echo};

const ROUTE: &str = "routes:\n- { kind: unary, deadline_ms: 20000, retry: { attempts: 0 } }";

fn gated(concurrency: &str) -> String {
    echo(&format!("callers: [gateway]\nconcurrency: {{ {concurrency} }}\n{ROUTE}"))
}

#[tokio::test]
async fn an_overloaded_program_gets_no_more() {
    let config = echo(&format!("callers: [gateway]\nshed: {{ initial: 1, min: 1, max: 1 }}\n{ROUTE}"));
    conform(&config, async |world| {
        let (held, ()) = tokio::join!(world.get("/").plan("hold"), async {
            world.stage.held(1).await;
            world.get("/").await.is("503 overloaded").has("x-meshbase-fault", "overload");
            world.stage.let_go(1);
        });

        held.is("200 echo GET /");
        world
            .told(
                "shed inbound echo adaptive
                 attempt echo overload
                 inbound gateway>echo * 503 overload
                 outbound gateway>echo * 503 overload
                 exchange gateway>echo * 200",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn who_finds_no_place_waits_for_one() {
    conform(&gated("requests: 1, pending: 1, wait_ms: 10000"), async |world| {
        let (first, second, ()) = tokio::join!(
            biased;
            world.get("/first").plan("hold"),
            async {
                world.stage.held(1).await;
                world.get("/second").await
            },
            async {
                world.stage.held(1).await;
                // polled after the second one, which waits by now
                world.get("/third").await.is("no answer: overloaded");
                world.stage.let_go(1);
            }
        );

        first.is("200 echo GET /first");
        second.is("200 echo GET /second");
        world
            .told(
                "2x exchange gateway>echo * 200
                 shed outbound echo full
                 outbound gateway>echo * 503 overloaded",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_place_that_does_not_come_free_is_not_waited_for_any_longer() {
    conform(&gated("requests: 1, pending: 1, wait_ms: 100"), async |world| {
        let (first, ()) = tokio::join!(world.get("/first").plan("hold"), async {
            world.stage.held(1).await;
            world.get("/second").await.is("no answer: overloaded");
            world.stage.let_go(1);
        });

        first.is("200 echo GET /first");
        world
            .told(
                "exchange gateway>echo * 200
                 shed outbound echo wait
                 outbound gateway>echo * 503 overloaded",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn one_project_cannot_take_all_places() {
    let config = gated("requests: 4, pending: 4, wait_ms: 100, project_share: 0.25");
    conform(&config, async |world| {
        let (first, ()) = tokio::join!(world.get("/first").project("shop").plan("hold"), async {
            world.stage.held(1).await;
            world.get("/second").project("shop").await.is("no answer: overloaded");
            world.get("/third").project("blog").await.is("200 echo GET /third");
            world.get("/fourth").await.is("200 echo GET /fourth");
            world.stage.let_go(1);
        });

        first.is("200 echo GET /first");
        world
            .told(
                "3x exchange gateway>echo * 200
                 shed outbound echo project_share
                 outbound gateway>echo * 503 overloaded",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_holds_its_place() {
    conform(&gated("requests: 1, pending: 0, wait_ms: 100"), async |world| {
        let answer = world.get("/").plan("open").open().await.unwrap();
        world.get("/").await.is("no answer: overloaded");
        drop(answer);

        world.get("/").await.is("200 echo GET /");
    })
    .await;
}
