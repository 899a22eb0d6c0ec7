//! The two doors of a proxy: where peers come in over mutual TLS, and where programs hand over their calls.

mod peers;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base::serve::{Connection, RemoteAddr};
use base::{Body, Request, Response};
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::classify::is_grpc;
use crate::connect::shared::{self, CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, STREAMS};
use crate::identity::{Alpn, Credentials, Identity, Negotiated, handshake};
use crate::observe::{Event, Name, Reason, Side};
use crate::plane::DataPlane;
use crate::resource::Protocol;
use crate::sever::Shears;
use crate::{Cause, Inbound, Outbound, hop, rescue, target};

/// A client must send its request's head within this time, and may rest for as long between two requests.
const HEAD: Duration = Duration::from_secs(75);
/// A peer that says nothing for this time is asked for a sign of life,
const PING_AFTER: Duration = Duration::from_secs(20);
/// and given up this much later.
const PING_WAIT: Duration = Duration::from_secs(10);
/// Largest request head.
const HEAD_BYTES: usize = shared::HEAD_BYTES as usize;
/// Resets of streams that a peer may cause before its connection is closed (CVE-2023-44487).
const RESETS: usize = 200;

pub(crate) use peers::Peers;

/// A service and who it is, as peers find it.
#[derive(Clone)]
pub(crate) struct Behind {
    pub(crate) inbound: Inbound,
    pub(crate) credentials: Credentials,
    pub(crate) protocol: Protocol,
}

/// Where peers come in.
#[derive(Clone)]
pub(crate) struct InboundDoor {
    pub(crate) plane: DataPlane,
    /// By name.
    pub(crate) services: Arc<HashMap<String, Behind>>,
    pub(crate) peers: Peers,
    pub(crate) stop: CancellationToken,
}

/// A peer that is who it says it is.
struct Greeted {
    peer: Identity,
    service: Name,
    /// Its connection to the end.
    carried: BoxFuture<'static, ()>,
    _place: Option<peers::Place>,
}

impl InboundDoor {
    /// Carries one connection of a peer from its handshake to its end.
    pub(crate) async fn carry(self, connection: Connection, remote: Option<RemoteAddr>) {
        let shears = Shears::default();
        // boxed, as all of what follows: a connection at rest then holds no room for what is over
        let greeted = Box::pin(self.greet(connection, remote, &shears)).await;
        let Some(Greeted { peer, service, carried, _place }) = greeted else { return };
        tokio::select! {
            () = carried => {}
            () = self.denied(&peer) => {
                self.plane.0.observe(&Event::Cut { peer, service, reason: Reason::DeniedIdentity });
                shears.cut();
            }
        }
    }

