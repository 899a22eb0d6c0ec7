//! What is tried again, how often, and what never is.

use crate::program::bodies::{digest, pattern};
use crate::world::{World, conform, echo};

/// `echo` with these words in its only route, and a budget that nothing exhausts.
fn retrying(words: &str) -> String {
    budgeted("retry_budget: { ratio: 0, per_second: 1000 }", words)
}

fn budgeted(budget: &str, words: &str) -> String {
    echo(&format!("callers: [gateway]\n{budget}\nroutes:\n- {{ kind: unary, deadline_ms: 20000{words} }}"))
}

const QUICK: &str = ", retry: { backoff_ms: 1 }";

#[tokio::test]
async fn a_broken_endpoint_is_tried_again_with_the_whole_request() {
    conform(&retrying(QUICK), async |world| {
        let body = pattern(60_000);
        let request = world.ask("PUT", "/a?b").body(body.clone()).header("x-c", "d").plan("503 502 200");

        request.show("x-c").await.is(&format!("200 echo PUT /a?b {} x-c=d", digest(&body)));

        world
            .told(
                "2x attempt echo fault
                 2x retried echo *
                 attempt echo answer
                 inbound gateway>echo * 503 fault
                 inbound gateway>echo * 502 fault
                 inbound gateway>echo * 200 answer
                 outbound gateway>echo * 200 answer tries=3",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_reset_is_tried_again() {
    conform(&retrying(QUICK), async |world| {
        world.get("/").plan("panic ok").await.is("200 echo GET /");

        world
            .told(
                "attempt echo reset
                 retried echo *
                 attempt echo answer
                 inbound gateway>echo * 502 reset
                 inbound gateway>echo * 200 answer
                 outbound gateway>echo * 200 answer tries=2",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_must_not_be_processed_twice_is_sent_once() {
    conform(&retrying(QUICK), async |world| {
        world.post("/").plan("503 ok").await.is("503 echo POST /");
        world.post("/").plan("panic ok").await.is("no answer: reset");

        world
            .told(
                "attempt echo fault
                 inbound gateway>echo * 503 fault
                 outbound gateway>echo * 503 fault
                 attempt echo reset
                 inbound gateway>echo * 502 reset
                 outbound gateway>echo * 502 reset",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_route_may_say_that_its_requests_can_be_processed_twice_or_not() {
    conform(&retrying(", idempotent: true, retry: { backoff_ms: 1 }"), async |world| {
        world.post("/").body("a").plan("503 ok").await.is("200 echo POST / 'a'");
    })
    .await;
    conform(&retrying(", idempotent: false, retry: { backoff_ms: 1 }"), async |world| {
        world.get("/").plan("503 ok").await.is("503 echo GET /");
    })
    .await;
}

#[tokio::test]
async fn what_was_not_processed_is_tried_again_whatever_it_is() {
    conform(&retrying(QUICK), async |world| {
        for mark in ["overload", "refused"] {
            let request = world.post("/").body("a").plan(&format!("503@{mark} ok"));
            request.await.is("200 echo POST / 'a'").has("x-meshbase-fault", "-");
        }

        world
            .told(
                "attempt echo overload
                 attempt echo fault
                 2x retried echo *
                 2x attempt echo answer
                 inbound gateway>echo * 503 overload
                 inbound gateway>echo * 503 fault
                 2x inbound gateway>echo * 200 answer
                 2x outbound gateway>echo * 200 answer tries=2",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn what_another_endpoint_would_say_too_is_the_answer() {
    conform(&retrying(QUICK), async |world| {
        for (step, status) in [
            ("503@tenant", 503),
            ("503@upstream", 503),
            ("500", 500),
            ("501", 501),
            ("429", 429),
            ("404", 404),
        ] {
            let answer = world.get("/").plan(&format!("{step} ok")).await;
            answer.is(&format!("{status} echo GET /"));
        }
        assert!(world.seen.lines().iter().all(|line| !line.starts_with("retried")));
    })
    .await;
}

#[tokio::test]
async fn attempts_have_an_end() {
    conform(&retrying(QUICK), async |world| {
        world.get("/").plan("503").await.is("503 echo GET /");

        world
            .told(
                "3x attempt echo fault
                 2x retried echo *
                 3x inbound gateway>echo * 503 fault
                 outbound gateway>echo * 503 fault tries=3",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_route_without_attempts_tries_once() {
    conform(&retrying(", retry: { attempts: 0 }"), async |world| {
        world.get("/").plan("503 ok").await.is("503 echo GET /");
        world.post("/").plan("503@overload ok").await.is("503 echo POST /");

        world
            .told(
                "attempt echo fault
                 inbound gateway>echo * 503 fault
                 outbound gateway>echo * 503 fault
                 attempt echo overload
                 inbound gateway>echo * 503 overload
                 outbound gateway>echo * 503 overload",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_spent_budget_ends_it() {
    let config =
        budgeted("retry_budget: { ratio: 0, per_second: 1 }", ", retry: { backoff_ms: 1, attempts: 5 }");
    conform(&config, async |world| {
        world.get("/").plan("503").await.is("503 echo GET /");

        world
            .told(
                "2x attempt echo fault
                 retried echo *
                 not retried echo budget
                 2x inbound gateway>echo * 503 fault
                 outbound gateway>echo * 503 fault tries=2",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn what_is_too_long_to_keep_is_not_sent_again() {
    conform(&retrying(QUICK), async |world| {
        let body = pattern(100_000);
        let answer = world.ask("PUT", "/").body(body.clone()).plan("503 ok").await;

        answer.is(&format!("503 echo PUT / {}", digest(&body)));
        world
            .told(
                "attempt echo fault
                 not retried echo not_replayable
                 inbound gateway>echo * 503 fault
                 outbound gateway>echo * 503 fault",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_tried_again_only_without_a_body() {
    let stream = "- { kind: stream, response_ms: 20000, idle_ms: 20000, retry: { backoff_ms: 1 } }";
    conform(&crate::world::routes(stream), async |world| {
        world.get("/").plan("503 ok").await.is("200 echo GET /");
        world.ask("PUT", "/").body("a").plan("503 ok").await.is("503 echo PUT / 'a'");

        world
            .told(
                "attempt echo fault
                 retried echo *
                 attempt echo answer
                 inbound gateway>echo * 503 fault
                 inbound gateway>echo * 200 answer
                 outbound gateway>echo * 200 answer tries=2
                 attempt echo fault
                 not retried echo not_replayable
                 inbound gateway>echo * 503 fault
                 outbound gateway>echo * 503 fault",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn an_attempt_has_a_time_of_its_own() {
    conform(&retrying(", retry: { backoff_ms: 1, per_try_ms: 1000 }"), async |world| {
        world.get("/warm").await.is("200 echo GET /warm");
        world.get("/").plan("hang ok").await.is("200 echo GET /");

        world
            .told(
                "exchange gateway>echo * 200
                 attempt echo response_timeout
                 retried echo *
                 attempt echo answer
                 inbound gateway>echo * 499
                 inbound gateway>echo * 200 answer
                 outbound gateway>echo * 200 answer tries=2",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_single_endpoint_is_not_asked_a_second_time_beside_itself() {
    conform(&retrying(", hedge: { after_ms: 50 }"), async |world| {
        world.get("/").plan("late:300 ok").await.is("200 echo GET /");

        world.told("exchange gateway>echo * 200").await;
    })
    .await;
}

/// In one process there is one endpoint: nothing to hedge with.
#[tokio::test]
async fn a_slow_endpoint_gets_another_one_beside_it() {
    let world = World::remote(&retrying(", hedge: { after_ms: 300 }"), 2).await;

    world.get("/").plan("hang ok").await.is("200 echo GET /");
    world.post("/").plan("late:600 404").await.is("200 echo POST /");

    world
        .told(
            "hedged echo *
             attempt echo answer
             inbound gateway>echo * 499
             inbound gateway>echo * 200 answer
             outbound gateway>echo * 200 answer tries=2
             exchange gateway>echo * 200",
        )
        .await;
}
