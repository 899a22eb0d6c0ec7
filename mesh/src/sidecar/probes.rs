//! Where an orchestrator looks: alive, started, ready.

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use tokio::sync::watch;

/// How far a proxy and its programs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The programs are not ready yet.
    Starting,
    /// Everything serves.
    Serving,
    /// A program is gone.
    ProgramGone,
    /// It goes on for a while, for those who have not heard.
    Draining,
    /// Nothing is in flight any more.
    Drained,
}

/// `/livez`, `/startupz`, `/readyz`.
pub(super) fn router(phase: watch::Receiver<Phase>) -> Router {
    let (started, ready) = (phase.clone(), phase);
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/startupz", get(async move || told(*started.borrow(), |phase| phase != Phase::Starting)))
        .route("/readyz", get(async move || told(*ready.borrow(), |phase| phase == Phase::Serving)))
}

fn told(phase: Phase, good: impl Fn(Phase) -> bool) -> (StatusCode, &'static str) {
    let text = match phase {
        Phase::Starting => "starting\n",
        Phase::Serving => "serving\n",
        Phase::ProgramGone => "a program is gone\n",
        Phase::Draining => "draining\n",
        Phase::Drained => "drained\n",
    };
    (if good(phase) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}
