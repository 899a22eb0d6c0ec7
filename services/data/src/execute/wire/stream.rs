//! What a connection runs over: TCP or a UNIX socket, in the clear or encrypted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a connection is idle before the kernel asks whether the peer is there, and between two questions.
const IDLE: Duration = Duration::from_secs(30);
const PROBE: Duration = Duration::from_secs(10);
/// How long what was sent may wait for the peer's kernel to take it. A server that is busy with a statement takes nothing of
/// a large one behind it.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(300);

/// A stream to a server.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to where `config` says; encrypted, if `tls` is given.
    ///
    /// Errors: nobody there, too late, or no encryption.
    pub(crate) async fn connect(config: &Config, tls: Option<&Arc<ClientConfig>>) -> io::Result<Stream> {
        let connecting = Stream::open(config, tls);
        match config.get_connect_timeout() {
            None => connecting.await,
            Some(limit) => tokio::time::timeout(*limit, connecting)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn open(config: &Config, tls: Option<&Arc<ClientConfig>>) -> io::Result<Stream> {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let host = config.get_hosts().first().ok_or(io::ErrorKind::AddrNotAvailable)?;
        match host {
            Host::Unix(folder) => {
                Ok(Stream::Unix(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?))
            }
            Host::Tcp(host) => {
                let stream = TcpStream::connect((host.as_str(), port)).await?;
                stream.set_nodelay(true)?;
                kept_alive(&stream)?;
                match tls {
                    None => Ok(Stream::Tcp(stream)),
                    Some(tls) => encrypted(stream, host, tls.clone()).await,
                }
            }
        }
    }
}

/// A peer that is gone without a word is noticed: while nothing is asked by questions of the kernel's own, and while
/// something is by its silence.
fn kept_alive(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(IDLE).with_interval(PROBE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE))?;
    Ok(())
}

/// Asks for encryption, which a server may not have.
async fn encrypted(mut stream: TcpStream, host: &str, tls: Arc<ClientConfig>) -> io::Result<Stream> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await?;
    // one byte and no more: what follows unencrypted would be somebody else's (CVE-2021-23222)
    if stream.read_u8().await? != b'S' {
        return Err(io::Error::other("the server does not encrypt connections"));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, out),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, out),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
