//! Readers that do not read, and streams that rest, hold up nobody else; a burst leaves no memory behind.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base::Body;
use base::serve::{Listener, serve};
use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::pair::Pair;
use super::support::{Sample, failures, load, quantile};
use crate::support::run;

/// Two proxies before a program with endless answers.
fn pair() -> Pair {
    let spec = "routes: [
      {path: /stream/, kind: stream, response_ms: 5000, idle_ms: 600000},
      {kind: unary, deadline_ms: 5000}], concurrency: {connections: 4096}";
    Pair::new("busy", spec, program)
}

impl Pair {
    async fn unary(&self, rate: u32, seconds: u64) -> Vec<Sample> {
        load(&self.calls(), "http://busy.mesh/", rate, Duration::from_secs(seconds)).await
    }

    /// Asks for `path` and reads no further than the head of the answer.
    async fn open(&self, path: &str) -> UnixStream {
        let mut socket = UnixStream::connect(self.folder.path().join("out")).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: busy.mesh\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        socket
    }

    async fn open_many(&self, path: &str, count: usize) -> Vec<UnixStream> {
        let mut sockets = Vec::new();
        for _ in 0..count {
            sockets.push(self.open(path).await);
        }
        sockets
    }

    fn anonymous_kib(&self) -> u64 {
        self.caller.anonymous_kib().max(self.callee.anonymous_kib())
    }
}

fn program(socket: &Path, stop: CancellationToken) {
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route(
            "/stream/endless",
            get(async || {
                let chunk = Bytes::from(vec![7; 64 * 1024]);
                Body::from_stream(stream::repeat_with(move || Ok::<_, Infallible>(chunk.clone())))
            }),
        )
        .route(
            "/stream/resting",
            get(async || {
                use futures_util::StreamExt;
                let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"hello"))]);
                Body::from_stream(first.chain(stream::pending()))
            }),
        );
    tokio::spawn(serve(Listener::unix(socket).unwrap(), router, stop, Duration::ZERO));
}

/// The latency that `part` of the requests are below, with `unread` downloads that nobody reads and `resting` streams
/// beside them, and without. A short run on a busy machine can say that of its middle alone.
fn check(unread: usize, resting: usize, seconds: u64, part: f64) {
    run(async {
        let pair = pair();
        pair.unary(100, 1).await;
        let control = pair.unary(100, seconds).await;

        let _unread = pair.open_many("/stream/endless", unread).await;
        let _resting = pair.open_many("/stream/resting", resting).await;
        let beside = pair.unary(100, seconds).await;

        assert_eq!(failures(&beside), 0);
        let [control, beside] = [&control, &beside].map(|samples| quantile(samples, part));
        println!("{control:?} alone, {beside:?} beside {unread} unread and {resting} resting streams");
        // on a busy machine single answers take milliseconds whatever else goes on
        let least = Duration::from_millis(10);
        assert!(beside <= (control * 2).max(least), "it went from {control:?} to {beside:?}");
    });
}

#[test]
fn unread_downloads_and_resting_streams_hold_up_nobody() {
    check(50, 100, 3, 0.5);
}

#[test]
#[ignore = "half a minute"]
fn two_hundred_unread_downloads_and_a_thousand_resting_streams_hold_up_nobody() {
    check(200, 1000, 10, 0.99);
}

#[test]
#[ignore = "two minutes"]
fn a_burst_leaves_no_memory_behind() {
    run(async {
        let pair = pair();
        pair.unary(20, 5).await;
        let before = pair.anonymous_kib();

        let burst = pair.unary(2000, 10).await;
        let most = pair.anonymous_kib();
        pair.unary(20, 60).await;

        let after = pair.anonymous_kib();
        println!("{before} KiB before, {most} KiB in the burst, {after} KiB a minute later");
        assert!(failures(&burst) * 100 <= burst.len(), "{} of {} failed", failures(&burst), burst.len());
        assert!(after * 10 <= before * 12, "{before} KiB became {after} KiB");
    });
}