    /// The handshake, and what is then to be done.
    async fn greet(
        &self,
        connection: Connection,
        remote: Option<RemoteAddr>,
        shears: &Shears,
    ) -> Option<Greeted> {
        let choose = |service: &str| {
            let behind = self.services.get(service)?;
            let alpn = if behind.protocol == Protocol::Tcp { Alpn::Tcp } else { Alpn::Both };
            Some(behind.credentials.server(alpn))
        };
        let accepted = match handshake::accept(shears.around(connection), &choose).await {
            Ok(accepted) => accepted,
            Err(error) => {
                self.refused(remote, &error);
                return None;
            }
        };
        let handshake::Accepted { stream, service, peer, protocol } = accepted;
        let inbound = self.services.get(&*service)?.inbound.clone();
        let place = self.peers.enter(&peer);
        if place.is_none() {
            self.plane.0.refused(Side::Inbound, &service, Reason::PeerShare);
        }
        let carried: BoxFuture<'static, ()> = match (protocol, &place) {
            (Negotiated::Tcp, None) => return None,
            (Negotiated::Tcp, Some(_)) => {
                let (peer, shears) = (peer.clone(), shears.clone());
                Box::pin(async move { inbound.tunnel(&peer, stream, &shears).await })
            }
            _ => {
                let answer = answer(inbound, peer.clone(), shears.clone());
                let (plane, service) = (self.plane.clone(), service.clone());
                let refused = move |reason| plane.0.refused(Side::Inbound, &service, reason);
                // who has no place is told to go, in words that mean that nothing was processed
                let stop = if place.is_some() { self.stop.clone() } else { cancelled() };
                serve(stream, protocol, answer, refused, stop)
            }
        };
        Some(Greeted { peer, service, carried, _place: place })
    }

    fn refused(&self, remote: Option<RemoteAddr>, error: &handshake::HandshakeError) {
        self.plane.0.observe(&Event::HandshakeFailed {
            side: Side::Inbound,
            service: "-".into(),
            peer: remote.map_or_else(|| "-".to_owned(), |remote| remote.0.to_string()),
            detail: error.to_string(),
        });
    }

    /// Resolves when `peer` is somebody that nobody talks to.
    async fn denied(&self, peer: &Identity) {
        let mut changes = self.plane.0.changes();
        while !self.plane.0.snapshot().denies(peer) {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// A stop that is asked for already.
fn cancelled() -> CancellationToken {
    let stop = CancellationToken::new();
    stop.cancel();
    stop
}

/// Answers requests of `peer` that come over a connection which `shears` cut.
fn answer(
    inbound: Inbound,
    peer: Identity,
    shears: Shears,
) -> impl Fn(Request) -> AnswerFuture + Clone + Send + 'static {
    move |request| {
        let (inbound, peer, shears) = (inbound.clone(), peer.clone(), shears.clone());
        Box::pin(async move {
            if request.method() == Method::CONNECT {
                return Ok(rescue::bad_host());
            }
            // the connection was made for one service: a request for another is a mistake or worse (RFC 9110 §15.5.20)
            if !is_for(&inbound, &request) {
                inbound.plane().0.refused(Side::Inbound, inbound.name(), Reason::Misdirected);
                return Ok(misdirected());
            }
            inbound.answer(&peer, request, Some(&shears)).await
        })
    }
}

fn is_for(inbound: &Inbound, request: &Request) -> bool {
    let header = || request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().host().or_else(header).unwrap_or_default();
    host.strip_suffix(".mesh") == Some(inbound.name())
}

fn misdirected() -> Response {
    let message = "this connection is for another service";
    rescue::refusal(StatusCode::MISDIRECTED_REQUEST, "misdirected", message)
}

/// Where a program hands over its calls.
#[derive(Clone)]
pub(crate) struct OutboundDoor {
    pub(crate) outbound: Outbound,
    pub(crate) protocol: Protocol,
    /// The one service behind it, if it is not the host that decides.
    pub(crate) to: Option<Name>,
    pub(crate) stop: CancellationToken,
}

impl OutboundDoor {
    /// Carries one connection of the program to its end.
    pub(crate) async fn carry(self, connection: Connection, _: Option<RemoteAddr>) {
        let spoken = match (self.protocol, &self.to) {
            (Protocol::Tcp, Some(to)) => {
                tokio::select! {
                    // a refusal has no words here: the connection ends
                    _ = self.outbound.tunnel(to, connection) => {}
                    () = self.stop.cancelled() => {}
                }
                return;
            }
            (Protocol::Tcp, None) => return,
            (Protocol::Http1, _) => Negotiated::Http1,
            (Protocol::Http2, _) => Negotiated::H2,
        };
        let (outbound, to) = (self.outbound, self.to);
        let source = outbound.stack().source.clone();
        let plane = outbound.stack().plane.clone();
        let refused = move |reason| plane.0.refused(Side::Outbound, &source, reason);
        let call = move |request| {
            let (outbound, to) = (outbound.clone(), to.clone());
            Box::pin(async move { Ok(hand_over(outbound, to, request).await) }) as AnswerFuture
        };
        serve(connection, spoken, call, refused, self.stop).await;
    }
}

/// The answer to a program's call; a missing one is told in its place.
async fn hand_over(outbound: Outbound, to: Option<Name>, mut request: Request) -> Response {
    if request.method() == Method::CONNECT {
        return outbound.connect(request).await;
    }
    let is_grpc = is_grpc(request.headers());
    let answer = match to {
        Some(to) => outbound.send_to(&to, request).await,
        None => match host_into_target(&mut request) {
            Ok(()) => outbound.send(request).await,
            Err(cause) => Err(cause),
        },
    };
    let mut response = answer.unwrap_or_else(|cause| rescue::answer(cause, is_grpc));
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    hop::strip_from_answer(response.headers_mut(), is_upgrade);
    response
}

/// A request in origin form goes to the host that its header names (RFC 9112 §3.3).
fn host_into_target(request: &mut Request) -> Result<(), Cause> {
    if request.uri().host().is_some() {
        return Ok(());
    }
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse().ok()).ok_or(Cause::NotAllowed)?;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(http::uri::PathAndQuery::from_static("/"));
    *request.uri_mut() = http::Uri::from_parts(parts).map_err(|_| Cause::NotAllowed)?;
    Ok(())
}

