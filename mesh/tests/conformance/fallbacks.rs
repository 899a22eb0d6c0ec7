//! What is answered when the service cannot.

use crate::world::conform;

/// `echo` with these fallbacks and `spare` beside it; both may be called by two callers.
fn falling(fallback: &str) -> String {
    let callers = "callers: [gateway, spiffe://test.local/other]";
    let route = "kind: unary, deadline_ms: 20000, retry: { attempts: 0 }";
    format!(
        "services:\n  echo:\n    {callers}\n    routes: [{{ {route}, fallback: [{fallback}] }}]\n  \
         spare:\n    {callers}\n    routes: [{{ {route} }}]\n"
    )
}

const STATIC: &str = "static: { status: 200, headers: { x-given: \"1\" }, body: given }";

#[tokio::test]
async fn a_given_answer_stands_in() {
    conform(&falling(&format!("{{ {STATIC} }}")), async |world| {
        for plan in ["503", "panic", "503@overload", "503@tenant"] {
            world.get("/").plan(plan).await.is("200 given").has("x-given", "1");
        }
        world.post("/").body("a").plan("502").await.is("200 given");

        world
            .told(
                "5x fell back echo * static
                 2x attempt echo fault
                 attempt echo reset
                 attempt echo overload
                 attempt echo answer
                 inbound gateway>echo * 503 fault
                 inbound gateway>echo * 502 fault
                 inbound gateway>echo * 502 reset
                 inbound gateway>echo * 503 overload
                 inbound gateway>echo * 503 answer
                 5x outbound gateway>echo * 200 answer",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_not_replaced() {
    conform(&falling(&format!("{{ {STATIC} }}")), async |world| {
        for (step, status) in [("404", 404), ("500", 500), ("429", 429)] {
            world.get("/").plan(step).await.is(&format!("{status} echo GET /"));
        }
    })
    .await;
}

#[tokio::test]
async fn the_last_good_answer_stands_in_and_says_so() {
    conform(&falling("{ stale: {} }"), async |world| {
        let ask = || world.get("/a").header("authorization", "mine").plan("ok 503 panic");
        ask().await.is("200 echo GET /a").has("x-meshbase-degraded", "-");

        for _ in ["503", "panic"] {
            ask().await.is("200 echo GET /a").has("x-meshbase-degraded", "stale");
        }
        world.get("/b").header("authorization", "mine").plan("503").await.is("503 echo GET /b");
        world
            .told(
                "exchange gateway>echo * 200
                 2x fell back echo * stale
                 2x attempt echo fault
                 attempt echo reset
                 2x inbound gateway>echo * 503 fault
                 inbound gateway>echo * 502 reset
                 2x outbound gateway>echo * 200 answer
                 outbound gateway>echo * 503 fault",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn nobody_gets_the_last_good_answer_of_somebody_else() {
    conform(&falling("{ stale: {} }"), async |world| {
        let ask = || world.get("/a").plan("ok 503");
        ask().header("authorization", "mine").await.is("200 echo GET /a");

        ask().header("authorization", "another's").await.is("503 echo GET /a");
        ask().project("shop").header("authorization", "mine").await.is("503 echo GET /a");
        ask().await.is("503 echo GET /a");
    })
    .await;
}

#[tokio::test]
async fn no_service_gets_the_last_good_answer_of_another_one() {
    conform(&falling("{ stale: {} }"), async |world| {
        let ask = || world.get("/a").plan("ok 503");
        ask().await.is("200 echo GET /a");

        ask().from("other").await.is("503 echo GET /a");
        ask().from("stranger").await.is("403 denied_by_policy");
        ask().from("other").header("x-meshbase-peer", "gateway").await.is("503 echo GET /a");
    })
    .await;
}

#[tokio::test]
async fn another_service_stands_in_for_what_can_be_sent_twice() {
    conform(&falling("{ service: spare }"), async |world| {
        world.get("/a").plan("echo=503").await.is("200 spare GET /a");
        world.post("/a").body("b").plan("echo=503").await.is("503 echo POST /a 'b'");

        world
            .told(
                "fell back echo * service
                 attempt spare answer
                 inbound gateway>spare * 200 answer
                 outbound gateway>spare * 200 answer
                 2x attempt echo fault
                 2x inbound gateway>echo * 503 fault
                 outbound gateway>echo * 200 answer
                 outbound gateway>echo * 503 fault",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_service_that_fails_too_stands_in_for_nothing() {
    conform(&falling("{ service: spare }"), async |world| {
        world.get("/a").plan("panic").await.is("no answer: reset");
    })
    .await;
}

#[tokio::test]
async fn fallbacks_are_tried_in_order() {
    conform(&falling(&format!("{{ stale: {{}} }}, {{ service: spare }}, {{ {STATIC} }}")), async |world| {
        world.get("/kept").plan("ok 503").await.is("200 echo GET /kept");
        world.get("/kept").plan("ok 503").await.is("200 echo GET /kept").has("x-meshbase-degraded", "stale");
        world.get("/a").plan("echo=503").await.is("200 spare GET /a");
        world.get("/a").plan("panic").await.is("200 given");
    })
    .await;
}
