//! The second port, for whoever runs it: whether it lives and is ready, and what it knows.
//!
//! Source: docs.postgrest.org/en/v14/references/admin_server.html.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use common::project::Document;

use crate::Data;
use crate::execute::Active;
use crate::snapshot::Snapshot;

/// How long a database may take to answer before the service is not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// The service and its one project.
#[derive(Clone)]
pub(super) struct Lonely {
    pub(super) data: Arc<Data>,
    pub(super) document: Arc<Document>,
    /// What the process counts, in the Prometheus text format.
    pub(super) metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Its routes.
pub(super) fn router(lonely: Lonely) -> Router {
    Router::new()
        // whoever answers lives
        .route("/live", get(async || StatusCode::OK))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/schema_cache", get(schema_cache))
        .route("/config", get(config))
        .with_state(lonely)
}

impl Lonely {
    async fn active(&self) -> base::Result<Arc<Active>> {
        self.data.actives.of(&self.document).await
    }

    async fn snapshot(&self) -> Result<Arc<Snapshot>, StatusCode> {
        let loaded = async { self.active().await?.snapshot().await };
        match tokio::time::timeout(PATIENCE, loaded).await {
            Ok(Ok(snapshot)) => Ok(snapshot),
            _ => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

/// Whether the schema is known and the database answers.
async fn ready(State(lonely): State<Lonely>) -> Result<StatusCode, StatusCode> {
    lonely.snapshot().await?;
    let answers = async { lonely.active().await?.answers().await };
    match tokio::time::timeout(PATIENCE, answers).await {
        Ok(Ok(())) => Ok(StatusCode::OK),
        _ => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn schema_cache(State(lonely): State<Lonely>) -> Result<impl IntoResponse, StatusCode> {
    Ok(axum::Json(lonely.snapshot().await?.schema.described()))
}

/// The settings that hold, secrets aside.
async fn config(State(lonely): State<Lonely>) -> Result<impl IntoResponse, StatusCode> {
    let mut settings = lonely.snapshot().await?.settings.clone();
    // many keep secrets there
    settings.app_settings.values_mut().for_each(|value| "…".clone_into(value));
    Ok(axum::Json(settings))
}

async fn metrics(State(lonely): State<Lonely>) -> Result<String, StatusCode> {
    let active = lonely.active().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let mut text = (lonely.metrics)();
    let counted = active.counted();
    for (name, kind, value) in [
        ("pgrst_db_pool_available", "gauge", counted.pool_available as f64),
        ("pgrst_db_pool_waiting", "gauge", counted.pool_waiting as f64),
        ("pgrst_db_pool_max", "gauge", counted.pool_max as f64),
        ("pgrst_db_pool_timeouts_total", "counter", counted.pool_timeouts as f64),
        ("pgrst_schema_cache_query_time_seconds", "gauge", counted.load_seconds),
        ("pgrst_jwt_cache_requests_total", "counter", counted.tokens as f64),
        ("pgrst_jwt_cache_hits_total", "counter", counted.tokens_known as f64),
    ] {
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    }
    let _ = writeln!(text, "# TYPE pgrst_schema_cache_loads_total counter");
    for (status, value) in [("SUCCESS", counted.loads), ("FAIL", counted.failed_loads)] {
        let _ = writeln!(text, "pgrst_schema_cache_loads_total{{status=\"{status}\"}} {value}");
    }
    Ok(text)
}
