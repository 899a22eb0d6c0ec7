//! Another configuration under way: in force from the next request on, and for what is still open.

use std::time::Duration;

use base::Response;
use http_body_util::BodyExt;
use mesh::resource::Mesh;

use crate::program::bodies;
use crate::world::{World, conform, echo, in_each, routes};

const CONFIG: &str = "\
- { path: /ws, kind: upgrade, response_ms: 20000, idle_ms: 60000, life_ms: 60000 }
- { path: /s, kind: stream, response_ms: 20000, idle_ms: 60000, retry: { attempts: 0 } }
- { kind: unary, deadline_ms: 20000 }";

/// What is cut is cut within this time.
const SOON: Duration = Duration::from_secs(1);

fn revoke(mesh: &mut Mesh) {
    mesh.services.get_mut("echo").unwrap().callers.clear();
}

fn deny(mesh: &mut Mesh, service: &str) {
    mesh.denied.insert(format!("spiffe://test.local/{service}"));
}

/// An answer whose first byte came and whose second one never will.
async fn open(world: &World) -> Response {
    let mut answer = world.get("/s").plan("open").open().await.unwrap();
    answer.body_mut().frame().await.unwrap().unwrap();
    answer
}

/// The body must break off soon.
async fn breaks_off(world: &World, mut answer: Response) {
    let end = tokio::time::timeout(SOON, answer.body_mut().frame()).await;
    let end = end.unwrap_or_else(|_| panic!("it is still open in the {} world", world.name));
    assert!(matches!(end, Some(Err(_))), "in the {} world", world.name);
}

#[tokio::test]
async fn the_next_request_meets_the_new_routes() {
    conform(&routes(CONFIG), async |world| {
        world.get("/a").await.is("200 echo GET /a");
        world.apply(|mesh| mesh.services.get_mut("echo").unwrap().routes[2].name = "new".to_owned()).unwrap();
        world.get("/a").await.is("200 echo GET /a");

        world.told("exchange gateway>echo * 200\n exchange gateway>echo new 200").await;
    })
    .await;
}

