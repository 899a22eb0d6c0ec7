//! Connections that carry one exchange at a time.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use base::{Body, Request, Response};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use super::{Dialer, Failure};
use crate::Cause;
use crate::identity::Alpn;

/// Window of the one stream, and of the connection.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// The connections of one protocol to one endpoint. The one that rested for the shortest time is used first.
pub(super) struct Exclusive(Arc<Pool>);

struct Pool {
    dialer: Dialer,
    alpn: Alpn,
    idle: Mutex<Vec<Resting>>,
    rest: Duration,
    /// Whether a task looks after those that rest.
    swept: AtomicBool,
}

struct Resting {
    sender: Sender,
    until: Instant,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Exclusive {
    pub(super) fn new(dialer: Dialer, alpn: Alpn, rest: Duration) -> Exclusive {
        Exclusive(Arc::new(Pool {
            dialer,
            alpn,
            idle: Mutex::default(),
            rest,
            swept: AtomicBool::new(false),
        }))
    }

    pub(super) async fn send(&self, mut request: Request) -> Result<Response, Failure> {
        // one that was closed while it rested gives the request back: the next one is tried, at last a new one
        while let Some(mut sender) = self.0.rested() {
            match sender.send(request).await {
                Ok(response) => return Ok(self.answer(sender, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Failure::of(error)),
                },
            }
        }
        let mut sender = match self.connect().await {
            Ok(sender) => sender,
            Err(cause) => return Err(Failure::unsent(cause, request)),
        };
        let response = sender.send(request).await.map_err(Failure::of)?;
        Ok(self.answer(sender, response))
    }

    async fn connect(&self) -> Result<Sender, Cause> {
        let io = TokioIo::new(self.0.dialer.dial(self.0.alpn).await?);
        match self.0.alpn {
            Alpn::H2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.timer(TokioTimer::new()).initial_stream_window_size(WINDOW_BYTES);
                builder.max_header_list_size(super::shared::HEAD_BYTES);
                builder.initial_connection_window_size(WINDOW_BYTES);
                let (sender, connection) = builder.handshake(io).await.map_err(|_| Cause::Unreachable)?;
                tokio::spawn(async move {
                    let _ = connection.await;
                });
                Ok(Sender::Http2(sender))
            }
            _ => {
                let (sender, connection) = http1::handshake(io).await.map_err(|_| Cause::Unreachable)?;
                tokio::spawn(async move {
                    let _ = connection.with_upgrades().await;
                });
                Ok(Sender::Http1(sender))
            }
        }
    }

    /// The answer, whose body gives the connection back when it has ended.
    fn answer(&self, sender: Sender, response: http::Response<Incoming>) -> Response {
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            return response.map(Body::new);
        }
        let rest = rest(response.headers(), self.0.rest);
        let back = Return { pool: self.0.clone(), sender, rest };
        let (head, body) = response.into_parts();
        if body.is_end_stream() {
            back.give();
            return Response::from_parts(head, Body::empty());
        }
        Response::from_parts(head, Body::new(Returning { body, back: Some(back) }))
    }
}

impl Pool {
    /// A connection that rests and was not closed meanwhile.
    fn rested(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().expect("no holder of this lock panics");
        let mut now = None;
        while let Some(resting) = idle.pop() {
            if resting.sender.is_closed() {
                continue;
            }
            if *now.get_or_insert_with(Instant::now) < resting.until {
                return Some(resting.sender);
            }
            // the others have rested for longer
            idle.clear();
        }
        None
    }

    fn rest(self: &Arc<Pool>, sender: Sender, rest: Duration) {
        let until = Instant::now() + rest;
        self.idle.lock().expect("no holder of this lock panics").push(Resting { sender, until });
        if !self.swept.swap(true, Ordering::Relaxed) {
            self.sweep_while_resting();
        }
    }

    /// Closes what rested too long; runs until nothing rests.
    fn sweep_while_resting(self: &Arc<Pool>) {
        let pool = Arc::downgrade(self);
        let pause = self.rest;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                let mut idle = pool.idle.lock().expect("no holder of this lock panics");
                let now = Instant::now();
                idle.retain(|resting| resting.until > now && !resting.sender.is_closed());
                if idle.is_empty() {
                    idle.shrink_to_fit();
                    pool.swept.store(false, Ordering::Relaxed);
                    return;
                }
            }
        });
    }
}

impl Sender {
    async fn send(
        &mut self,
        request: Request,
    ) -> Result<http::Response<Incoming>, TrySendError<http::Request<Body>>> {
        match self {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }
}

/// A connection on its way back.
struct Return {
    pool: Arc<Pool>,
    sender: Sender,
    rest: Duration,
}

impl Return {
    fn give(self) {
        if !self.sender.is_closed() && !self.rest.is_zero() {
            self.pool.rest(self.sender, self.rest);
        }
    }
}

/// How long the connection may rest: what the server says in `Keep-Alive: timeout=5` with a second to spare, or ours.
fn rest(headers: &http::HeaderMap, ours: Duration) -> Duration {
    let Some(value) = headers.get("keep-alive").and_then(|value| value.to_str().ok()) else { return ours };
    let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="));
    match timeout.and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) => ours.min(Duration::from_secs(seconds).saturating_sub(Duration::from_secs(1))),
        None => ours,
    }
}

/// A body that gives its connection back when it has ended. Dropped before, it takes the connection with it: what was
/// not read must not be taken for the next answer.
struct Returning {
    body: Incoming,
    back: Option<Return>,
}

impl http_body::Body for Returning {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let over = match &frame {
            None => true,
            Some(Ok(_)) => self.body.is_end_stream(),
            Some(Err(_)) => {
                self.back = None;
                false
            }
        };
        if over && let Some(back) = self.back.take() {
            back.give();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
