//! Where an orchestrator looks: alive, started, ready; and where Prometheus reads.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use base::Secret;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;

use crate::admin::OPEN_METRICS;

/// How far a proxy and its programs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The doors are not open yet, or the program that it starts is not ready.
    Starting,
    /// The doors are open; a program that somebody else starts is not ready.
    Waiting,
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

/// `/metrics`, for whoever has `token` if there is one.
pub(super) fn metrics(token: Option<Secret>, stats: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    let answer = async move |headers: HeaderMap| {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if token.as_ref().is_some_and(|token| !token.matches(shown)) {
            let told = [(WWW_AUTHENTICATE, "Bearer")];
            return (StatusCode::UNAUTHORIZED, told, "these metrics take a bearer token\n").into_response();
        }
        ([(CONTENT_TYPE, OPEN_METRICS)], stats()).into_response()
    };
    Router::new().route("/metrics", get(answer))
}

fn told(phase: Phase, good: impl Fn(Phase) -> bool) -> (StatusCode, &'static str) {
    let text = match phase {
        Phase::Starting => "starting\n",
        Phase::Waiting => "waiting for a program\n",
        Phase::Serving => "serving\n",
        Phase::ProgramGone => "a program is gone\n",
        Phase::Draining => "draining\n",
        Phase::Drained => "drained\n",
    };
    (if good(phase) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

#[cfg(test)]
mod tests {
    use base::Body;
    use tower::ServiceExt;

    use super::*;

    async fn status(token: Option<&str>, shown: Option<&str>) -> u16 {
        let router = metrics(token.map(Secret::new), Arc::new(|| "# EOF\n".to_owned()));
        let request = http::Request::get("/metrics");
        let request = shown.into_iter().fold(request, |request, shown| request.header(AUTHORIZATION, shown));
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        response.status().as_u16()
    }

    #[tokio::test]
    async fn metrics_with_a_token_are_for_who_has_it() {
        assert_eq!(status(None, None).await, 200);
        assert_eq!(status(Some("t"), Some("Bearer t")).await, 200);
        for shown in [None, Some("t"), Some("Bearer"), Some("Bearer "), Some("Bearer tt"), Some("Basic t")] {
            assert_eq!(status(Some("t"), shown).await, 401, "{shown:?}");
        }
    }
}
