//! Each kind of route for longer than a unary call may take, and in bulk.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use base::serve::{Listener, serve};
use base::{Body, Request};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::pair::Pair;
use super::support::Proxy;
use crate::support::run;

const DEADLINE: Duration = Duration::from_millis(500);
const CHUNK: usize = 256 * 1024;

/// Two proxies before a program with a route of each kind.
fn pair() -> Pair {
    let spec = format!(
        "routes: [
      {{path: /stream/, kind: stream, response_ms: 5000, idle_ms: 2000}},
      {{path: /upgrade, kind: upgrade, response_ms: 5000, idle_ms: 5000, life_ms: 60000}},
      {{kind: unary, deadline_ms: {}}}]",
        DEADLINE.as_millis()
    );
    Pair::new("kinds", &spec, program)
}

impl Pair {
    async fn status(&self, path: &str) -> StatusCode {
        let request = http::Request::get(format!("http://kinds.mesh{path}")).body(Body::empty()).unwrap();
        self.calls().send(request).await.unwrap().status()
    }
}

fn program(socket: &Path, stop: CancellationToken) {
    async fn late() -> &'static str {
        tokio::time::sleep(DEADLINE * 2).await;
        "late"
    }
    async fn drip() -> Body {
        Body::from_stream(stream::unfold(0, |n| async move {
            tokio::time::sleep(DEADLINE / 5).await;
            (n < 10).then_some((Ok::<_, Infallible>(Bytes::from_static(b".")), n + 1))
        }))
    }
    async fn count(request: Request) -> String {
        let mut chunks = request.into_body().into_data_stream();
        let mut total = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            total += chunk.len();
        }
        total.to_string()
    }
    async fn echo(mut request: Request) -> base::Response {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
            let (mut reader, mut writer) = tokio::io::split(&mut io);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
        let mut response = base::Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert("connection", "upgrade".parse().unwrap());
        headers.insert("upgrade", "echo".parse().unwrap());
        response
    }
    let router = Router::new()
        .route("/late", get(late))
        .route("/stream/late", get(late))
        .route("/stream/drip", get(drip))
        .route("/stream/up", post(count))
        .route(
            "/stream/down/{chunks}",
            get(async |axum::extract::Path(n): axum::extract::Path<usize>| bulk(n)),
        )
        .route("/upgrade", get(echo));
    tokio::spawn(serve(Listener::unix(socket).unwrap(), router, stop, Duration::ZERO));
}

fn bulk(chunks: usize) -> Body {
    let chunk = Bytes::from(vec![7; CHUNK]);
    Body::from_stream(stream::iter((0..chunks).map(move |_| Ok::<_, Infallible>(chunk.clone()))))
}

#[test]
fn a_unary_call_ends_at_its_deadline_and_the_others_do_not() {
    run(async {
        let pair = pair();

        assert_eq!(pair.status("/late").await, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(pair.status("/stream/late").await, StatusCode::OK);
        let drip = http::Request::get("http://kinds.mesh/stream/drip").body(Body::empty()).unwrap();
        let body = pair.calls().send(drip).await.unwrap().into_body();
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap().len(), 10);
    });
}

#[test]
fn an_upgrade_outlives_the_unary_deadline() {
    run(async {
        let pair = pair();
        let mut socket = UnixStream::connect(pair.folder.path().join("out")).await.unwrap();
        let head =
            "GET /upgrade HTTP/1.1\r\nhost: kinds.mesh\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0, "the connection ended");
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));

        for _ in 0..3 {
            tokio::time::sleep(DEADLINE).await;
            socket.write_all(b"still here").await.unwrap();
            let mut echoed = [0; 10];
            socket.read_exact(&mut echoed).await.unwrap();
            assert_eq!(&echoed, b"still here");
        }
    });
}

/// `mib` each way; the proxies' memory grows by less than 16 MiB.
fn bulk_both_ways(mib: usize) {
    run(async {
        let pair = pair();
        let chunks = mib * 1024 * 1024 / CHUNK;
        assert_eq!(pair.status("/stream/down/1").await, StatusCode::OK);
        let before = [&pair.caller, &pair.callee].map(Proxy::anonymous_kib);

        let up = http::Request::post("http://kinds.mesh/stream/up").body(bulk(chunks)).unwrap();
        let counted = pair.calls().send(up).await.unwrap().into_body();
        let counted = axum::body::to_bytes(counted, 100).await.unwrap();
        assert_eq!(counted, (chunks * CHUNK).to_string().as_bytes());
        let url = format!("http://kinds.mesh/stream/down/{chunks}");
        let down = http::Request::get(url).body(Body::empty()).unwrap();
        let mut body = pair.calls().send(down).await.unwrap().into_body().into_data_stream();
        let (mut total, mut most) = (0, 0);
        while let Some(chunk) = body.next().await {
            total += chunk.unwrap().len();
            if total % (64 * CHUNK) < CHUNK {
                most = most.max(pair.caller.anonymous_kib().max(pair.callee.anonymous_kib()));
            }
        }

        assert_eq!(total, chunks * CHUNK);
        println!("{mib} MiB each way: {before:?} KiB before, {most} KiB at most");
        assert!(most < before.into_iter().max().unwrap() + 16 * 1024, "{before:?} KiB became {most}");
    });
}

#[test]
fn bulk_passes_both_ways_with_flat_memory() {
    bulk_both_ways(64);
}

#[test]
#[ignore = "half a minute"]
fn a_gigabyte_passes_both_ways_with_flat_memory() {
    bulk_both_ways(1024);
}
