//! What a caller sees of a local endpoint: the same as of a remote one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::routing::{any, get, post};
use base::serve::{Listener, serve};
use base::{Body, Request, header};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use mesh::endpoint::Endpoint;
use mesh::observe::{Event, Observer};
use mesh::outbound::Cause;
use mesh::resource::Mesh;
use mesh::{Directory, Inbound, Outbound};
use tokio_util::sync::CancellationToken;

const CONFIG: &str = "
trust_domain: test.local
asserts: { gateway: [x-meshbase-project] }
services:
  echo:
    callers: [gateway]
    routes:
      - { path: /ws, kind: upgrade, response_ms: 2000, idle_ms: 5000, life_ms: 60000 }
      - { path: /stream, kind: stream, response_ms: 2000, idle_ms: 300 }
      - { kind: unary, deadline_ms: 200 }
";

struct Call {
    outbound: Outbound,
    events: Arc<Mutex<Vec<Event>>>,
}

fn call_as(source: &str, router: Router) -> Call {
    let mesh = Arc::new(Mesh::parse(CONFIG).unwrap());
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let sink = events.clone();
    let observer = Observer::new(move |event| sink.lock().unwrap().push(event.clone()));
    let directory = Directory::default();
    directory.insert("echo", Endpoint::Local(Inbound::new(&mesh, "echo", router, observer.clone())));
    Call { outbound: Outbound::new(source, mesh, directory, observer), events }
}

fn request(path: &str) -> http::request::Builder {
    http::Request::builder().uri(format!("http://echo.mesh{path}"))
}

fn get_(path: &str) -> Request {
    request(path).body(Body::empty()).unwrap()
}

async fn text(response: base::Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_service_sees_its_own_host_the_peer_and_no_unproven_header() {
    async fn show(request: Request) -> String {
        let header = |name: &str| {
            request.headers().get(name).map_or("-".to_owned(), |v| v.to_str().unwrap().to_owned())
        };
        let extension = request.extensions().get::<&'static str>().is_some();
        let names =
            ["host", "x-meshbase-peer", "x-meshbase-project", "x-meshbase-origin", "x-hop"].map(header);
        format!("{} {} {extension}", request.uri(), names.join(" "))
    }
    let call = call_as("gateway", Router::new().fallback(any(show)));
    let mut request = request("/a//b?x=1")
        .header("x-meshbase-peer", "auth")
        .header("x-meshbase-project", "shop")
        .header("x-meshbase-origin", "http://evil")
        .header("connection", "x-hop, x-meshbase-project")
        .header("x-hop", "1")
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert("the caller's own");

    let answer = text(call.outbound.send(request).await.unwrap()).await;

    assert_eq!(answer, "/a//b?x=1 echo.mesh gateway shop - - false");
}

#[tokio::test]
async fn a_caller_that_policy_does_not_name_is_refused() {
    let call = call_as("stranger", Router::new().fallback(any(async || "reached")));

    let response = call.outbound.send(get_("/")).await.unwrap();

    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let events = call.events.lock().unwrap();
    assert!(matches!(&events[0], Event::Denied { peer, .. } if peer == "spiffe://test.local/stranger"));
}

#[tokio::test]
async fn hosts_outside_the_mesh_are_not_allowed() {
    let call = call_as("gateway", Router::new());
    let outside = http::Request::get("http://example.com/").body(Body::empty()).unwrap();
    let unknown = http::Request::get("http://nobody.mesh/").body(Body::empty()).unwrap();

    assert_eq!(call.outbound.send(outside).await.err(), Some(Cause::NotAllowed));
    assert_eq!(call.outbound.send(unknown).await.err(), Some(Cause::NotAllowed));
}

#[tokio::test]
async fn a_panic_is_a_reset() {
    async fn broken() -> &'static str {
        panic!("on purpose")
    }
    let call = call_as("gateway", Router::new().fallback(any(broken)));

    assert_eq!(call.outbound.send(get_("/")).await.err(), Some(Cause::Reset));
}

