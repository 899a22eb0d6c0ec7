//! What of a request's and an answer's head goes through, and what is put there.

use crate::world::{conform, routes};

const UNARY: &str = "- { kind: unary, deadline_ms: 5000 }";
const STREAM: &str = "- { kind: stream, response_ms: 5000, idle_ms: 5000 }";

#[tokio::test]
async fn the_program_sees_its_own_host_the_peer_and_no_unproven_header() {
    for kind in [UNARY, STREAM] {
        conform(&routes(kind), async |world| {
            let request = world
                .get("/a//b?x=1")
                .header("x-meshbase-peer", "auth")
                .header("x-meshbase-origin", "http://evil")
                .header("x_meshbase_project", "other")
                .header("x-forwarded-client-cert", "By=spiffe://test.local/auth")
                .header("connection", "x-hop, x-meshbase-project")
                .header("x-hop", "1")
                .header("keep-alive", "timeout=5")
                .header("x-kept", "1")
                .project("shop")
                .extension("the caller's own")
                .show(
                    "host x-meshbase-peer x-meshbase-project x-meshbase-origin x_meshbase_project \
                       x-forwarded-client-cert connection x-hop keep-alive x-kept extension",
                );

            request.await.is(
                "200 echo GET /a//b?x=1 host=echo.mesh x-meshbase-peer=gateway x-meshbase-project=shop \
                 x-meshbase-origin=- x_meshbase_project=- x-forwarded-client-cert=- connection=- x-hop=- \
                 keep-alive=- x-kept=1 extension=false",
            );
            world.told("exchange gateway>echo * 200").await;
        })
        .await;
    }
}

#[tokio::test]
async fn nothing_else_is_added() {
    conform(&routes(&format!("- {{ path: /s, {}\n{UNARY}", &STREAM[4..])), async |world| {
        world
            .get("/u")
            .show("*")
            .await
            .is("200 echo GET /u [host x-meshbase-deadline-ms x-meshbase-peer x-request-id]");
        world.get("/s").show("*").await.is("200 echo GET /s [host x-meshbase-peer x-request-id]");
        let request = world.post("/u").header("content-length", "2").body("ab").show("*").await;
        request.is(
            "200 echo POST /u 'ab' [content-length host x-meshbase-deadline-ms x-meshbase-peer x-request-id]",
        );
    })
    .await;
}

#[tokio::test]
async fn only_the_peer_that_may_assert_a_header_does() {
    let config = crate::world::echo(
        "callers: [gateway, spiffe://test.local/other]\nroutes:\n- { kind: unary, deadline_ms: 5000 }",
    );
    conform(&config, async |world| {
        for (source, expected) in [("gateway", "shop"), ("other", "-")] {
            let answer = world.get("/").from(source).project("shop").show("x-meshbase-project").await;
            answer.is(&format!("200 echo GET / x-meshbase-project={expected}"));
        }
    })
    .await;
}

#[tokio::test]
async fn what_an_answer_says_of_its_connection_ends_there() {
    for kind in [UNARY, STREAM] {
        conform(&routes(kind), async |world| {
            let said = "connection: x-gone | x-gone: 1 | keep-alive: timeout=5 | x-kept: 1";
            let answer = world.get("/").header("x-answer", said).await;

            answer.is("200 echo GET /").has("x-kept", "1");
            for name in ["connection", "x-gone", "keep-alive", "transfer-encoding"] {
                answer.has(name, "-");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_without_an_id_gets_one_and_another_keeps_its_own() {
    conform(&routes(UNARY), async |world| {
        world.get("/").show("#x-request-id").await.is("200 echo GET / #x-request-id=32");
        let named = world.get("/").header("x-request-id", "mine").show("x-request-id");
        named.await.is("200 echo GET / x-request-id=mine");

        let ids = world.exchanges(4).await;
        let named = ids.iter().filter(|exchange| exchange.request_id.as_ref().is_some_and(|id| id == "mine"));
        assert_eq!(named.count(), 2, "both sides know it in the {} world", world.name);
    })
    .await;
}

#[tokio::test]
async fn the_record_of_the_inbound_side_has_the_id_that_was_made() {
    conform(&routes(UNARY), async |world| {
        let answer = world.get("/").show("x-request-id").incomparable().await;

        let exchanges = world.exchanges(2).await;
        let inbound =
            exchanges.iter().find(|exchange| exchange.side == mesh::observe::Side::Inbound).unwrap();
        let id = inbound.request_id.as_ref().map(|id| id.to_str().unwrap().to_owned());
        answer.is(&format!("200 echo GET / x-request-id={}", id.unwrap_or_default()));
    })
    .await;
}

#[tokio::test]
async fn a_mark_of_the_program_reaches_its_caller() {
    conform(&routes(UNARY), async |world| {
        world.post("/").plan("503@tenant").await.is("503 echo POST /").has("x-meshbase-fault", "tenant");
    })
    .await;
}
