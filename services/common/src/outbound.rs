//! The only way a service calls anybody: `http://<service>.mesh/…` is a peer, every other host is egress.
//!
//! In one process the mesh's outbound stack is behind it; beside a sidecar it is a client of the sidecar's socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::error::{Source, UNAVAILABLE};
use base::{Body, Error, Request, Response, Result};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tower::{Service, ServiceExt};

/// Largest answer that [`Outbound::json`] reads, in bytes.
const MAX_JSON_BYTES: usize = 4 * 1024 * 1024;

type Send_ = dyn Fn(Request) -> BoxFuture<'static, Result<Response, Source>> + Send + Sync;

/// Calls peers and, where allowed, the outside world. Cheap to clone.
#[derive(Clone)]
pub struct Outbound(Arc<Send_>);

impl Outbound {
    /// Wraps a stack, such as the mesh's.
    pub fn new<S>(service: S) -> Outbound
    where
        S: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<Source>,
    {
        Outbound(Arc::new(move |request| {
            let service = service.clone();
            Box::pin(async move { service.oneshot(request).await.map_err(Into::into) })
        }))
    }

    /// For a program that calls nobody.
    pub fn nowhere() -> Outbound {
        Outbound::new(tower::service_fn(|_| async { Err::<Response, _>("there is nobody to call") }))
    }

    /// A client of the sidecar's outbound socket at `path`.
    pub fn unix(path: PathBuf) -> Outbound {
        #[expect(clippy::disallowed_types, reason = "this is the one client that the ban points to")]
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .build::<_, Body>(SocketConnector { path: Arc::new(path) });
        Outbound::new(tower::service_fn(move |request| {
            let answer = client.request(request);
            async move { answer.await.map(|response| response.map(Body::new)) }
        }))
    }

    /// Sends a request. An error means that no answer came; any status is an answer.
    ///
    /// Within a request the call carries the request's id, trace, project and remaining time.
    pub async fn send(&self, mut request: Request) -> Result<Response> {
        crate::context::carry(request.headers_mut());
        let host = request.uri().host().unwrap_or_default().to_owned();
        (self.0)(request)
            .await
            .map_err(|source| UNAVAILABLE.error(format!("{host} does not answer")).caused_by(source))
    }

    /// Sends a request and reads a successful JSON answer of at most 4 MiB; another status is an error of it.
    pub async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), MAX_JSON_BYTES)
            .collect()
            .await
            .map_err(|source| UNAVAILABLE.error("the answer broke off").caused_by(source))?
            .to_bytes();
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        serde_json::from_slice(&body).map_err(Error::internal)
    }
}

/// A peer's refusal, with its code and message if it sent our internal envelope.
fn refusal(status: http::StatusCode, body: &[u8]) -> Error {
    #[derive(serde::Deserialize)]
    struct Envelope {
        code: String,
        message: String,
    }
    match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => base::Code::dynamic(status.as_u16(), envelope.code).error(envelope.message),
        Err(_) => base::Code::dynamic(status.as_u16(), "refused").error("the peer refused the request"),
    }
}

/// Connects to one UNIX socket, whatever host the request names.
#[derive(Clone)]
struct SocketConnector {
    path: Arc<PathBuf>,
}

impl Service<http::Uri> for SocketConnector {
    type Response = Socket;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<Socket>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let path = self.path.clone();
        Box::pin(async move { Ok(Socket(TokioIo::new(UnixStream::connect(path.as_path()).await?))) })
    }
}

/// A UNIX stream that the client's pool accepts.
struct Socket(TokioIo<UnixStream>);

impl hyper_util::client::legacy::connect::Connection for Socket {
    fn connected(&self) -> hyper_util::client::legacy::connect::Connected {
        hyper_util::client::legacy::connect::Connected::new()
    }
}

mod io {
    //! `Socket` reads and writes as the stream inside it.
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::rt::{Read, ReadBufCursor, Write};

    use super::Socket;

    impl Read for Socket {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl Write for Socket {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, buf)
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
}