#[tokio::test(start_paused = true)]
async fn a_unary_call_ends_at_its_deadline_in_the_head_and_in_the_body() {
    async fn slow_body() -> Body {
        Body::from_stream(futures_util::stream::once(async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok::<_, Infallible>(Bytes::from_static(b"late"))
        }))
    }
    let router = Router::new()
        .route("/head", get(async || tokio::time::sleep(Duration::from_secs(5)).await))
        .route("/body", get(slow_body))
        .route(
            "/left",
            get(async |headers: http::HeaderMap| headers[header::DEADLINE].to_str().unwrap().to_owned()),
        );
    let call = call_as("gateway", router);
    let hurried = request("/left").header(header::DEADLINE, "50").body(Body::empty()).unwrap();

    assert_eq!(call.outbound.send(get_("/head")).await.err(), Some(Cause::Deadline));
    let late = call.outbound.send(get_("/body")).await.unwrap();
    assert!(axum::body::to_bytes(late.into_body(), 100).await.is_err());
    assert_eq!(
        text(call.outbound.send(hurried).await.unwrap()).await,
        "50",
        "a deadline is lowered, never raised"
    );
    assert_eq!(text(call.outbound.send(get_("/left")).await.unwrap()).await, "200");
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_take_long_but_may_not_stall() {
    async fn drip(pause: u64) -> Body {
        let drops = futures_util::stream::unfold(0, move |n| async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            (n < 10).then_some((Ok::<_, Infallible>(Bytes::from_static(b".")), n + 1))
        });
        Body::from_stream(drops)
    }
    let router = Router::new()
        .route("/stream/steady", get(async || drip(200).await))
        .route("/stream/stalled", get(async || drip(400).await))
        .route("/stream/silent", get(async || tokio::time::sleep(Duration::from_secs(60)).await));
    let call = call_as("gateway", router);

    let steady = call.outbound.send(get_("/stream/steady")).await.unwrap();
    let stalled = call.outbound.send(get_("/stream/stalled")).await.unwrap();

    assert_eq!(text(steady).await, "..........", "two seconds in all, at twice the unary deadline and more");
    assert!(axum::body::to_bytes(stalled.into_body(), 100).await.is_err());
    assert_eq!(call.outbound.send(get_("/stream/silent")).await.err(), Some(Cause::ResponseTimeout));
}

#[tokio::test]
async fn a_gigabyte_streams_through_in_both_directions() {
    const CHUNK: usize = 256 * 1024;
    const CHUNKS: usize = 4096;
    async fn count(request: Request) -> Body {
        let mut chunks = request.into_body().into_data_stream();
        let mut total = 0;
        while let Some(chunk) = chunks.next().await {
            total += chunk.unwrap().len();
        }
        assert_eq!(total, CHUNK * CHUNKS);
        gigabyte()
    }
    fn gigabyte() -> Body {
        let chunk = Bytes::from(vec![7; CHUNK]);
        let chunks = (0..CHUNKS).map(move |_| Ok::<_, Infallible>(chunk.clone()));
        Body::from_stream(futures_util::stream::iter(chunks))
    }
    let call = call_as("gateway", Router::new().route("/stream", post(count)));
    let request = request("/stream").method("POST").body(gigabyte()).unwrap();

    let mut chunks = call.outbound.send(request).await.unwrap().into_body().into_data_stream();

    let mut total = 0;
    while let Some(chunk) = chunks.next().await {
        total += chunk.unwrap().len();
    }
    assert_eq!(total, CHUNK * CHUNKS);
}

#[tokio::test]
async fn a_websocket_echo_passes_a_local_endpoint() {
    async fn echo(upgrade: WebSocketUpgrade) -> axum::response::Response {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.next().await {
                if matches!(message, Message::Text(_)) && socket.send(message).await.is_err() {
                    break;
                }
            }
        })
    }
    let call = call_as("gateway", Router::new().route("/ws", get(echo)));
    let outbound = call.outbound.clone();
    // a proxy in front, as the gateway is one: its client's connection is spliced to the endpoint's
    let proxy = tower::service_fn(move |mut request: Request| {
        let outbound = outbound.clone();
        async move {
            let path = request.uri().path().to_owned();
            *request.uri_mut() = format!("http://echo.mesh{path}").parse().unwrap();
            Ok::<_, Infallible>(outbound.send(request).await.unwrap())
        }
    });
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, proxy, stop.clone(), Duration::from_secs(1)));
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();

    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream).await.unwrap();
    for text in ["hello".to_owned(), "x".repeat(300_000)] {
        socket.send(text.clone().into()).await.unwrap();
        let echoed = socket.next().await.unwrap().unwrap();
        assert_eq!(echoed.into_text().unwrap().as_str(), text);
    }
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);

    let ended = async {
        while !call.events.lock().unwrap().iter().any(|event| matches!(event, Event::UpgradeEnded { .. })) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the splice ends with its sockets");
    stop.cancel();
}
