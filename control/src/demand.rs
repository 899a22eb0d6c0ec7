//! What autoscalers read: how much each service has to do, over TCP, for whoever has the token.
//!
//! `GET /mesh/demand` is JSON, `GET /metrics` is what Prometheus reads (OpenMetrics 1.0).

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base::{Result, Secret};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::Control;
use crate::doors::envelope;

/// What one service has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Demand {
    /// Its instances.
    pub(crate) instances: usize,
    /// Requests that its programs have under way; of a service that only calls, its own calls.
    pub(crate) running: usize,
    /// Requests that wait for a place, at its callers.
    pub(crate) waiting: usize,
}

#[derive(Clone)]
struct Door {
    control: Control,
    token: Option<Secret>,
}

/// The routes. Without a token everybody may read.
pub(crate) fn router(control: Control, token: Option<Secret>) -> Router {
    Router::new()
        .route("/mesh/demand", get(demand))
        .route("/metrics", get(metrics))
        .layer(axum::middleware::map_response(envelope))
        .with_state(Door { control, token })
}

async fn demand(State(door): State<Door>, headers: HeaderMap) -> Result<Response> {
    if !is_let_in(door.token.as_ref(), &headers) {
        return Ok(refused());
    }
    Ok(Json(door.control.demand().await?).into_response())
}

async fn metrics(State(door): State<Door>, headers: HeaderMap) -> Result<Response> {
    if !is_let_in(door.token.as_ref(), &headers) {
        return Ok(refused());
    }
    let text = exposition(&door.control.demand().await?);
    Ok(([(CONTENT_TYPE, mesh::admin::OPEN_METRICS)], text).into_response())
}

fn is_let_in(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    token.is_none_or(|token| token.matches(shown))
}

fn refused() -> Response {
    let told = [(WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, told, "this takes a bearer token\n").into_response()
}

fn exposition(demand: &BTreeMap<String, Demand>) -> String {
    let mut text = String::new();
    let mut family = |name: &str, help: &str, of: fn(&Demand) -> usize| {
        let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}");
        for (service, demand) in demand {
            // a service's name is a DNS label: nothing in it needs escaping
            let _ = writeln!(text, "{name}{{service=\"{service}\"}} {}", of(demand));
        }
    };
    family("meshbase_demand", "Requests under way and waiting.", |demand| demand.running + demand.waiting);
    family("meshbase_demand_running", "Requests that programs have under way.", |demand| demand.running);
    family("meshbase_demand_waiting", "Requests that wait at callers.", |demand| demand.waiting);
    family("meshbase_instances", "Instances that are found.", |demand| demand.instances);
    text.push_str("# EOF\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_token_is_told_nothing() {
        let shown = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        let token = Secret::new("t");

        assert!(is_let_in(None, &HeaderMap::new()));
        assert!(is_let_in(Some(&token), &shown("Bearer t")));
        for other in ["t", "Bearer", "Bearer ", "Bearer tt", "Basic t"] {
            assert!(!is_let_in(Some(&token), &shown(other)), "{other}");
        }
        assert!(!is_let_in(Some(&token), &HeaderMap::new()));
    }

    #[test]
    fn what_runs_and_what_waits_is_one_number_for_an_autoscaler() {
        let data = Demand { instances: 2, running: 3, waiting: 4 };

        let text = exposition(&BTreeMap::from([("data".to_owned(), data)]));

        assert!(text.contains("meshbase_demand{service=\"data\"} 7\n"), "{text}");
        assert!(text.contains("meshbase_instances{service=\"data\"} 2\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
