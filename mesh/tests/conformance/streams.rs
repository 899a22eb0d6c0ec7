//! Streams: no total, but neither side may stall.

use std::time::Duration;

use base::Body;
use futures_util::StreamExt;

use crate::program::bodies::{self, CHUNK};
use crate::world::{World, conform, in_each, routes};

/// Longer than a pause that is allowed, shorter than all of them together.
const CONFIG: &str = "- { kind: stream, response_ms: 1000, idle_ms: 1000, retry: { attempts: 0 } }";
const PAUSE: Duration = Duration::from_millis(150);

#[tokio::test]
async fn an_answer_may_be_slow_as_long_as_it_moves() {
    conform(&routes(CONFIG), async |world| {
        world.get("/").plan("drip:150").await.is("200 ..........");

        world.told("exchange gateway>echo * 200").await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_stalls_breaks_off() {
    conform(&routes(CONFIG), async |world| {
        world.get("/").plan("open").await.is("200 . (broke off)");

        world
            .told(
                "attempt echo answer
                 inbound gateway>echo * 200 answer
                 outbound gateway>echo * 200 answer response_timeout",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_program_that_does_not_answer_is_given_up() {
    conform(&routes(CONFIG), async |world| {
        world.get("/").await.is("200 echo GET /");
        world.get("/").plan("hang").await.is("no answer: response_timeout");

        world
            .told(
                "exchange gateway>echo * 200
                 attempt echo response_timeout
                 inbound gateway>echo * 499
                 outbound gateway>echo * 504 response_timeout",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn the_time_to_answer_counts_from_the_end_of_the_request() {
    conform(&routes(CONFIG), async |world| {
        let answer = world.post("/").body(bodies::drip(PAUSE, 10)).await;

        answer.is("200 echo POST / '..........'");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_stalls_is_given_up_and_the_endpoint_not_blamed() {
    in_each(&routes(CONFIG), async |world| breaks_off(world, bodies::open()).await).await;
}

#[tokio::test]
async fn a_request_that_breaks_off_is_no_fault_of_the_endpoint() {
    for kind in ["unary, deadline_ms: 10000", "stream, response_ms: 10000, idle_ms: 10000"] {
        in_each(&routes(&format!("- {{ kind: {kind} }}")), async |world| {
            let broken = [Ok(bodies::pattern(10)), Err(std::io::Error::other("on purpose"))];
            breaks_off(world, Body::from_stream(futures_util::stream::iter(broken))).await;
        })
        .await;
    }
}

/// The events are not compared: the callee hears of the end of the body, or that its caller left, whichever is first.
async fn breaks_off(world: &World, body: Body) {
    world.ask("PUT", "/").body(body).await.is("no answer: request_body");

    let told = "attempt echo request_body\n outbound gateway>echo * 400 request_body";
    world.told_among_others(told).await;
}

#[tokio::test]
async fn a_stream_has_no_deadline_but_the_one_that_grpc_gives_it() {
    // not compared: both sides know the deadline, and who is first is a matter of chance
    in_each(&routes("- { kind: stream, response_ms: 20000, idle_ms: 20000 }"), async |world| {
        let request = world.get("/").header("x-meshbase-deadline-ms", "1").show("x-meshbase-deadline-ms");
        request.await.is("200 echo GET / x-meshbase-deadline-ms=-");
        let hurried = world.get("/").header("grpc-timeout", "300m").plan("hang");
        hurried.await.is("no answer: deadline_exceeded");
    })
    .await;
}

#[tokio::test]
async fn far_more_than_any_buffer_streams_through_in_both_directions() {
    conform(&routes("- { kind: stream, response_ms: 20000, idle_ms: 20000 }"), async |world| {
        both_ways(world, 64).await;
    })
    .await;
}

#[tokio::test]
async fn a_gigabyte_streams_through_within_the_process() {
    both_ways(&World::local(&routes("- { kind: stream, response_ms: 20000, idle_ms: 20000 }")), 4096).await;
}

async fn both_ways(world: &World, chunks: usize) {
    let request = world.post("/").plan("count").body(bodies::chunks(chunks));

    let mut answer = request.open().await.unwrap().into_body().into_data_stream();

    let mut total = 0;
    while let Some(chunk) = answer.next().await {
        total += chunk.unwrap().len();
    }
    assert_eq!(total, CHUNK * chunks, "in the {} world", world.name);
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_so_for_the_caller() {
    for kind in ["unary, deadline_ms: 5000", "stream, response_ms: 5000, idle_ms: 5000"] {
        conform(&routes(&format!("- {{ kind: {kind} }}")), async |world| {
            world.get("/").plan("broken").await.is("200 . (broke off)");

            world
                .told(
                    "attempt echo answer
                     inbound gateway>echo * 200 answer reset
                     outbound gateway>echo * 200 answer reset",
                )
                .await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_exchange() {
    for kind in ["unary, deadline_ms: 20000", "stream, response_ms: 20000, idle_ms: 20000"] {
        conform(&routes(&format!("- {{ kind: {kind} }}")), async |world| {
            drop(world.get("/").plan("open").open().await.unwrap());
            {
                let waiting = world.get("/").plan("hold").open();
                tokio::select! {
                    _ = waiting => panic!("nobody let it go"),
                    () = world.stage.held(1) => {}
                }
            }
            world.stage.held(0).await;

            world
                .told(
                    "attempt echo answer
                     inbound gateway>echo * 200 answer
                     inbound gateway>echo * 499
                     outbound gateway>echo * 200 answer
                     outbound gateway>echo * 499",
                )
                .await;
        })
        .await;
    }
}
