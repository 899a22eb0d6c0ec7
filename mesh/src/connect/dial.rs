//! A new connection to an endpoint, with TLS if it is a proxy.

use std::io;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::CONNECT;
use super::open::{Counted, Open};
use crate::Cause;
use crate::discover::Address;
use crate::identity::{Alpn, Credentials, handshake};
use crate::io::{Io, Socket};
use crate::observe::{Event, Name, Observer, Side};

/// Dials one address. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Dialer {
    address: Address,
    /// Mutual TLS: who we are.
    secure: Option<Credentials>,
    service: Name,
    observer: Observer,
    open: Open,
}

impl Dialer {
    pub(crate) fn new(
        address: Address,
        service: Name,
        secure: Option<Credentials>,
        observer: Observer,
        open: Open,
    ) -> Dialer {
        Dialer { address, secure, service, observer, open }
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure.is_some()
    }

    /// Connects. What fails is [`Cause::Unreachable`], with the cause of a failed handshake as an event.
    ///
    /// Errors: [`Cause::Overloaded`] if there are as many connections as there may be.
    pub(crate) async fn dial(&self, alpn: Alpn) -> Result<Counted, Cause> {
        let place = self.open.take()?;
        Ok(Counted::new(self.dial_uncounted(alpn).await?, place))
    }

    /// The same for a probe, which must not fail for want of a place.
    pub(super) async fn dial_uncounted(&self, alpn: Alpn) -> Result<Io, Cause> {
        let connected = timeout(CONNECT, self.socket()).await;
        let socket = connected.map_err(|_| Cause::Unreachable)?.map_err(|_| Cause::Unreachable)?;
        let Some(credentials) = &self.secure else { return Ok(Io::Plain(socket)) };
        match handshake::connect(socket, credentials, &self.service, alpn).await {
            Ok((stream, _)) => Ok(Io::Client(Box::new(stream))),
            Err(error) => {
                self.observer.observe(&Event::HandshakeFailed {
                    side: Side::Outbound,
                    service: self.service.clone(),
                    peer: self.address.to_string(),
                    detail: error.to_string(),
                });
                Err(Cause::Unreachable)
            }
        }
    }

    async fn socket(&self) -> io::Result<Socket> {
        match &self.address {
            Address::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Address::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
            Address::Local => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }
}
