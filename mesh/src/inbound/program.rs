//! The program behind an inbound stack: in this process, or on a socket beside it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use base::{Request, Response};
use futures_util::{FutureExt, TryFutureExt};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::Cause;
use crate::connect::{Counted, Transport};
use crate::observe::Side;
use crate::plane::DataPlane;
use crate::resource::Kind;
use crate::snapshot::Service;
use crate::splice::Joint;

/// A program.
pub(crate) enum Program {
    /// In this process.
    Local(BoxCloneSyncService<Request, Response, Infallible>),
    /// On a socket.
    Socket(Box<Transport>),
}

impl Program {
    pub(crate) fn local<S>(service: S) -> Program
    where
        S: tower::Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        Program::Local(BoxCloneSyncService::new(service))
    }

    pub(super) async fn call(
        &self,
        plane: &DataPlane,
        kind: Kind,
        service: &Service,
        mut request: Request,
    ) -> Result<Response, Cause> {
        match self {
            Program::Local(program) => {
                service.host.origin(&mut request);
                say_length(&mut request);
                let answer = AssertUnwindSafe(program.clone().oneshot(request)).catch_unwind().await;
                match answer {
                    Ok(Ok(response)) => Ok(response),
                    Ok(Err(never)) => match never {},
                    Err(_) => Err(Cause::Reset),
                }
            }
            Program::Socket(transport) => relay(plane, transport, kind, service, request).await,
        }
    }

    pub(super) async fn open(&self) -> Result<Counted, Cause> {
        match self {
            Program::Local(_) => Err(Cause::Unreachable),
            Program::Socket(transport) => transport.open().await,
        }
    }
}

/// Sends the request on; on `101` joins the caller's connection with the program's.
async fn relay(
    plane: &DataPlane,
    transport: &Transport,
    kind: Kind,
    service: &Service,
    mut request: Request,
) -> Result<Response, Cause> {
    let caller = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
    let answer = transport.send(kind, &service.host, request).await;
    let mut response = answer.map_err(|failure| failure.cause)?;
    let (Kind::Upgrade { idle, life, .. }, Some(caller)) = (kind, caller) else { return Ok(response) };
    if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
        let (side, destination) = (Side::Inbound, service.name.clone());
        let program = hyper::upgrade::on(&mut response).map_ok(hyper_util::rt::TokioIo::new);
        plane.join(Joint { side, destination, idle, life, cut: None }, caller, program, ());
        return Ok(response.map(|_| base::Body::empty()));
    }
    Ok(response)
}

/// A body whose length is known says it, as it would on a connection (RFC 9110 §8.6).
fn say_length(request: &mut Request) {
    let Some(length) = http_body::Body::size_hint(request.body()).exact() else { return };
    let is_expected = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
    if length > 0 || is_expected {
        request.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}
