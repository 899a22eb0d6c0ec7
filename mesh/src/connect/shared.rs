//! HTTP/2 connections that carry many unary requests at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use base::{Body, Request, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
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
/// Largest head of a request or an answer.
pub(crate) const HEAD_BYTES: u32 = 64 * 1024;
/// A connection to another proxy on which a request waits is asked for a sign of life after this time without one,
const PING_AFTER: Duration = Duration::from_secs(1);
/// and given up this much later: where packets are lost without a word, nothing else tells.
const PING_WAIT: Duration = Duration::from_secs(3);

/// A connection that nobody used for one to two of these is closed.
const REST: Duration = Duration::from_secs(15);

/// The shared connections to one endpoint. The first ones carry what they can, so that the others come to rest when
/// there is less to do.
pub(super) struct Shared(Arc<Pool>);

struct Pool {
    dialer: Dialer,
    connections: ArcSwap<Vec<Connection>>,
    /// Held while connections are added or taken away.
    change: Mutex<()>,
    /// Whether a task looks after those that rest.
    swept: AtomicBool,
}

#[derive(Clone)]
struct Connection {
    sender: http2::SendRequest<Body>,
    usage: Arc<Usage>,
}

#[derive(Default)]
struct Usage {
    /// Streams whose answer has not ended.
    streams: AtomicUsize,
    /// Whether it was used since somebody looked.
    lately: AtomicBool,
}

/// Counts a stream.
struct Busy(Arc<Usage>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body whose stream counts until it has ended: one that nobody reads keeps its place.
struct Counted {
    body: Incoming,
    _busy: Busy,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Shared {
    pub(super) fn new(dialer: Dialer) -> Shared {
        Shared(Arc::new(Pool {
            dialer,
            connections: ArcSwap::default(),
            change: Mutex::default(),
            swept: AtomicBool::new(false),
        }))
    }

    pub(super) async fn send(&self, request: Request) -> Result<Response, Failure> {
        match self.send_once(request).await {
            // the connection was closing: the request is as good as new
            Err(Failure { cause: Cause::Refused, unsent: Some(request) }) => self.send_once(*request).await,
            answer => answer,
        }
    }

    async fn send_once(&self, request: Request) -> Result<Response, Failure> {
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(cause) => return Err(Failure::unsent(cause, request)),
        };
        let busy = connection.begin();
        let response = connection.sender.try_send_request(request).await.map_err(Failure::of)?;
        Ok(response.map(|body| Body::new(Counted { body, _busy: busy })))
    }

    /// A connection with room; another one is opened while none has and there may be more.
    async fn connection(&self) -> Result<Connection, Cause> {
        if let Some(connection) = self.0.with_room() {
            return Ok(connection);
        }
        // who waited finds what the one before opened
        let _one_at_a_time = self.0.change.lock().await;
        if let Some(connection) = self.0.with_room() {
            return Ok(connection);
        }
        match self.dial().await {
            Ok(connection) => {
                let mut open = self.0.open();
                open.push(connection.clone());
                self.0.connections.store(Arc::new(open));
                if !self.0.swept.swap(true, Ordering::Relaxed) {
                    self.sweep_while_open();
                }
                Ok(connection)
            }
            // a busy connection is better than none
            Err(cause) => self.0.open().into_iter().next().ok_or(cause),
        }
    }

    async fn dial(&self) -> Result<Connection, Cause> {
        let io = TokioIo::new(self.0.dialer.dial(Alpn::H2).await?);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES);
        // a program may take pings for an attack (gRPC servers: two within five minutes), and it is beside us
        if self.0.dialer.is_secure() {
            builder.keep_alive_interval(PING_AFTER).keep_alive_timeout(PING_WAIT);
        }
        let (sender, connection) = builder.handshake(io).await.map_err(|_| Cause::Unreachable)?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection { sender, usage: Arc::default() })
    }

    /// Closes what rests; runs until nothing is open. What is still being answered on a connection is not cut.
    fn sweep_while_open(&self) {
        let pool = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(REST).await;
                let Some(pool) = pool.upgrade() else { return };
                let _change = pool.change.lock().await;
                let mut open = pool.open();
                open.retain(|connection| connection.was_used());
                let is_empty = open.is_empty();
                pool.connections.store(Arc::new(open));
                if is_empty {
                    pool.swept.store(false, Ordering::Relaxed);
                    return;
                }
            }
        });
    }
}

impl Pool {
    /// The first connection that is not busy; when there may be no more, the one that is least busy.
    fn with_room(&self) -> Option<Connection> {
        let connections = self.connections.load();
        let open = || connections.iter().filter(|connection| !connection.sender.is_closed());
        if let Some(connection) = open().find(|connection| connection.streams() < BUSY) {
            return Some(connection.clone());
        }
        if open().count() < MOST {
            return None;
        }
        open().min_by_key(|connection| connection.streams()).cloned()
    }

    fn open(&self) -> Vec<Connection> {
        self.connections.load().iter().filter(|connection| !connection.sender.is_closed()).cloned().collect()
    }
}

impl Connection {
    fn begin(&self) -> Busy {
        self.usage.streams.fetch_add(1, Ordering::Relaxed);
        self.usage.lately.store(true, Ordering::Relaxed);
        Busy(self.usage.clone())
    }

    fn streams(&self) -> usize {
        self.usage.streams.load(Ordering::Relaxed)
    }

    /// Whether it was used since this was asked the last time.
    fn was_used(&self) -> bool {
        self.usage.lately.swap(false, Ordering::Relaxed) || self.streams() > 0
    }
}
