//! One plain HTTP/1.1 exchange with a program on this machine.

use std::io;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh::resource::Listen;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// The most of an answer that is read of a probe, and of a replica of our own. In bytes.
const MAX_BODY: [usize; 2] = [64 * 1024, 64 * 1024 * 1024];

/// Sends a request without a body and reads the answer. The caller sets the limit in time.
///
/// Errors: of [`Listen`]'s connection with its own kind, everything later as `Other`.
pub(crate) async fn send(to: &Listen, method: Method, path: &str) -> io::Result<(StatusCode, Bytes)> {
    let request = Request::builder().method(method).uri(path).body(Full::default());
    connect(to, request.map_err(io::Error::other)?, MAX_BODY[0]).await
}

/// The same with a body of JSON.
#[cfg(feature = "control")]
pub(crate) async fn send_json(
    to: &Listen,
    method: Method,
    path: &str,
    body: String,
) -> io::Result<(StatusCode, Bytes)> {
    let request =
        Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    connect(to, request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?, MAX_BODY[1]).await
}

/// Asks for an answer without an end, and hands over each part as it comes.
///
/// Errors: as [`send`]; `Other` with the answer's text if it is no success.
#[cfg(feature = "control")]
pub(crate) async fn follow(to: &Listen, path: &str, mut part: impl FnMut(&[u8])) -> io::Result<()> {
    let Listen::Unix(socket) = to else { return Err(io::ErrorKind::Unsupported.into()) };
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    let request = Request::get(path).header(header::HOST, "localhost").header(header::CONNECTION, "close");
    let request = request.body(Full::<Bytes>::default());
    let answer = async {
        let answer =
            sender.send_request(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
        let (head, mut body) = answer.into_parts();
        if !head.status.is_success() {
            let said = Limited::new(body, MAX_BODY[0]).collect().await.map_err(io::Error::other)?.to_bytes();
            return Err(io::Error::other(String::from_utf8_lossy(&said).trim().to_owned()));
        }
        while let Some(frame) = body.frame().await {
            if let Some(bytes) = frame.map_err(io::Error::other)?.data_ref() {
                part(bytes);
            }
        }
        Ok(())
    };
    let (answer, _) = tokio::join!(answer, async { connection.await.ok() });
    answer
}

async fn connect(to: &Listen, request: Request<Full<Bytes>>, most: usize) -> io::Result<(StatusCode, Bytes)> {
    match to {
        Listen::Unix(socket) => exchange(UnixStream::connect(socket).await?, request, most).await,
        Listen::Tcp(addr) => exchange(TcpStream::connect(addr).await?, request, most).await,
    }
}

async fn exchange<S>(
    stream: S,
    mut request: Request<Full<Bytes>>,
    most: usize,
) -> io::Result<(StatusCode, Bytes)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(io::Error::other)?;
        Ok((head.status, body.to_bytes()))
    };
    // both here and no task: who drops this drops the connection
    let (answer, _) = tokio::join!(answer, async { connection.await.ok() });
    answer
}
