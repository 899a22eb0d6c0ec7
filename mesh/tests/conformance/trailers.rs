//! What comes after a body, and gRPC, which lives on it.

use crate::world::{conform, routes};

/// A service whose program speaks HTTP/2 alone.
fn grpc(kind: &str) -> String {
    let spec =
        format!("protocol: http2\ncallers: [gateway]\nroutes:\n- {{ {kind}, retry: {{ backoff_ms: 1 }} }}");
    crate::world::echo(&spec)
}

const KINDS: [&str; 2] =
    ["kind: unary, deadline_ms: 20000", "kind: stream, response_ms: 20000, idle_ms: 20000"];

#[tokio::test]
async fn trailers_reach_the_caller() {
    for kind in KINDS {
        conform(&grpc(kind), async |world| {
            let answer = world.post("/").header("te", "trailers").plan("grpc:5").await;

            answer.is("200 message").trails("grpc-status", "5");
            world
                .told(
                    "attempt echo answer
                     inbound gateway>echo * 200 answer grpc=5
                     outbound gateway>echo * 200 answer grpc=5",
                )
                .await;
        })
        .await;
    }
}

#[tokio::test]
async fn trailers_of_a_program_that_speaks_http1_reach_the_caller() {
    for kind in KINDS {
        conform(&routes(&format!("- {{ {kind} }}")), async |world| {
            let request = world.post("/").header("te", "trailers").plan("grpc:0");

            let answer = request.header("x-answer", "trailer: grpc-status").await;

            answer.is("200 message").trails("grpc-status", "0");
        })
        .await;
    }
}

#[tokio::test]
async fn trailers_say_nothing_that_a_head_decides() {
    for kind in KINDS {
        conform(&grpc(kind), async |world| {
            let answer =
                world.post("/").plan("grpc:0").header("x-trailer", "x-sum: 1 | host: elsewhere").await;

            answer.trails("grpc-status", "0").trails("x-sum", "1").trails("host", "-");
        })
        .await;
    }
}

#[tokio::test]
async fn a_program_learns_that_trailers_are_taken_and_of_no_other_coding() {
    conform(&grpc(KINDS[0]), async |world| {
        world.post("/").header("te", "gzip, trailers").show("te").await.is("200 echo POST / te=trailers");
        world.post("/").header("te", "gzip").show("te").await.is("200 echo POST / te=-");
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_trailers_alone_is_one() {
    conform(&grpc(KINDS[0]), async |world| {
        world.post("/").plan("bare:5").await.is("200").has("grpc-status", "5");

        world
            .told(
                "attempt echo answer
                 inbound gateway>echo * 200 answer grpc=5
                 outbound gateway>echo * 200 answer grpc=5",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn unavailable_is_a_fault_in_grpcs_words() {
    conform(&grpc(KINDS[0]), async |world| {
        world.get("/").plan("bare:14 bare:0").await.is("200").has("grpc-status", "0");

        world
            .told(
                "attempt echo fault
                 retried echo *
                 attempt echo answer
                 inbound gateway>echo * 200 fault grpc=14
                 inbound gateway>echo * 200 answer grpc=0
                 outbound gateway>echo * 200 answer grpc=0 tries=2",
            )
            .await;
    })
    .await;
}
