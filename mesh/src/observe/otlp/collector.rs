//! The connection to the collector: a client of its own, for nothing else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::resource::Otlp;

/// Longest time for one export, the connection included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// What became of an export.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The collector has it, but for so many spans that it will never take.
    Taken {
        /// Those spans.
        rejected: u64,
    },
    /// The collector will never take it.
    Refused,
    /// It may be sent again, after this time if the collector named one.
    Later(Option<Duration>),
}

/// Where spans go.
pub(super) struct Collector {
    authority: Authority,
    path: Uri,
    headers: HeaderMap,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connection: Option<Connection>,
}

struct Connection {
    requests: SendRequest<Full<Bytes>>,
    /// Drives it, as long as it is ours.
    _driver: AbortOnDropHandle<()>,
}

impl Collector {
    /// The collector of `config`, whose certificate (if it is `https`) one of `roots` must have signed.
    pub(super) fn new(config: &Otlp, roots: RootCertStore) -> Result<Collector, String> {
        let endpoint = &config.endpoint;
        let wrong = |what: &str| format!("the collector {endpoint} {what}");
        let uri: Uri = endpoint.parse().map_err(|_| wrong("is no URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?.clone();
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong("may have neither a user nor a query; a token belongs in headers"));
        }
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => None,
            Some(scheme) if *scheme == Scheme::HTTPS => {
                let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host)
                    .map_err(|_| wrong("has no name that a certificate can have"))?;
                let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
                Some((TlsConnector::from(Arc::new(config)), name))
            }
            _ => return Err(wrong("must begin with http:// or https://")),
        };
        let path = format!("{}/v1/traces", uri.path().trim_end_matches('/'));
        let path = path.parse().map_err(|_| wrong("has a path that cannot be used"))?;
        let headers = headers(config, &authority)?;
        Ok(Collector { authority, path, headers, tls, connection: None })
    }

    /// Sends one export.
    pub(super) async fn post(&mut self, body: Bytes) -> Outcome {
        match tokio::time::timeout(TIMEOUT, self.exchange(body)).await {
            Ok(Ok(outcome)) => outcome,
            failed => {
                let cause = match failed {
                    Ok(Err(error)) => base::error::chain(&*error),
                    _ => "no answer in time".to_owned(),
                };
                tracing::debug!(target: "mesh", collector = %self.authority, cause, "failed to export spans");
                self.connection = None;
                Outcome::Later(None)
            }
        }
    }

    async fn exchange(&mut self, body: Bytes) -> Result<Outcome, base::error::Source> {
        let mut request = Request::post(self.path.clone()).body(Full::new(body))?;
        *request.headers_mut() = self.headers.clone();
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.requests.is_closed() => connection,
            _ => self.connect().await?,
        };
        connection.requests.ready().await?;
        let response = connection.requests.send_request(request).await?;
        let outcome = outcome(response).await?;
        self.connection = Some(connection);
        Ok(outcome)
    }

    async fn connect(&self) -> Result<Connection, base::error::Source> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = self.authority.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => handshake(stream).await,
            Some((connector, name)) => handshake(connector.connect(name.clone(), stream).await?).await,
        }
    }
}

async fn handshake<S>(stream: S) -> Result<Connection, base::error::Source>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(async {
        // what ends the connection is told by the next request
        let _ = connection.await;
    });
    Ok(Connection { requests, _driver: AbortOnDropHandle::new(driver) })
}

/// Our own headers and those of the configuration.
fn headers(config: &Otlp, authority: &Authority) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let wrong = |what: &str| format!("{what} of the collector's header {name:?} is not valid");
        let parsed: HeaderName = name.parse().map_err(|_| wrong("the name"))?;
        // the value may be a secret: it is in no message
        let mut value: HeaderValue = value.parse().map_err(|_| wrong("the value"))?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    let host = HeaderValue::try_from(authority.as_str()).map_err(|_| format!("{authority} is no host"))?;
    headers.insert(header::HOST, host);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("meshbase/", env!("CARGO_PKG_VERSION"))),
    );
    Ok(headers)
}

async fn outcome(response: Response<Incoming>) -> Result<Outcome, base::error::Source> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
    Ok(match head.status {
        status if status.is_success() => Outcome::Taken { rejected: rejected(&body) },
        // those four, and no others, are for another try
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Outcome::Later(retry_after(&head.headers)),
        status => {
            tracing::debug!(target: "mesh", %status, "the collector refuses spans");
            Outcome::Refused
        }
    })
}

/// `Retry-After` in seconds. As a date it is not believed: the collector's clock is not ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The spans of a partial success that the collector will never take; a string or a number in proto3 JSON.
fn rejected(body: &[u8]) -> u64 {
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0)
}
