//! Bodies of every length and framing, and answers without one.

use std::time::Duration;

use base::Body;
use futures_util::stream;

use crate::program::bodies::{self, digest, pattern};
use crate::world::{conform, routes};

const KINDS: [&str; 2] =
    ["- { kind: unary, deadline_ms: 20000 }", "- { kind: stream, response_ms: 20000, idle_ms: 20000 }"];
const MIB: usize = 1 << 20;

#[tokio::test]
async fn an_answer_to_head_says_how_long_it_would_be_and_has_no_body() {
    for kind in KINDS {
        conform(&routes(kind), async |world| {
            world.get("/a").await.is("200 echo GET /a").has("content-length", "11");
            world.ask("HEAD", "/a").await.is("200").has("content-length", "12");
            world.ask("HEAD", "/a").plan("bytes:1000").await.is("200").has("content-length", "1000");
        })
        .await;
    }
}

#[tokio::test]
async fn answers_without_a_body_stay_without_one() {
    for kind in KINDS {
        conform(&routes(kind), async |world| {
            let answer = world.get("/").plan("304").header("x-answer", "etag: \"a\"").await;
            answer.has("etag", "\"a\"").has("transfer-encoding", "-");
            answer.is("304");
            world.ask("DELETE", "/").plan("204").await.is("204").has("transfer-encoding", "-");
        })
        .await;
    }
}

#[tokio::test]
async fn a_mebibyte_goes_both_ways_with_its_length_and_without() {
    for kind in KINDS {
        conform(&routes(kind), async |world| {
            let (bytes, length) = (pattern(MIB), MIB.to_string());
            let seen = digest(&bytes);

            let known = world.post("/").header("content-length", &length).body(bytes.clone());
            let answer = known.show("content-length").await;
            answer.is(&format!("200 echo POST / {seen} content-length={length}"));

            let pieces: Vec<_> =
                bytes.chunks(10_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
            let unknown = world.post("/").body(Body::from_stream(stream::iter(pieces)));
            unknown.show("content-length").await.is(&format!("200 echo POST / {seen} content-length=-"));

            let answer = world.get("/").plan(&format!("bytes:{MIB}")).await;
            answer.is(&format!("200 {seen}")).has("content-length", &length);
        })
        .await;
    }
}

#[tokio::test]
async fn the_program_learns_the_length_of_a_body_that_has_one() {
    for kind in KINDS {
        conform(&routes(kind), async |world| {
            let answer = world.post("/").body("hello").show("content-length transfer-encoding").await;

            answer.is("200 echo POST / 'hello' content-length=5 transfer-encoding=-");
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_without_a_length_has_no_framing_of_a_hop() {
    for kind in KINDS {
        conform(&routes(kind), async |world| {
            let answer = world.get("/").plan("drip:1").await;

            answer.is("200 ..........").has("content-length", "-").has("transfer-encoding", "-");
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_has_ended() {
    for kind in KINDS {
        conform(&routes(kind), async |world| {
            world.post("/").plan("early").body(bodies::open()).await.is("413 too much");
        })
        .await;
    }
}

#[tokio::test]
async fn both_sides_count_the_same_bytes() {
    for kind in KINDS {
        conform(&routes(kind), async |world| {
            world.post("/").body(pattern(1000)).plan("bytes:3000").await.has("content-length", "3000");
            world.post("/").body(bodies::drip(Duration::from_millis(1), 10)).plan("drip:1").await;

            let mut counted: Vec<_> = world.exchanges(4).await.iter().map(bytes).collect();
            counted.sort_unstable();
            assert_eq!(counted, [(10, 10), (10, 10), (1000, 3000), (1000, 3000)], "{} world", world.name);
        })
        .await;
    }
}

fn bytes(exchange: &mesh::observe::Exchange) -> (u64, u64) {
    (exchange.request_bytes, exchange.response_bytes)
}