type AnswerFuture = BoxFuture<'static, Result<Response, Cause>>;

/// Serves HTTP on `io` until it ends; when `stop` is cancelled, until what is in flight has ended.
///
/// A missing answer is a reset, not an answer of ours: the caller's side tells its program what happened.
fn serve<IO, A, R>(
    io: IO,
    spoken: Negotiated,
    answer: A,
    refused: R,
    stop: CancellationToken,
) -> BoxFuture<'static, ()>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request) -> AnswerFuture + Send + 'static,
    R: Fn(Reason) + Send + 'static,
{
    let io = TokioIo::new(io);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let request = request.map(Body::new);
        match target::has_clear_host(&request) {
            true => answer(request),
            false => {
                refused(Reason::BadHost);
                Box::pin(std::future::ready(Ok(rescue::bad_host())))
            }
        }
    });
    match spoken {
        Negotiated::H2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(HEAD_BYTES as u32)
                .max_pending_accept_reset_streams(RESETS)
                .keep_alive_interval(PING_AFTER)
                .keep_alive_timeout(PING_WAIT);
            let connection = builder.serve_connection(io, service);
            Box::pin(until_stopped(stop, connection, |connection| connection.graceful_shutdown()))
        }
        _ => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
            let connection = builder.serve_connection(io, service).with_upgrades();
            Box::pin(until_stopped(stop, connection, |connection| connection.graceful_shutdown()))
        }
    }
}

/// Polls `connection` to its end, with `close` called when `stop` is cancelled.
async fn until_stopped<C, T>(stop: CancellationToken, connection: C, close: impl FnOnce(Pin<&mut C>))
where
    C: Future<Output = T>,
{
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            close(connection.as_mut());
            connection.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn who_names_no_host_is_refused_and_told_of() {
        let (mut near, far) = duplex(1024);
        let reasons = Arc::<Mutex<Vec<Reason>>>::default();
        let told = reasons.clone();
        let answer = |_| -> AnswerFuture { panic!("nobody is asked") };
        let refused = move |reason| told.lock().unwrap().push(reason);
        tokio::spawn(serve(far, Negotiated::Http1, answer, refused, CancellationToken::new()));

        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();

        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(*reasons.lock().unwrap(), [Reason::BadHost]);
    }

    #[tokio::test]
    async fn who_has_no_place_is_told_to_go() {
        let (near, far) = duplex(64 * 1024);
        let answer = |_| Box::pin(async { Ok(Response::new(Body::empty())) }) as AnswerFuture;
        tokio::spawn(serve(far, Negotiated::H2, answer, |_| {}, cancelled()));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
        tokio::spawn(connection);

        let request = http::Request::get("http://a.mesh/").body(Body::empty()).unwrap();
        let failure = crate::connect::Failure::of(sender.try_send_request(request).await.unwrap_err());

        assert_eq!(failure.cause, Cause::Refused);
    }
}
