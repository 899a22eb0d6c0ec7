//! The API server, as a pod reaches it (kubernetes.io/docs/tasks/run-application/access-api-from-pod).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::slice::SliceList;
use crate::io::{Io, Socket};

/// What a pod is given.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Longest time to the head of an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Seconds after which the server ends a watch.
const WATCH_SECONDS: u64 = 240;
/// A watch that says nothing for longer than it lasts is dead.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS + 20);
/// Largest list, in bytes.
const MAX_LIST: usize = 16 * 1024 * 1024;
/// Longest line of a watch, in bytes: a slice holds at most a thousand endpoints.
const MAX_LINE: usize = 2 * 1024 * 1024;

/// Why nothing is known.
#[derive(Debug)]
pub(super) enum Failure {
    /// The watch would begin before what the server remembers.
    TooOld,
    /// The server does not take what it was asked; perhaps another version of the slices than it knows.
    Refused(String),
    Other(String),
}

impl Failure {
    pub(super) fn of(code: u16, message: &str) -> Failure {
        match code {
            410 => Failure::TooOld,
            400 | 404 | 409 | 422 => Failure::Refused(format!("the API server answers {code}: {message}")),
            _ => Failure::Other(format!("the API server answers {code}: {message}")),
        }
    }

    pub(super) fn unreadable(error: impl std::fmt::Display) -> Failure {
        Failure::Other(format!("the API server's answer cannot be read: {error}"))
    }

    fn unreachable(error: impl std::fmt::Display) -> Failure {
        Failure::Other(format!("the API server does not answer: {error}"))
    }
}

/// Where the server is, and who we are there. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(Arc<Place>);

struct Place {
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
    /// Read for each request: it is replaced every hour.
    token: PathBuf,
    namespace: String,
}

impl Api {
    /// The server of the cluster that we run in, for `namespace` or our own.
    pub(crate) fn in_cluster(namespace: Option<&str>) -> Result<Api, String> {
        let variable =
            |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set: this is no pod"));
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let port = port.parse().map_err(|_| format!("KUBERNETES_SERVICE_PORT: {port} is no port"))?;
        Api::at(&variable("KUBERNETES_SERVICE_HOST")?, port, Path::new(ACCOUNT), namespace)
    }

    /// The server at `host`, with the `token`, the `ca.crt` and the `namespace` in the folder `account`.
    pub(super) fn at(host: &str, port: u16, account: &Path, namespace: Option<&str>) -> Result<Api, String> {
        let read = |name: &str| {
            let path = account.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(read("ca.crt")?.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("ca.crt cannot be read: {error:?}"))?;
            roots.add(certificate).map_err(|error| format!("ca.crt is of no use: {error}"))?;
        }
        let namespace = match namespace {
            Some(namespace) => namespace.to_owned(),
            None => read("namespace")?.trim().to_owned(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.map_err(|error| error.to_string())?.with_root_certificates(roots);
        let tls = Arc::new(config.with_no_client_auth());
        Ok(Api(Arc::new(Place { host: host.to_owned(), port, tls, token: account.join("token"), namespace })))
    }

    pub(super) async fn list(&self, service: &str) -> Result<SliceList, Failure> {
        let answer = self.get(&self.path(service, "")).await?;
        let body = Limited::new(answer.into_body(), MAX_LIST).collect();
        let body = timeout(ANSWER, body).await.map_err(Failure::unreachable)?;
        let body = body.map_err(Failure::unreachable)?.to_bytes();
        serde_json::from_slice(&body).map_err(Failure::unreadable)
    }

    pub(super) async fn watch(&self, service: &str, version: &str) -> Result<Lines, Failure> {
        let more = format!(
            "&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        );
        let answer = self.get(&self.path(service, &more)).await?;
        Ok(Lines { body: answer.into_body(), rest: Vec::new() })
    }

    fn path(&self, service: &str, more: &str) -> String {
        let namespace = &self.0.namespace;
        format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices\
             ?labelSelector=kubernetes.io%2Fservice-name%3D{service}{more}"
        )
    }

    async fn get(&self, path: &str) -> Result<Response<Incoming>, Failure> {
        let answer = timeout(ANSWER, self.send(path)).await.map_err(Failure::unreachable)??;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let code = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_LINE).collect();
        let said = timeout(ANSWER, body).await.ok().and_then(Result::ok).map(|body| body.to_bytes());
        let said: serde_json::Value = serde_json::from_slice(&said.unwrap_or_default()).unwrap_or_default();
        Err(Failure::of(code, said["message"].as_str().unwrap_or_default()))
    }

    async fn send(&self, path: &str) -> Result<Response<Incoming>, Failure> {
        let Place { host, port, tls, token, .. } = &*self.0;
        let unusable =
            |error: std::io::Error| Failure::Other(format!("cannot read {}: {error}", token.display()));
        let token = tokio::fs::read_to_string(token).await.map_err(unusable)?;
        // an IPv6 address is in brackets in a URL, and nowhere else
        let bare = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((bare, *port)).await.map_err(Failure::unreachable)?;
        let name = ServerName::try_from(bare.to_owned()).map_err(Failure::unreachable)?;
        let shaken = TlsConnector::from(tls.clone()).connect(name, Socket::Tcp(stream)).await;
        let io = Io::Client(Box::new(shaken.map_err(Failure::unreachable)?));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(Failure::unreachable)?;
        // it ends with the answer's body
        tokio::spawn(connection);
        let request = Request::get(path)
            .header(HOST, host)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", token.trim()))
            .body(Empty::<Bytes>::new())
            .map_err(Failure::unreadable)?;
        sender.send_request(request).await.map_err(Failure::unreachable)
    }
}

/// A watch: JSON, one object a line.
pub(super) struct Lines {
    body: Incoming,
    /// What came of the next line.
    rest: Vec<u8>,
}

impl Lines {
    /// The next line; `None` when the server has ended the watch.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Option<Result<T, Failure>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).map_err(Failure::unreadable));
            }
            if self.rest.len() > MAX_LINE {
                return Some(Err(Failure::unreadable("a line is too long")));
            }
            match timeout(SILENCE, self.body.frame()).await {
                Err(_) => return Some(Err(Failure::unreachable("the watch is silent"))),
                Ok(None) => return None,
                Ok(Some(Err(error))) => return Some(Err(Failure::unreachable(error))),
                Ok(Some(Ok(frame))) => self.rest.extend(frame.data_ref().into_iter().flatten()),
            }
        }
    }
}
