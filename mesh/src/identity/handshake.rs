//! Connections on which each side knows who the other one is, or why there is none.

mod error;

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};
use webpki::EndEntityCert;

pub use error::HandshakeError;

use super::svid::identity_of;
use super::{Alpn, Credentials, Identity, Negotiated};
use crate::observe::Name;

/// What follows the service in the server name (SNI).
pub(super) const SUFFIX: &str = ".mesh";

/// The longest time from the first byte to a connection that can be used.
const LIMIT: Duration = Duration::from_secs(5);

/// A fatal `unrecognized_name` alert, as it is sent before any key is agreed (RFC 8446 §6, RFC 6066 §3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A connection from a peer.
#[derive(Debug)]
pub struct Accepted<IO> {
    /// The bytes inside of TLS.
    pub stream: server::TlsStream<IO>,
    /// The service that the peer asked for.
    pub service: Name,
    /// Who the peer is.
    pub peer: Identity,
    /// What is spoken on it.
    pub protocol: Negotiated,
}

/// Connects to `service` over `io`: the other side is that service of our trust domain, or there is no connection.
///
/// In TLS 1.3 a client is done before the server judged its certificate. If the server refuses it, that is told by
/// the first read; [`HandshakeError::from`] puts that error into words too.
///
/// Errors: [`HandshakeError::Timeout`] after 5 s, and every other cause by its own variant.
pub async fn connect<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    credentials: &Credentials,
    service: &str,
    alpn: Alpn,
) -> Result<(client::TlsStream<IO>, Negotiated), HandshakeError> {
    let unknown = || HandshakeError::UnknownService(service.to_owned());
    let name = ServerName::try_from(format!("{service}{SUFFIX}")).map_err(|_| unknown())?;
    let handshake = TlsConnector::from(credentials.client(alpn)).connect(name, io);
    let stream = timeout(LIMIT, handshake).await.map_err(|_| HandshakeError::Timeout)??;
    let protocol = Negotiated::of(stream.get_ref().1.alpn_protocol()).ok_or(HandshakeError::NoProtocol)?;
    Ok((stream, protocol))
}

/// Takes a connection. `choose` has the configuration of each service that is here, by its name.
///
/// Errors: [`HandshakeError::Timeout`] after 5 s, and every other cause by its own variant.
pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    choose: &impl Fn(&str) -> Option<Arc<ServerConfig>>,
) -> Result<Accepted<IO>, HandshakeError> {
    timeout(LIMIT, accept_in_time(io, choose)).await.map_err(|_| HandshakeError::Timeout)?
}

async fn accept_in_time<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    choose: &impl Fn(&str) -> Option<Arc<ServerConfig>>,
) -> Result<Accepted<IO>, HandshakeError> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
    let found = find(start.client_hello().server_name(), choose);
    let (service, config) = match found {
        Ok(found) => found,
        Err(error) => {
            // whoever called learns why; whether that arrives changes nothing here
            let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
            let _ = start.io.shutdown().await;
            return Err(error);
        }
    };
    let stream = start.into_stream(config).await?;
    let session = stream.get_ref().1;
    let peer = peer(session.peer_certificates())?;
    let protocol = Negotiated::of(session.alpn_protocol()).ok_or(HandshakeError::NoProtocol)?;
    Ok(Accepted { service, peer, protocol, stream })
}

fn find(
    name: Option<&str>,
    choose: &impl Fn(&str) -> Option<Arc<ServerConfig>>,
) -> Result<(Name, Arc<ServerConfig>), HandshakeError> {
    let name = name.ok_or(HandshakeError::NoServerName)?;
    match name.strip_suffix(SUFFIX).and_then(|service| Some((Name::from(service), choose(service)?))) {
        Some(found) => Ok(found),
        None => Err(HandshakeError::UnknownService(name.to_owned())),
    }
}

/// Who a verified chain belongs to.
fn peer(chain: Option<&[CertificateDer<'_>]>) -> Result<Identity, HandshakeError> {
    let leaf = chain.and_then(<[_]>::first).ok_or(HandshakeError::NoCertificate)?;
    let leaf = EndEntityCert::try_from(leaf).map_err(|e| HandshakeError::NoIdentity(e.to_string()))?;
    identity_of(&leaf).map_err(HandshakeError::NoIdentity)
}

#[cfg(test)]
mod tests;
