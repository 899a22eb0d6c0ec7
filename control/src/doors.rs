//! Where workloads come in: with a certificate, to listen and to renew; without one, to join.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Extension, Json, Router};
use base::error::Raised;
use base::gcra::{Limiter, Rate};
use base::serve::{Connection, Listener, RemoteAddr, accept_each};
use base::{Clock, Code, Response, Result};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mesh::identity::{Alpn, Identity, handshake};
use mesh::steer::{CONTROL, CertificateRequest, JOIN_PATH, Joined, RENEW_PATH, STREAM_PATH};
use rustls::server::Acceptor;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::{Control, stream};

/// How long what is under way may take when a replica stops. Streams end at once.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// Longest time for a join, from the connection on.
const JOIN: Duration = Duration::from_secs(15);
/// Largest certificate request, in bytes.
const MAX_CSR: usize = 64 * 1024;
/// Joins from one address.
const JOINS: Rate = Rate { burst: 60, period: Duration::from_secs(60) };
/// Certificates of one identity, whose instances may be many.
pub(crate) const RENEWALS: Rate = Rate { burst: 600, period: Duration::from_secs(60) };
/// Addresses or identities that are told apart.
pub(crate) const MAX_TOLD_APART: usize = 10_000;

/// Too many joins from one address.
const TOO_MANY_JOINS: Code = Code::new(429, "too_many_joins");
/// Too many certificates of one identity.
const TOO_MANY_RENEWALS: Code = Code::new(429, "too_many_renewals");

/// Serves workloads that have a certificate.
pub(crate) async fn serve_control(control: Control, listener: Listener, stop: CancellationToken) {
    let until = stop.clone();
    let carry = move |connection: Connection, remote: Option<RemoteAddr>| {
        let (control, until) = (control.clone(), until.clone());
        async move { carry(control, connection, remote, until).await }
    };
    accept_each(listener, stop, GRACE, carry).await;
}

async fn carry(
    control: Control,
    connection: Connection,
    remote: Option<RemoteAddr>,
    stop: CancellationToken,
) {
    let own = control.0.authority.own().clone();
    let choose = |service: &str| (service == CONTROL).then(|| own.server(Alpn::H2));
    let accepted = match handshake::accept(connection, &choose).await {
        Ok(accepted) => accepted,
        Err(error) => {
            let peer = remote.map(|remote| remote.0.to_string()).unwrap_or_default();
            tracing::warn!(peer, %error, "a workload was not let in");
            return;
        }
    };
    let router = Router::new()
        .route(RENEW_PATH, post(renew).layer(DefaultBodyLimit::max(MAX_CSR)))
        .route(STREAM_PATH, post(stream::begin).layer(DefaultBodyLimit::disable()))
        .layer(axum::middleware::map_response(envelope))
        .layer(Extension(Peer(accepted.peer)))
        .with_state(control);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(16)
        .keep_alive_interval(mesh::steer::ALIVE_EVERY)
        .keep_alive_timeout(mesh::steer::ALIVE_EVERY);
    let serving = builder.serve_connection(TokioIo::new(accepted.stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => {}
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

/// Who is on the other side of a connection.
#[derive(Clone)]
pub(crate) struct Peer(pub(crate) Identity);

/// The next certificate of whoever asks.
///
/// Errors: `bad_csr` (400), `other_identity` (403), `not_certified` (409), `too_many_renewals` (429).
async fn renew(
    State(control): State<Control>,
    Extension(Peer(peer)): Extension<Peer>,
    Json(request): Json<CertificateRequest>,
) -> Result<Json<Joined>> {
    let (limiter, now) = (&control.0.renewals, control.0.clock.now());
    let limited = limiter.check(peer.service().to_owned(), now);
    limited.map_err(|_| TOO_MANY_RENEWALS.error("too many certificates of this identity"))?;
    control.0.authority.renew(&request, &peer).await.map(Json)
}

/// Serves workloads that have none.
pub(crate) async fn serve_join(control: Control, listener: Listener, stop: CancellationToken) {
    let joins = Arc::new(Limiter::new(JOINS, MAX_TOLD_APART));
    let router = Router::new()
        .route(JOIN_PATH, post(join))
        .layer(DefaultBodyLimit::max(MAX_CSR))
        .layer(axum::middleware::map_response(envelope))
        .with_state(Joining { control: control.clone(), joins });
    let carry = move |connection: Connection, remote: Option<RemoteAddr>| {
        let (router, control) = (router.clone(), control.clone());
        async move {
            let joined = async {
                let Ok(stream) = shake(&control, connection).await else { return };
                let from = remote.map_or(IpAddr::from([0, 0, 0, 0]), |remote| remote.0.ip());
                let router = router.layer(Extension(ConnectInfo(from)));
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).keep_alive(false);
                let _ =
                    builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
            };
            // nobody has shown yet who it is: a place is not kept for who takes its time
            let _ = tokio::time::timeout(JOIN, joined).await;
        }
    };
    accept_each(listener, stop, GRACE, carry).await;
}

/// Proves to be the control plane by the root that the workload knows.
async fn shake(control: &Control, connection: Connection) -> io::Result<TlsStream<Connection>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), connection).await?;
    let name = start.client_hello().server_name().unwrap_or_default().to_owned();
    let config = control.0.authority.door(&name).map_err(io::Error::other)?;
    start.into_stream(config).await
}

#[derive(Clone)]
struct Joining {
    control: Control,
    joins: Arc<Limiter<IpAddr>>,
}

/// The first certificate of whoever has a token.
///
/// Errors: `bad_token` (401), `too_many_joins` (429), and those of [`renew`].
async fn join(
    State(Joining { control, joins }): State<Joining>,
    Extension(ConnectInfo(from)): Extension<ConnectInfo<IpAddr>>,
    Json(request): Json<CertificateRequest>,
) -> Result<Json<Joined>> {
    let clock: &Clock = &control.0.clock;
    joins.check(from, clock.now()).map_err(|_| TOO_MANY_JOINS.error("too many joins from this address"))?;
    let joined = control.0.authority.join(&request).await;
    if let Err(error) = &joined {
        tracing::warn!(%from, error = %base::error::chain(error), "a join was refused");
    }
    joined.map(Json)
}

/// Writes an error as `{code, message}`.
pub(crate) async fn envelope(response: Response) -> Response {
    let Some(Raised(error)) = response.extensions().get::<Raised>().cloned() else { return response };
    if error.status().is_server_error() {
        tracing::error!(error = %base::error::chain(&*error), "a request failed");
    }
    let body = serde_json::json!({ "code": error.code.name(), "message": error.message });
    (error.status(), Json(body)).into_response()
}
