//! Serves a router on a TCP or UNIX socket, and drains: stop accepting, finish what is in flight, then a deadline.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::{Body, Request, Response};

/// A client must send its request's head within this time. hyper counts from the end of the answer before, so this is
/// also how long a connection may rest between two requests: longer than clients keep one in their pools, which is
/// often 60 s, so that it is they who close it and no request meets a closing connection. What slow heads can hold in
/// that time is bounded by [`MAX_CONNECTIONS`] and [`MAX_HEAD_BYTES`].
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Connections open at once on one listener, upgraded ones too; more wait to be accepted.
pub const MAX_CONNECTIONS: usize = 10_000;
/// Largest request head, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Pause after `accept` failed, usually because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub use crate::connection::Connection;

/// The remote address of a TCP connection, in each request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddr(pub SocketAddr);

/// A bound socket.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A UNIX socket; the file goes when the listener is dropped.
    Unix(UnixListener, SocketFile),
}

/// The file of a UNIX socket, removed on drop.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds a TCP port; port 0 takes a free one.
    pub async fn tcp(addr: SocketAddr) -> io::Result<Listener> {
        Ok(Listener::Tcp(TcpListener::bind(addr).await?))
    }

    /// Binds a UNIX socket that only its owner may connect to, replacing a stale file.
    pub fn unix(path: &Path) -> io::Result<Listener> {
        use std::os::unix::fs::PermissionsExt;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Listener::Unix(listener, SocketFile(path.to_owned())))
    }

    /// The address of a TCP listener.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }
}

/// Serves `service` until `stop` is cancelled, then finishes what is in flight for at most `grace`.
///
/// HTTP/1.1 with upgrades. A connection that rests or has not sent its head for 75 s is closed, and so is one whose
/// peer reads nothing of its answer for 60 s. At most 10,000 are open at once.
pub async fn serve<S>(listener: Listener, service: S, stop: CancellationToken, grace: Duration)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let until = stop.clone();
    accept_within(places, listener, stop, grace, move |connection, remote| {
        http1_connection(connection, remote, service.clone(), until.clone())
    })
    .await;
}

/// Hands each connection to `carry` until `stop` is cancelled, then waits at most `grace` for those that are open.
///
/// `carry` sees the token too, and is to bring its connection to an end when it is cancelled. At most 10,000 are open
/// at once; who finds no place waits in the kernel's backlog and costs nothing.
pub async fn accept_each<F, C>(listener: Listener, stop: CancellationToken, grace: Duration, carry: F)
where
    F: FnMut(Connection, Option<RemoteAddr>) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    accept_within(Arc::new(Semaphore::new(MAX_CONNECTIONS)), listener, stop, grace, carry).await;
}

async fn accept_within<F, C>(
    places: Arc<Semaphore>,
    listener: Listener,
    stop: CancellationToken,
    grace: Duration,
    mut carry: F,
) where
    F: FnMut(Connection, Option<RemoteAddr>) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, remote)) => drop(connections.spawn(carry(stream, remote))),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!(seconds = grace.as_secs(), "connections still open after the grace period");
    }
}

/// Waits for a place, then for a client.
async fn accept(
    listener: &Listener,
    places: &Arc<Semaphore>,
) -> io::Result<(Connection, Option<RemoteAddr>)> {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    match listener {
        Listener::Tcp(listener) => {
            let (stream, remote) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Connection::new(Box::new(stream), place), Some(RemoteAddr(remote))))
        }
        Listener::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            Ok((Connection::new(Box::new(stream), place), None))
        }
    }
}

/// One HTTP/1.1 connection from its first request to its end.
fn http1_connection<S>(
    stream: Connection,
    remote: Option<RemoteAddr>,
    mut service: S,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let service = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        if let Some(remote) = remote {
            request.extensions_mut().insert(remote);
        }
        service.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
    async move {
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    async fn hello(_: Request) -> Result<Response, Infallible> {
        Ok(Response::new(Body::from("hello")))
    }

    /// Sends one request and reads its answer to the end.
    async fn ask(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// The client's end of a connection that is being served.
    async fn connect() -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(4096);
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let connection = Connection::new(Box::new(theirs), place);
        let stop = CancellationToken::new();
        tokio::spawn(http1_connection(connection, None, tower::service_fn(hello), stop));
        ours
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_rest_for_a_minute_between_requests() {
        let mut client = connect().await;

        for _ in 0..3 {
            ask(&mut client).await.unwrap();
            tokio::time::sleep(Duration::from_secs(65)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_cut_off() {
        let mut client = connect().await;
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let started = tokio::time::Instant::now();

        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();

        assert_eq!(started.elapsed().as_secs(), HEADER_TIMEOUT.as_secs());
    }

    #[tokio::test]
    async fn who_sends_more_than_is_read_gets_the_answer() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, tower::service_fn(hello), stop.clone(), Duration::ZERO));
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();

        let body = vec![b'x'; 16 << 20];
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "closed before the answer");
        }

        stop.cancel();
        served.await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_to_be_asked_for_a_body_is_not() {
        let mut client = connect().await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();

        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();

        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (places, stop) = (Arc::new(Semaphore::new(1)), CancellationToken::new());
        let until = stop.clone();
        let served = accept_within(places, listener, stop.clone(), Duration::ZERO, move |stream, remote| {
            http1_connection(stream, remote, tower::service_fn(hello), until.clone())
        });
        let served = tokio::spawn(served);
        let mut first = tokio::net::TcpStream::connect(address).await.unwrap();
        ask(&mut first).await.unwrap();

        let mut second = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut asking = tokio::spawn(async move { ask(&mut second).await });
        let early = tokio::time::timeout(Duration::from_millis(100), &mut asking).await;

        assert!(early.is_err(), "the only place is taken");
        drop(first);
        asking.await.unwrap().unwrap();
        stop.cancel();
        served.await.unwrap();
    }
}
