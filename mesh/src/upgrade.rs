//! Upgrades to an endpoint in this process.
//!
//! hyper hands out an upgraded connection only for a connection it serves, so a local upgrade runs HTTP/1.1 over an
//! in-memory duplex: the service's side and ours see what they would see on a socket.

use base::{Body, Request, Response};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;

use crate::connect::{Failure, Host};
use crate::identity::Identity;
use crate::sever::Shears;
use crate::{Cause, Inbound};

/// Bytes in flight per direction.
const BUFFER_BYTES: usize = 64 * 1024;

/// Calls `inbound` over a duplex of its own.
pub(crate) async fn call(
    inbound: &Inbound,
    source: &Identity,
    host: &Host,
    mut request: Request,
) -> Result<Response, Failure> {
    let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
    // around the caller's end, which somebody always reads: what the program does with its own is its affair
    let shears = Shears::default();
    serve(inbound.clone(), source.clone(), shears.clone(), TokioIo::new(theirs));
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(shears.around(ours))).await;
    let (mut sender, connection) = handshake.map_err(|_| Failure::from(Cause::Reset))?;
    tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    host.origin(&mut request);
    let response = sender.send_request(request).await.map_err(|_| Failure::from(Cause::Reset))?;
    Ok(response.map(Body::new))
}

fn serve(inbound: Inbound, peer: Identity, shears: Shears, io: impl Read + Write + Unpin + Send + 'static) {
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (inbound, peer, shears) = (inbound.clone(), peer.clone(), shears.clone());
        async move {
            // a missing answer is a reset, as on any connection
            inbound.answer(&peer, request.map(Body::new), Some(&shears)).await
        }
    });
    tokio::spawn(async move {
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        let _ = connection.with_upgrades().await;
    });
}
