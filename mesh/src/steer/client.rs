//! Connections to the control plane's two doors.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base::error::Source;
use base::{Body, Clock};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::join::{Joined, Request};
use super::{CONTROL, JOIN_PATH, JoinToken, RENEW_PATH};
use crate::identity::{Alpn, Credentials, handshake};

/// Longest time for a connection and its handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time for an answer that is not a stream.
const ANSWER: Duration = Duration::from_secs(10);
/// Largest answer that is not a stream.
const MAX_ANSWER: usize = 1024 * 1024;

/// A connection over which the control plane is asked.
pub(super) struct Connection {
    pub(super) sender: http2::SendRequest<Body>,
    /// Our end: the address under which this machine reaches the control plane.
    pub(super) local: std::net::IpAddr,
}

/// Connects to a control plane that proves to be it, as whom `credentials` say.
pub(super) async fn connect(address: &str, credentials: &Credentials) -> Result<Connection, String> {
    let connected = timeout(CONNECT, tcp(address)).await;
    let socket = connected.map_err(|_| late(address))?.map_err(|error| format!("{address}: {error}"))?;
    let local = socket.local_addr().map_err(|error| error.to_string())?.ip();
    let (stream, _) = handshake::connect(socket, credentials, CONTROL, Alpn::H2)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(super::ALIVE_EVERY)
        .keep_alive_timeout(super::ALIVE_EVERY);
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|error| format!("{address}: {error}"))?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Connection { sender, local })
}

/// Asks for the next certificate of who we are.
pub(super) async fn renew(address: &str, credentials: &Credentials, csr: String) -> Result<Joined, String> {
    let mut connection = connect(address, credentials).await?;
    let request = post(RENEW_PATH, &Request { secret: None, csr })?;
    read(timeout(ANSWER, connection.sender.send_request(request)).await, address).await
}

/// Asks for the first certificate.
pub(super) async fn join(
    address: &str,
    token: &JoinToken,
    csr: String,
    clock: &Clock,
) -> Result<Joined, String> {
    let tls = tokio_rustls::TlsConnector::from(token.client(clock));
    let name = ServerName::try_from(token.server_name()).map_err(|error| error.to_string())?;
    let connected = timeout(CONNECT, async { tls.connect(name, tcp(address).await?).await }).await;
    let stream = connected.map_err(|_| late(address))?.map_err(|error| format!("{address}: {error}"))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("{address}: {error}"))?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let secret = Some(token.secret.clone());
    let mut request = post(JOIN_PATH, &Request { secret, csr })?;
    *request.uri_mut() = http::Uri::from_static(JOIN_PATH);
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("control.mesh"));
    read(timeout(ANSWER, sender.send_request(request)).await, address).await
}

fn late(address: &str) -> String {
    format!("{address}: no connection within {} s", CONNECT.as_secs())
}

/// Every address of the name is tried.
async fn tcp(address: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for found in lookup_host(address).await? {
        match TcpStream::connect(found).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn post(path: &'static str, body: &Request) -> Result<http::Request<Body>, String> {
    let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    http::Request::post(format!("http://{CONTROL}.mesh{path}"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Body::new(Full::new(Bytes::from(body))))
        .map_err(|error| error.to_string())
}

type Answered = Result<hyper::Result<http::Response<hyper::body::Incoming>>, tokio::time::error::Elapsed>;

async fn read<T: DeserializeOwned>(answered: Answered, address: &str) -> Result<T, String> {
    let response = answered.map_err(|_| format!("{address}: no answer within {} s", ANSWER.as_secs()))?;
    let response = response.map_err(|error| format!("{address}: {error}"))?;
    let status = response.status();
    let body = timeout(ANSWER, Limited::new(response.into_body(), MAX_ANSWER).collect()).await;
    let body =
        body.map_err(|_| late(address))?.map_err(|error: Source| format!("{address}: {error}"))?.to_bytes();
    if !status.is_success() {
        // its own words, as far as they are words
        let said = String::from_utf8_lossy(&body[..body.len().min(500)]).trim().to_owned();
        return Err(format!("{address} refused: {} {said}", status.as_u16()));
    }
    serde_json::from_slice(&body).map_err(|error| format!("{address}: {error}"))
}

/// The addresses of the control plane's replicas, one after the other.
#[derive(Clone)]
pub(super) struct Replicas {
    addresses: Arc<[String]>,
    next: usize,
}

impl Replicas {
    /// Begins anywhere, so that the proxies spread over the replicas.
    pub(super) fn new(addresses: &[String], start: u64) -> Replicas {
        let next = (start % addresses.len().max(1) as u64) as usize;
        Replicas { addresses: addresses.into(), next }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.addresses.len()
    }

    pub(super) fn next(&mut self) -> Option<String> {
        let address = self.addresses.get(self.next)?.clone();
        self.next = (self.next + 1) % self.addresses.len();
        Some(address)
    }
}
