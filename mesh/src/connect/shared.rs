//! HTTP/2 connections that carry many unary requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use base::{Body, Request, Response};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Mutex;

use super::{Dialer, Failure};
use crate::Cause;
use crate::identity::Alpn;

/// Requests on one connection before another one is opened beside it.
const BUSY: usize = 32;
/// Connections to one endpoint; further requests share them.
const MOST: usize = 8;
/// Window of a stream. Unary answers are small.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Streams on one connection.
pub(crate) const STREAMS: u32 = 128;
/// At least what all streams may have under way together: no stream can use up the connection's window.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS;
/// A connection is asked for a sign of life after this time without one,
pub(crate) const PING_AFTER: Duration = Duration::from_secs(20);
/// and given up this much later.
pub(crate) const PING_WAIT: Duration = Duration::from_secs(10);

/// The shared connections to one endpoint.
pub(super) struct Shared {
    dialer: Dialer,
    most: usize,
    connections: ArcSwap<Vec<Connection>>,
    dialling: Mutex<()>,
}

#[derive(Clone)]
struct Connection {
    sender: http2::SendRequest<Body>,
    /// Requests whose answer's head has not come.
    waiting: Arc<AtomicUsize>,
}

/// Counts a request as waiting.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(dialer: Dialer, most: usize) -> Shared {
        let most = most.clamp(1, MOST);
        Shared { dialer, most, connections: ArcSwap::default(), dialling: Mutex::default() }
    }

    pub(super) async fn send(&self, request: Request) -> Result<Response, Failure> {
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(cause) => return Err(Failure::unsent(cause, request)),
        };
        let _waiting = connection.wait();
        let response = connection.sender.try_send_request(request).await.map_err(Failure::of)?;
        Ok(response.map(Body::new))
    }

    /// The least busy connection; another one is opened while all are busy and there may be more.
    async fn connection(&self) -> Result<Connection, Cause> {
        if let Some(connection) = self.least_busy() {
            return Ok(connection);
        }
        // who waited finds what the one before opened
        let _one_at_a_time = self.dialling.lock().await;
        if let Some(connection) = self.least_busy() {
            return Ok(connection);
        }
        match self.dial().await {
            Ok(connection) => {
                let mut open: Vec<Connection> =
                    self.connections.load().iter().filter(|c| !c.sender.is_closed()).cloned().collect();
                open.push(connection.clone());
                self.connections.store(Arc::new(open));
                Ok(connection)
            }
            // a busy connection is better than none
            Err(cause) => self.any().ok_or(cause),
        }
    }

    fn least_busy(&self) -> Option<Connection> {
        let connections = self.connections.load();
        let mut open = 0;
        let mut best: Option<(&Connection, usize)> = None;
        for connection in connections.iter().filter(|c| !c.sender.is_closed()) {
            open += 1;
            let waiting = connection.waiting.load(Ordering::Relaxed);
            if best.is_none_or(|(_, least)| waiting < least) {
                best = Some((connection, waiting));
            }
        }
        let (connection, waiting) = best?;
        (waiting < BUSY || open >= self.most).then(|| connection.clone())
    }

    fn any(&self) -> Option<Connection> {
        self.connections.load().iter().find(|c| !c.sender.is_closed()).cloned()
    }

    async fn dial(&self) -> Result<Connection, Cause> {
        let io = TokioIo::new(self.dialer.dial(Alpn::H2).await?);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_WAIT);
        let (sender, connection) = builder.handshake(io).await.map_err(|_| Cause::Unreachable)?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection { sender, waiting: Arc::default() })
    }
}

impl Connection {
    fn wait(&self) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.waiting.clone())
    }
}
