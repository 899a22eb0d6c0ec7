//! What may go on no longer: within a second, on connections that are open.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::joining::wait_for_answer;
use super::support::{Caller, ECHO, Plane, SECOND};
use crate::mesh::support::get as ask;
use crate::support::run;

/// A program that answers, and leaves HTTP on `/ws`.
async fn program() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

async fn answer(mut stream: TcpStream) {
    let mut head = [0; 4096];
    let Ok(length) = stream.read(&mut head).await else { return };
    if !head[..length].starts_with(b"GET /ws") {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
        let _ = stream.write_all(answer).await;
        return;
    }
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let _ = stream.write_all(answer).await;
    let _ = stream.read(&mut head).await;
}

/// A connection that left HTTP.
async fn upgraded(web: &Caller) -> UnixStream {
    let mut stream = UnixStream::connect(web.socket()).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nhost: echo.mesh\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

/// How long it takes until it is cut.
async fn cut(mut stream: UnixStream) -> Duration {
    let started = Instant::now();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(10 * SECOND, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it is still open");
    started.elapsed()
}

fn check(revoke: impl Fn(&Plane)) {
    run(async {
        let plane = Plane::start(1, &[]).await;
        plane.apply(ECHO);
        let _echo = plane.callee("echo", "echo", &program().await);
        let web = plane.caller("web");
        wait_for_answer(&web).await;
        let (socket, calls) = (upgraded(&web).await, web.calls());

        revoke(&plane);
        let cut_after = cut(socket).await;

        println!("cut after {cut_after:?}");
        assert!(cut_after < SECOND, "{cut_after:?}");
        let refused = ask(&calls, "http://echo.mesh/").await.map(|status| status.as_u16());
        assert!(matches!(refused, Some(403 | 502 | 503)), "{refused:?}");
    });
}

#[test]
fn a_caller_that_policy_names_no_more_is_cut() {
    check(|plane| drop(plane.apply(&ECHO.replace("callers: [web]", "callers: []"))));
}

#[test]
fn a_caller_that_is_denied_is_cut() {
    check(|plane| drop(plane.mesh(&["deny", "web", "--reason", "stolen"])));
}

#[test]
fn a_callee_that_is_denied_is_cut() {
    check(|plane| drop(plane.mesh(&["deny", "echo"])));
}

#[test]
fn who_is_denied_gets_no_certificate_and_comes_back_when_forgiven() {
    run(async {
        let plane = Plane::start(1, &["--svid-ttl-seconds", "4"]).await;
        plane.apply(ECHO);
        let _echo = plane.callee("echo", "echo", &program().await);
        let web = plane.caller("web");
        wait_for_answer(&web).await;

        plane.mesh(&["deny", "web"]);
        tokio::time::sleep(6 * SECOND).await;
        plane.mesh(&["forgive", "web"]);

        wait_for_answer(&web).await;
    });
}
