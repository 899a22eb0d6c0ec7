//! Unary calls: one deadline for the whole, told on and only ever lowered.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use crate::world::{conform, in_each, routes};

/// Short enough for a test that waits for it, long enough for everything else.
const LIMIT: &str =
    "- { path: /short, kind: unary, deadline_ms: 1000 }\n- { kind: unary, deadline_ms: 20000 }";

/// The events of the inbound side are not compared: it knows the deadline too, and who is first is a matter of chance.
#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    in_each(&routes(LIMIT), async |world| {
        world.get("/warm").await.is("200 echo GET /warm");
        world.get("/short").plan("hang").await.is("no answer: deadline_exceeded");

        let told = "attempt echo deadline_exceeded\n outbound gateway>echo /short* 504 deadline_exceeded";
        world.told_among_others(told).await;
    })
    .await;
}

/// The callee's side must not be first and look like a broken connection: that would be tried again, and held against it.
#[tokio::test]
async fn a_deadline_is_never_taken_for_a_reset() {
    in_each(&routes(LIMIT), async |world| {
        world.get("/warm").await.is("200 echo GET /warm");
        let asks = (0..30).map(|n| {
            let deadline = (300 + 3 * n).to_string();
            world.get("/").header("x-meshbase-deadline-ms", &deadline).plan("hang").into_future()
        });

        for answer in futures_util::future::join_all(asks).await {
            answer.is("no answer: deadline_exceeded");
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_began_breaks_off_at_the_deadline() {
    conform(&routes(LIMIT), async |world| {
        world.get("/warm").await.is("200 echo GET /warm");
        world.get("/short").plan("open").await.is("200 . (broke off)");

        world
            .told(
                "exchange gateway>echo * 200
                 attempt echo answer
                 inbound gateway>echo /short* 200 answer
                 outbound gateway>echo /short* 200 answer deadline_exceeded",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_deadline_is_lowered_and_never_raised() {
    conform(&routes(LIMIT), async |world| {
        for (said, limits) in [("5000", 3000..=5000), ("999999", 18_000..=20_000)] {
            let request = world.get("/").header("x-meshbase-deadline-ms", said).incomparable();
            let left = request.show("x-meshbase-deadline-ms").await.number();
            assert!(limits.contains(&left), "{left} of {said} in the {} world", world.name);
        }
    })
    .await;
}

#[tokio::test]
async fn the_callers_own_deadline_counts() {
    in_each(&routes(LIMIT), async |world| {
        world.get("/warm").await.is("200 echo GET /warm");
        for (name, value) in [("x-meshbase-deadline-ms", "300"), ("grpc-timeout", "300m")] {
            let started = Instant::now();
            world.get("/").header(name, value).plan("hang").await.is("no answer: deadline_exceeded");
            assert!(started.elapsed() < Duration::from_secs(10), "{name} in the {} world", world.name);
        }
    })
    .await;
}

#[tokio::test]
async fn a_grpc_deadline_is_told_in_grpcs_words_too() {
    conform(&routes(LIMIT), async |world| {
        let request = world.post("/").header("content-type", "application/grpc").incomparable();
        let answer = request.header("grpc-timeout", "10S").show("#grpc-timeout x-meshbase-deadline-ms").await;

        let left = answer.number();
        assert!((8000..=10_000).contains(&left), "{left} in the {} world", world.name);
    })
    .await;
}

#[tokio::test]
async fn what_a_streams_caller_says_is_lowered_too() {
    let config = routes("- { kind: stream, response_ms: 5000, idle_ms: 5000 }");
    conform(&config, async |world| {
        let asked = |timeout| {
            let request = world.post("/").header("content-type", "application/grpc").incomparable();
            request.header("grpc-timeout", timeout).show("#grpc-timeout")
        };
        // ten seconds, which the hop makes a little less, said in microseconds
        let answer = asked("10S").await;
        assert_eq!(answer.number(), 8, "in the {} world", world.name);

        let silent = world.post("/").header("content-type", "application/grpc").show("grpc-timeout").await;
        silent.is("200 echo POST / grpc-timeout=-");
    })
    .await;
}

#[tokio::test]
async fn nobody_is_asked_when_no_time_is_left() {
    conform(&routes(LIMIT), async |world| {
        world.get("/warm").await.is("200 echo GET /warm");
        world.get("/").header("x-meshbase-deadline-ms", "0").await.is("no answer: deadline_exceeded");
    })
    .await;
}

#[tokio::test]
async fn a_panic_is_a_reset() {
    let config = routes("- { kind: unary, deadline_ms: 5000, retry: { attempts: 0 } }");
    conform(&config, async |world| {
        world.get("/").plan("panic").await.is("no answer: reset");

        world
            .told(
                "attempt echo reset
                 inbound gateway>echo * 502 reset
                 outbound gateway>echo * 502 reset",
            )
            .await;
    })
    .await;
}
