//! A WebSocket client before the mesh: its connection comes to a gateway, which hands it on.

use std::convert::Infallible;
use std::time::Duration;

use base::serve::{Listener, serve};
use base::{Body, Request, Response};
use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// A WebSocket to a program.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    world: &'static str,
}

impl World {
    /// Opens a WebSocket to `echo`, which does what `plan` says.
    ///
    /// Errors: the refusal, `status body`; the cause of a missing answer is the body of a 502.
    pub(crate) async fn socket(&self, path: &str, plan: &'static str) -> Result<Socket, String> {
        let address = self.gateway(plan).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let answer = tokio_tungstenite::client_async(format!("ws://{address}{path}"), stream).await;
        match answer {
            Ok((stream, _)) => Ok(Socket { stream, world: self.name }),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err(format!("{} {}", response.status().as_u16(), String::from_utf8_lossy(&body)))
            }
            Err(other) => panic!("{other} in the {} world", self.name),
        }
    }

    /// A proxy that adds `plan` and hands everything to the mesh.
    async fn gateway(&self, plan: &'static str) -> std::net::SocketAddr {
        let outbound = self.outbound("gateway");
        let proxy = tower::service_fn(move |mut request: Request| {
            let outbound = outbound.clone();
            async move {
                *request.uri_mut() = format!("http://echo.mesh{}", request.uri()).parse().unwrap();
                request.headers_mut().insert("x-plan", HeaderValue::from_static(plan));
                Ok::<_, Infallible>(outbound.send(request).await.unwrap_or_else(|cause| {
                    let mut response = Response::new(Body::from(cause.name()));
                    *response.status_mut() = http::StatusCode::BAD_GATEWAY;
                    response
                }))
            }
        });
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, proxy, CancellationToken::new(), Duration::ZERO));
        address
    }
}

impl Socket {
    /// What is said must come back.
    pub(crate) async fn echoes(&mut self, text: &str) {
        self.stream.send(text.into()).await.unwrap();
        let echoed = self.stream.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(echoed.as_str() == text, "{} bytes in the {} world", echoed.len(), self.world);
    }

    pub(crate) async fn close(mut self) {
        self.stream.close(None).await.unwrap();
        while self.stream.next().await.is_some() {}
    }

    /// The other side must end it within `limit`, by whatever means.
    pub(crate) async fn ends_within(mut self, limit: Duration) {
        let end = async { while let Some(Ok(_)) = self.stream.next().await {} };
        let ended = tokio::time::timeout(limit, end).await;
        assert!(ended.is_ok(), "the connection is still open in the {} world", self.world);
    }
}
