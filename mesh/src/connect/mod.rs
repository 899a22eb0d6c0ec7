//! Connections to an endpoint: dialled when needed, kept for the next request, bounded in number.
//!
//! - [`Shared`]: HTTP/2, many unary requests on each of a few connections
//! - [`Exclusive`]: one exchange at a time on each connection: HTTP/1.1, and HTTP/2 for streams, so that a reader that
//!   stops reading holds up nobody else
//!
//! Source for the split: an unread download on a shared HTTP/2 connection stops every other stream once the
//! connection's window is full.

mod dial;
mod exclusive;
mod failure;
mod open;
pub(crate) mod shared;

use std::time::Duration;

use base::{Request, Response};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, StatusCode, Uri};

pub(crate) use dial::Dialer;
pub(crate) use failure::Failure;
pub(crate) use open::{Counted, Open};

use crate::Cause;
use crate::hop;
use crate::identity::Alpn;
use crate::resource::{Kind, Protocol};
use exclusive::Exclusive;
use shared::Shared;

/// Longest time for a connection and its handshake.
const CONNECT: Duration = Duration::from_secs(3);

/// The ways to one endpoint.
pub(crate) struct Transport {
    dialer: Dialer,
    /// What is spoken when nothing else is asked for.
    protocol: Protocol,
    http1: Exclusive,
    http2: Exclusive,
    shared: Shared,
}

impl Transport {
    /// To a program or a proxy that `dialer` reaches.
    pub(crate) fn new(dialer: Dialer, protocol: Protocol) -> Transport {
        let idle = if dialer.is_secure() { PROXY_IDLE } else { PROGRAM_IDLE };
        Transport {
            protocol,
            http1: Exclusive::new(dialer.clone(), Alpn::Http1, idle),
            http2: Exclusive::new(dialer.clone(), Alpn::H2, idle),
            shared: Shared::new(dialer.clone()),
            dialer,
        }
    }

    /// Sends `request` and resolves at the head of the answer.
    ///
    /// `authority` is the host that the other side sees; a request that nothing of was sent comes back with the
    /// failure.
    pub(crate) async fn send(
        &self,
        kind: Kind,
        authority: &Host,
        request: Request,
    ) -> Result<Response, Failure> {
        let asked = request.headers().contains_key(http::header::UPGRADE);
        let mut response = self.forward(kind, authority, request).await?;
        // nobody asked for another protocol: what follows would be read as the next answer (CVE-2026-2833)
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if is_upgrade && !asked {
            return Err(Cause::Reset.into());
        }
        hop::strip_from_answer(response.headers_mut(), is_upgrade);
        Ok(response)
    }

    async fn forward(&self, kind: Kind, authority: &Host, mut request: Request) -> Result<Response, Failure> {
        // between proxies unary requests share HTTP/2 connections, whatever the program speaks
        let http2 = self.protocol == Protocol::Http2;
        match kind {
            Kind::Unary { .. } if http2 || self.dialer.is_secure() => {
                authority.absolute(&mut request);
                self.shared.send(request).await
            }
            Kind::Stream { .. } if http2 => {
                authority.absolute(&mut request);
                self.http2.send(request).await
            }
            _ => {
                authority.origin(&mut request);
                self.http1.send(request).await
            }
        }
    }

    /// A connection for bytes.
    pub(crate) async fn open(&self) -> Result<Counted, Cause> {
        self.dialer.dial(Alpn::Tcp).await
    }

    /// Whether a connection can be made: the probe of an endpoint without a path.
    pub(crate) async fn probe(&self) -> Result<(), Cause> {
        let alpn = if self.protocol == Protocol::Tcp { Alpn::Tcp } else { Alpn::Both };
        self.dialer.dial_uncounted(alpn).await.map(drop)
    }
}

/// A connection to a program rests for less than Node's five seconds, the shortest that is common, so that no request
/// meets a closing one.
const PROGRAM_IDLE: Duration = Duration::from_secs(4);
/// Proxies let connections rest for longer.
const PROXY_IDLE: Duration = Duration::from_secs(60);

/// The host that a request is sent to, in the forms that HTTP/1.1 and HTTP/2 want.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    authority: Authority,
    value: HeaderValue,
}

impl Host {
    /// Errors if `text` is no `host[:port]`.
    pub(crate) fn parse(text: &str) -> Result<Host, http::Error> {
        Ok(Host { authority: text.parse()?, value: HeaderValue::from_str(text)? })
    }

    /// `<service>.mesh`.
    ///
    /// Errors if the service's name is no DNS label.
    pub(crate) fn of_service(service: &str) -> Result<Host, http::Error> {
        Host::parse(&format!("{service}.mesh"))
    }

    /// `Host: …` and the path alone (RFC 9112 §3.2.1).
    pub(crate) fn origin(&self, request: &mut Request) {
        request.headers_mut().insert(http::header::HOST, self.value.clone());
        let target = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
        *request.version_mut() = http::Version::HTTP_11;
    }

    /// `:authority`, and no `Host` that could differ from it (RFC 9113 §8.3.1).
    fn absolute(&self, request: &mut Request) {
        request.headers_mut().remove(http::header::HOST);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        let target = request.uri().path_and_query().cloned();
        parts.path_and_query = Some(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
        *request.uri_mut() = Uri::from_parts(parts).expect("a scheme, a host and a path make a URI");
        *request.version_mut() = http::Version::HTTP_2;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::Body;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::discover::Address;
    use crate::observe::Observer;

    /// A program that leaves HTTP whatever it is asked, and then says nothing.
    async fn mute() -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 1024]).await;
                    let answer =
                        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                    let _ = stream.read(&mut [0; 1024]).await;
                });
            }
        });
        address
    }

    fn upgrade() -> Request {
        let headers = [("connection", "upgrade"), ("upgrade", "x")];
        let request =
            headers.iter().fold(http::Request::get("/"), |r, (name, value)| r.header(*name, *value));
        request.body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn connections_count_together_and_after_they_left_http() {
        let dialer = Dialer::new(mute().await, "a".into(), None, Observer::none(), Open::new(2));
        let (transport, host) = (Transport::new(dialer, Protocol::Http1), Host::parse("a.mesh").unwrap());
        let second = Duration::from_secs(1);
        let kind = Kind::Upgrade { response: second, idle: second, life: second };
        let mut response = transport.send(kind, &host, upgrade()).await.ok().unwrap();
        let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
        let bytes = transport.open().await.unwrap();

        let full = transport.send(kind, &host, upgrade()).await.err().unwrap();
        assert_eq!((full.cause, full.unsent.is_some()), (Cause::Overloaded, true));
        assert_eq!(transport.open().await.err(), Some(Cause::Overloaded));
        assert_eq!(transport.probe().await, Ok(()), "a probe needs no place");

        drop(upgraded);
        assert!(transport.open().await.is_ok());
        drop(bytes);
        assert!(transport.send(kind, &host, upgrade()).await.is_ok());
    }
}