#[tokio::test]
async fn the_next_request_meets_the_new_protection() {
    conform(&routes(CONFIG), async |world| {
        world.get("/a").await.is("200 echo GET /a");
        let narrow = |mesh: &mut Mesh| {
            let concurrency = &mut mesh.services.get_mut("echo").unwrap().concurrency;
            (concurrency.requests, concurrency.pending) = (1, 0);
        };
        world.apply(narrow).unwrap();

        let (held, ()) = tokio::join!(world.get("/a").plan("hold"), async {
            world.stage.held(1).await;
            world.get("/a").await.is("no answer: overloaded");
            world.stage.let_go(1);
        });
        held.is("200 echo GET /a");
    })
    .await;
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing() {
    conform(&routes(CONFIG), async |world| {
        let endless = |mesh: &mut Mesh| {
            revoke(mesh);
            mesh.services.get_mut("echo").unwrap().routes.pop();
        };

        assert!(world.apply(endless).is_err(), "in the {} world", world.name);

        world.get("/a").await.is("200 echo GET /a");
        assert!(world.seen.count("config_rejected") > 0, "in the {} world", world.name);
    })
    .await;
}

#[tokio::test]
async fn the_next_request_of_who_may_not_any_more_is_refused() {
    conform(&routes(CONFIG), async |world| {
        for path in ["/a", "/s"] {
            world.get(path).await.is(&format!("200 echo GET {path}"));
        }
        world.apply(revoke).unwrap();

        for path in ["/a", "/s"] {
            world.get(path).await.is("403 denied_by_policy");
        }
    })
    .await;
}

#[tokio::test]
async fn an_open_answer_breaks_off_when_its_caller_may_not_any_more() {
    conform(&routes(CONFIG), async |world| {
        let answer = open(world).await;
        world.apply(revoke).unwrap();

        breaks_off(world, answer).await;
        world
            .told(
                "attempt echo answer
                 cut gateway>echo policy
                 inbound gateway>echo /s* 200 answer cut
                 outbound gateway>echo /s* 200 answer reset",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn an_open_request_breaks_off_when_its_caller_may_not_any_more() {
    conform(&routes(CONFIG), async |world| {
        let upload = world.post("/s").body(bodies::drip(Duration::from_millis(100), 1000)).open();
        let (answer, ()) = tokio::join!(tokio::time::timeout(SOON * 2, upload), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            world.apply(revoke).unwrap();
        });

        assert!(answer.is_ok(), "it still goes on in the {} world", world.name);
    })
    .await;
}

#[tokio::test]
async fn an_open_answer_goes_on_while_its_caller_may() {
    let by_host = "policies: [{ from: [gateway], match: { host: echo.mesh, prefix: /s } }]";
    for policy in ["callers: [gateway]", by_host] {
        conform(&echo(&format!("{policy}\nroutes:\n{CONFIG}")), async |world| {
            let (answer, ()) = tokio::join!(world.get("/s").plan("drip:100"), async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                world.apply(|mesh| mesh.asserts.clear()).unwrap();
            });

            answer.is("200 ..........");
        })
        .await;
    }
}

#[tokio::test]
async fn a_joined_connection_is_cut_when_its_caller_may_not_any_more() {
    conform(&routes(CONFIG), async |world| {
        let mut socket = world.socket("/ws", "echo").await.unwrap();
        socket.echoes("hello").await;
        world.apply(revoke).unwrap();

        socket.ends_within(SOON).await;
        world.told("exchange gateway>echo /ws* 101\n cut gateway>echo policy").await;
    })
    .await;
}

#[tokio::test]
async fn a_joined_connection_is_cut_even_if_the_program_neither_listens_nor_speaks() {
    conform(&routes(CONFIG), async |world| {
        let socket = world.socket("/ws", "mute").await.unwrap();
        world.apply(revoke).unwrap();

        socket.ends_within(SOON).await;
    })
    .await;
}

/// Not compared: between processes the connection is cut, within one there is none and policy refuses.
#[tokio::test]
async fn nobody_talks_to_a_denied_identity() {
    in_each(&routes(CONFIG), async |world| {
        let answer = open(world).await;
        let mut socket = world.socket("/ws", "echo").await.unwrap();
        socket.echoes("hello").await;
        world.apply(|mesh| deny(mesh, "gateway")).unwrap();

        breaks_off(world, answer).await;
        socket.ends_within(SOON).await;
        for path in ["/a", "/s"] {
            let refused = world.get(path).await.summary();
            let is_refused =
                ["403 denied_by_policy", "no answer: "].iter().any(|way| refused.starts_with(way));
            assert!(is_refused, "{refused} in the {} world", world.name);
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_calls_a_denied_identity() {
    conform(&routes(CONFIG), async |world| {
        world.get("/a").await.is("200 echo GET /a");
        world.apply(|mesh| deny(mesh, "echo")).unwrap();

        for path in ["/a", "/s"] {
            world.get(path).await.is("no answer: not_allowed");
        }
        world
            .told(
                "exchange gateway>echo * 200
                 cut gateway>echo denied_identity
                 outbound gateway>echo * 403 not_allowed
                 outbound gateway>echo /s* 403 not_allowed",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn what_lasts_to_a_denied_identity_is_cut() {
    in_each(&routes(CONFIG), async |world| {
        let answer = open(world).await;
        let mut socket = world.socket("/ws", "echo").await.unwrap();
        socket.echoes("hello").await;
        let waiting = world.get("/s").plan("hang");
        let (waited, ()) = tokio::join!(tokio::time::timeout(SOON * 2, waited(waiting)), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            world.apply(|mesh| deny(mesh, "echo")).unwrap();
        });

        waited.unwrap_or_else(|_| panic!("it still waits in the {} world", world.name)).is("no answer: cut");
        breaks_off(world, answer).await;
        socket.ends_within(SOON).await;
    })
    .await;
}

async fn waited(ask: crate::ask::Ask<'_>) -> crate::ask::Answer {
    ask.await
}
