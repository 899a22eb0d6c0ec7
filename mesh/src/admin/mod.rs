//! What an operator asks of a running proxy, over its UNIX socket: what is in force, what it counts, what passes.
//!
//! Whoever may open the socket may do everything here: the file's permission is the guard.

mod redact;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use base::error::{BAD_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND, Raised};
use base::{Body, Code, Error, Response};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::observe::tap::{Filter, Tap};

pub use redact::{config, redacted};

/// Longest `PUT /log-level`, in bytes.
const MAX_BODY: usize = 4 * 1024;

/// As many taps are open as may be.
const TOO_MANY_TAPS: Code = Code::new(429, "too_many_taps");

/// Something that can be looked at, made when it is asked for.
pub type View = Arc<dyn Fn() -> Value + Send + Sync>;

/// What the admin socket reaches.
#[derive(Clone)]
pub struct Handles {
    /// The configuration in force: [`config`].
    pub config: View,
    /// Per service its endpoints: address, zone, weight, state, in flight, latency, ejected for how long.
    pub endpoints: View,
    /// Per service its routes in order, with their kinds and policies.
    pub routes: View,
    /// What is counted, as OpenMetrics text.
    pub stats: Arc<dyn Fn() -> String + Send + Sync>,
    /// What passes.
    pub tap: Tap,
    /// Begins to drain; resolves when nothing is in flight any more. Asked again, it waits for the same.
    pub drain: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// What is logged.
    pub log_level: LogLevel,
}

/// Takes a filter of what is logged, or says what is wrong with it.
pub type SetLevel = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What is logged, as a filter of `tracing-subscriber`: `info,mesh=debug`.
#[derive(Clone)]
pub struct LogLevel {
    /// The filter in force.
    pub get: Arc<dyn Fn() -> String + Send + Sync>,
    /// Takes another one.
    pub set: SetLevel,
}

/// Every path, for who asks for another one.
const PATHS: &str = "GET /config, GET /endpoints, GET /routes, GET /stats, GET /tap, POST /drain, \
                     GET and PUT /log-level, GET /livez";

/// The admin socket's routes.
pub fn router(handles: Handles) -> Router {
    Router::new()
        .route("/config", get(async |State(handles): State<Handles>| Json((handles.config)())))
        .route("/endpoints", get(async |State(handles): State<Handles>| Json((handles.endpoints)())))
        .route("/routes", get(async |State(handles): State<Handles>| Json((handles.routes)())))
        .route("/stats", get(stats))
        .route("/tap", get(tap))
        .route("/drain", post(drain))
        .route("/log-level", get(log_level).put(set_log_level))
        .route("/livez", get(async || "ok\n"))
        .fallback(async || NOT_FOUND.error(format!("no such path; there are {PATHS}")))
        .method_not_allowed_fallback(async || {
            METHOD_NOT_ALLOWED.error(format!("not that way; there are {PATHS}"))
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::map_response(envelope))
        .with_state(handles)
}

/// The media type of what is counted: OpenMetrics 1.0.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// OpenMetrics text.
async fn stats(State(handles): State<Handles>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], (handles.stats)())
}

/// Events as NDJSON until the client goes.
///
/// Errors: `bad_request` (400), `too_many_taps` (429).
async fn tap(
    State(handles): State<Handles>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<impl IntoResponse, Error> {
    let Query(filter) = filter.map_err(|wrong| BAD_REQUEST.error(wrong.body_text()))?;
    let lines = handles.tap.subscribe(filter).map_err(|full| TOO_MANY_TAPS.error(full.to_string()))?;
    let body = Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    #[serde(default)]
    wait: bool,
}

/// Begins to drain. With `wait=true` the answer comes when nothing is in flight any more; it drains on without the
/// client too.
///
/// Errors: `bad_request` (400).
async fn drain(
    State(handles): State<Handles>,
    query: Result<Query<Drain>, QueryRejection>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let Query(Drain { wait }) = query.map_err(|wrong| BAD_REQUEST.error(wrong.body_text()))?;
    let drained = tokio::spawn((handles.drain)());
    if !wait {
        return Ok((StatusCode::ACCEPTED, Json(json!({ "draining": true, "drained": false }))));
    }
    drained.await.map_err(Error::internal)?;
    Ok((StatusCode::OK, Json(json!({ "draining": true, "drained": true }))))
}

async fn log_level(State(handles): State<Handles>) -> String {
    (handles.log_level.get)() + "\n"
}

/// Errors: `bad_request` (400).
async fn set_log_level(State(handles): State<Handles>, filter: Bytes) -> Result<String, Error> {
    let filter =
        std::str::from_utf8(&filter).map_err(|_| BAD_REQUEST.error("the filter is no UTF-8"))?.trim();
    if filter.is_empty() {
        return Err(BAD_REQUEST.error("the filter is empty"));
    }
    (handles.log_level.set)(filter).map_err(|wrong| BAD_REQUEST.error(wrong))?;
    Ok((handles.log_level.get)() + "\n")
}

/// Writes an error as `{code, message}`.
async fn envelope(response: Response) -> Response {
    let Some(Raised(error)) = response.extensions().get::<Raised>().cloned() else { return response };
    (error.status(), Json(json!({ "code": error.code.name(), "message": error.message }))).into_response()
}

#[cfg(test)]
mod tests;
