//! Upgrades to a local endpoint, and the splice of two upgraded connections.
//!
//! hyper hands out an upgraded connection only for a connection it serves, so a local upgrade runs HTTP/1.1 over an
//! in-memory duplex: the service's side and ours see what they would see on a socket.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::{Body, Request, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::identity::Identity;
use crate::inbound::Inbound;
use crate::outbound::Cause;

/// Bytes in flight per direction of the in-memory duplex, and of the splice.
const BUFFER_BYTES: usize = 64 * 1024;

/// Calls `inbound` over a duplex of its own.
pub(crate) async fn call(inbound: &Inbound, source: &Identity, request: Request) -> Result<Response, Cause> {
    let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
    let (inbound, peer) = (inbound.clone(), source.clone());
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (inbound, peer) = (inbound.clone(), peer.clone());
        async move {
            let response = inbound.answer(&peer, request.map(Body::new)).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|_| reset()))
        }
    });
    tokio::spawn(async move {
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service);
        let _ = connection.with_upgrades().await;
    });
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await;
    let (mut sender, connection) = handshake.map_err(|_| Cause::Reset)?;
    tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    let request = origin_form(request);
    let response = sender.send_request(request).await.map_err(|_| Cause::Reset)?;
    Ok(response.map(Body::new))
}

fn origin_form(mut request: Request) -> Request {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or(http::Uri::from_static("/"), http::Uri::from);
    request
}

fn reset() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::BAD_GATEWAY;
    response
}

/// Copies bytes both ways until both sides ended, nothing moved for `idle`, or `life` is over.
pub(crate) async fn splice(downstream: OnUpgrade, upstream: OnUpgrade, idle: Duration, life: Duration) {
    let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream, upstream) else { return };
    let (down_read, down_write) = tokio::io::split(TokioIo::new(downstream));
    let (up_read, up_write) = tokio::io::split(TokioIo::new(upstream));
    // one clock over both directions: a socket that only sends is not idle
    let clock = Activity::default();
    let copied = async { tokio::join!(copy(down_read, up_write, &clock), copy(up_read, down_write, &clock)) };
    tokio::select! {
        _ = copied => {}
        () = clock.quiet_for(idle) => {}
        () = tokio::time::sleep(life) => {}
    }
}

/// Copies until the end or an error, then ends the other side's direction too.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, clock: &Activity) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        clock.touch();
        if to.write_all(&buffer[..count]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Counts movements, so that silence can be told.
#[derive(Default)]
struct Activity(AtomicU64);

impl Activity {
    fn touch(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Resolves when nothing moved for `idle`, at the latest after twice that time.
    async fn quiet_for(&self, idle: Duration) {
        let mut before = None;
        loop {
            let now = Some(self.0.load(Ordering::Relaxed));
            if now == before {
                return;
            }
            before = now;
            tokio::time::sleep(idle).await;
        }
    }
}
