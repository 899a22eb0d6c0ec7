//! Calls to hosts outside of the mesh: only those on the list, only to addresses that were looked at.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base::{Body, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Outbound, Stack};
use crate::body::{self, Pace};
use crate::connect::Host;
use crate::identity::web_roots;
use crate::io::{Io, Socket};
use crate::observe::{Event, Name, Side};
use crate::record::Record;
use crate::splice::Joint;
use crate::{Cause, rescue};

/// What calls to the outside are counted under, in the place of a service.
const EGRESS: &str = "egress";
/// Longest time for a connection and its handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time to the head of an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Longest pause of a body or a tunnel.
const IDLE: Duration = Duration::from_secs(60);

/// TLS as browsers check it: Mozilla's roots.
static WEB: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.expect("the provider has the default versions").with_root_certificates(web_roots());
    Arc::new(config.with_no_client_auth())
});

/// Sends `request` to the host it names. Redirects are the caller's to follow: each is a call of its own.
pub(super) async fn send(stack: &Arc<Stack>, request: Request) -> Result<Response, Cause> {
    let is_tls = request.uri().scheme_str() == Some("https");
    let host = request.uri().host().unwrap_or_default().to_owned();
    let port = request.uri().port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let observer = &stack.plane().parts.observer;
    let egress = Name::from(EGRESS);
    let (method, uri) = (request.method(), request.uri());
    let names = [&stack.source, &egress];
    let mut record = Record::begin(observer, Side::Outbound, names, method, uri, request.headers());
    match answer(stack, request, &host, port, is_tls).await {
        Ok(response) => {
            record.head(response.status(), response.headers());
            Ok(response.map(|body| body::incoming(body, Pace::Idle(IDLE), record, None, ())))
        }
        Err(cause) => {
            record.failed(cause);
            Err(cause)
        }
    }
}

async fn answer(
    stack: &Stack,
    mut request: Request,
    host: &str,
    port: u16,
    is_tls: bool,
) -> Result<Response, Cause> {
    let socket = open(stack, host, port).await?;
    let io = if is_tls { tls(socket, host).await? } else { Io::Plain(socket) };
    let authority = request.uri().authority().map_or(host, |authority| authority.as_str());
    let authority = Host::parse(authority).map_err(|_| Cause::NotAllowed)?;
    base::header::strip_hop_by_hop(request.headers_mut(), false);
    base::header::strip_own(request.headers_mut());
    authority.origin(&mut request);
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(io)).await;
    let (mut sender, connection) = handshake.map_err(|_| Cause::Unreachable)?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let answer = timeout(ANSWER, sender.send_request(request)).await;
    let response = answer.map_err(|_| Cause::ResponseTimeout)?.map_err(|_| Cause::Reset)?;
    let mut response = response.map(Body::new);
    base::header::strip_own(response.headers_mut());
    base::header::strip_hop_by_hop(response.headers_mut(), false);
    Ok(response)
}

/// A connection to an address of `host` that passed the guard. The address is not looked up again.
async fn open(stack: &Stack, host: &str, port: u16) -> Result<Socket, Cause> {
    let snapshot = stack.plane().snapshot().clone();
    let addresses = match snapshot.egress.allows(&stack.source, host, port) {
        Ok(permit) => permit.resolve(look_up).await,
        Err(error) => Err(error),
    };
    let addresses = addresses.map_err(|error| {
        let (source, host) = (stack.source.clone(), format!("{host}:{port}"));
        let detail = error.to_string();
        let cause = error.cause();
        stack.plane().observe(&Event::EgressDenied { source, host, detail });
        cause
    })?;
    first(&addresses).await
}

/// As the system is configured. The port plays no part.
async fn look_up(name: String) -> io::Result<Vec<IpAddr>> {
    let found = timeout(CONNECT, tokio::net::lookup_host((name, 0))).await;
    Ok(found.map_err(|_| io::ErrorKind::TimedOut)??.map(|address| address.ip()).collect())
}

async fn first(addresses: &[SocketAddr]) -> Result<Socket, Cause> {
    for address in addresses {
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await {
            let _ = stream.set_nodelay(true);
            return Ok(Socket::Tcp(stream));
        }
    }
    Err(Cause::Unreachable)
}

async fn tls(socket: Socket, host: &str) -> Result<Io, Cause> {
    let name =
        ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| Cause::NotAllowed)?;
    let connector = tokio_rustls::TlsConnector::from(WEB.clone());
    let shaken = timeout(CONNECT, connector.connect(name, socket)).await;
    let stream = shaken.map_err(|_| Cause::Unreachable)?.map_err(|_| Cause::Unreachable)?;
    Ok(Io::Client(Box::new(stream)))
}

impl Outbound {
    /// A tunnel to `host:port` for a program that uses us as its `https_proxy` (RFC 9110 §9.3.6).
    pub(crate) async fn connect(&self, mut request: Request) -> Response {
        let Some((host, port)) = request.uri().host().zip(request.uri().port_u16()) else {
            return rescue::answer(Cause::NotAllowed, false);
        };
        match open(&self.0, host, port).await {
            Err(cause) => rescue::answer(cause, false),
            Ok(socket) => {
                let (side, destination) = (Side::Outbound, EGRESS.into());
                let joint = Joint { side, destination, idle: IDLE, life: super::NEVER, cut: None };
                let callee = std::future::ready(Ok::<_, Cause>(socket));
                self.0.plane.join(joint, hyper::upgrade::on(&mut request), callee, ());
                Response::new(Body::empty())
            }
        }
    }
}
