//! One plain HTTP/1.1 exchange with a program on this machine.

use std::io;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh::resource::Listen;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// The most of an answer that is read. In bytes.
const MAX_BODY: usize = 64 * 1024;

/// Sends a request without a body and reads the answer. The caller sets the limit in time.
///
/// Errors: of [`Listen`]'s connection with its own kind, everything later as `Other`.
pub(crate) async fn send(to: &Listen, method: Method, path: &str) -> io::Result<(StatusCode, Bytes)> {
    match to {
        Listen::Unix(socket) => exchange(UnixStream::connect(socket).await?, method, path).await,
        Listen::Tcp(addr) => exchange(TcpStream::connect(addr).await?, method, path).await,
    }
}

async fn exchange<S>(stream: S, method: Method, path: &str) -> io::Result<(StatusCode, Bytes)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?;
        Ok((head.status, body.to_bytes()))
    };
    // both here and no task: who drops this drops the connection
    let (answer, _) = tokio::join!(answer, async { connection.await.ok() });
    answer
}
