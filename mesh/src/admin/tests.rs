//! The admin socket's routes, without the socket.

use std::sync::Mutex;
use std::time::Duration;

use axum::http::{Method, Request};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio::sync::watch;
use tower::ServiceExt;

use super::*;
use crate::observe::Event;
use crate::observe::metrics::Metrics;
use crate::observe::sample::{everything, exchange};

/// Handles that show fixed things, and what a drain waits for.
fn handles() -> (Handles, watch::Sender<bool>) {
    let (drained, wait) = watch::channel(false);
    let level = Arc::new(Mutex::new("info".to_owned()));
    let set = Arc::clone(&level);
    let handles = Handles {
        config: Arc::new(|| json!({ "version": "v1" })),
        endpoints: Arc::new(|| json!({ "data": [] })),
        routes: Arc::new(|| json!({ "data": [{ "name": "*" }] })),
        stats: Arc::new(|| {
            let metrics = Metrics::new();
            metrics.observe(&Event::Ended(exchange()));
            metrics.render()
        }),
        tap: Tap::new(),
        drain: Arc::new(move || {
            let mut wait = wait.clone();
            async move { drop(wait.wait_for(|drained| *drained).await) }.boxed()
        }),
        log_level: LogLevel {
            get: Arc::new(move || level.lock().unwrap().clone()),
            set: Arc::new(move |filter| {
                if filter.contains('!') {
                    return Err(format!("{filter} is no filter"));
                }
                filter.clone_into(&mut set.lock().unwrap());
                Ok(())
            }),
        },
    };
    (handles, drained)
}

async fn ask(handles: &Handles, method: Method, path: &str, body: &str) -> Response {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
    router(handles.clone()).oneshot(request).await.unwrap()
}

async fn text(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(handles: &Handles, path: &str) -> (u16, String) {
    text(ask(handles, Method::GET, path, "").await).await
}

#[tokio::test]
async fn what_is_in_force_is_shown_as_json() {
    let (handles, _drained) = handles();

    assert_eq!(get(&handles, "/config").await, (200, r#"{"version":"v1"}"#.to_owned()));
    assert_eq!(get(&handles, "/endpoints").await, (200, r#"{"data":[]}"#.to_owned()));
    assert_eq!(get(&handles, "/routes").await, (200, r#"{"data":[{"name":"*"}]}"#.to_owned()));
    assert_eq!(get(&handles, "/livez").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn stats_are_openmetrics() {
    let (handles, _drained) = handles();

    let response = ask(&handles, Method::GET, "/stats", "").await;

    assert!(
        response.headers()[header::CONTENT_TYPE]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let (_, body) = text(response).await;
    assert!(body.contains("meshbase_mesh_requests_total{") && body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn a_tap_streams_what_passes_until_the_client_goes() {
    let (handles, _drained) = handles();

    let response = ask(&handles, Method::GET, "/tap?service=data&status=2xx&percent=100", "").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    everything().iter().for_each(|event| handles.tap.observe(event));
    let mut body = response.into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let next = body.frame().now_or_never();

    let line: Value = serde_json::from_slice(&frame).unwrap();
    assert_eq!((line["event"].as_str(), line["path"].as_str()), (Some("ended"), Some("/rest/v1/people")));
    assert!(next.is_none(), "one event passes, and the stream stays open");
    let others: Vec<_> = (0..15).map(|_| handles.tap.subscribe(Filter::default()).unwrap()).collect();
    assert_eq!(ask(&handles, Method::GET, "/tap", "").await.status(), 429);
    drop(body);
    assert!(handles.tap.subscribe(Filter::default()).is_ok());
    drop(others);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_as_json() {
    let (handles, _drained) = handles();

    for (method, path, body, status, code, hint) in [
        (Method::GET, "/nothing", "", 404, "not_found", "GET /config"),
        (Method::POST, "/config", "", 405, "method_not_allowed", "GET /config"),
        (Method::GET, "/tap?status=abc", "", 400, "bad_request", "abc"),
        (Method::GET, "/tap?servce=data", "", 400, "bad_request", "servce"),
        (Method::POST, "/drain?wait=maybe", "", 400, "bad_request", "wait"),
        (Method::PUT, "/log-level", "!", 400, "bad_request", "! is no filter"),
        (Method::PUT, "/log-level", " ", 400, "bad_request", "empty"),
    ] {
        let (got, text) = text(ask(&handles, method, path, body).await).await;
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"));
        assert_eq!((got, json["code"].as_str()), (status, Some(code)), "{path}");
        assert!(json["message"].as_str().unwrap().contains(hint), "{path}: {text}");
    }
}

#[tokio::test]
async fn the_log_level_can_be_changed() {
    let (handles, _drained) = handles();

    let put = text(ask(&handles, Method::PUT, "/log-level", "info,mesh=debug\n").await).await;

    assert_eq!(put, (200, "info,mesh=debug\n".to_owned()));
    assert_eq!(get(&handles, "/log-level").await, (200, "info,mesh=debug\n".to_owned()));
    assert_eq!(ask(&handles, Method::PUT, "/log-level", &"x".repeat(MAX_BODY + 1)).await.status(), 413);
    assert_eq!(get(&handles, "/log-level").await.1, "info,mesh=debug\n");
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_waited_for_only_if_asked() {
    let (handles, drained) = handles();

    assert_eq!(ask(&handles, Method::POST, "/drain", "").await.status(), 202);
    let waiting = ask(&handles, Method::POST, "/drain?wait=true", "");
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut waiting).await.is_err());
    drained.send(true).unwrap();

    assert_eq!(waiting.await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_on_without_the_client() {
    let (mut handles, _drained) = handles();
    let (drained, mut seen) = watch::channel(false);
    let (release, released) = watch::channel(false);
    let drained = Arc::new(drained);
    handles.drain = Arc::new(move || {
        let (drained, mut released) = (Arc::clone(&drained), released.clone());
        async move {
            released.wait_for(|released| *released).await.unwrap();
            drained.send(true).unwrap();
        }
        .boxed()
    });

    let asked = tokio::spawn({
        let handles = handles.clone();
        async move { ask(&handles, Method::POST, "/drain?wait=true", "").await }
    });
    tokio::task::yield_now().await;
    asked.abort();
    let _ = asked.await;
    release.send(true).unwrap();

    let done = tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|drained| *drained)).await;
    assert!(done.is_ok(), "nobody drains any more");
}
