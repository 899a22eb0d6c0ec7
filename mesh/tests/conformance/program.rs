//! The programs behind the mesh: each does what the request's `x-plan` says.
//!
//! A plan is a list of steps; the n-th request of a method and path with that plan meets the n-th step, the last one
//! stays; `echo=STEP` is meant for one program, and `ok` for the others. Steps:
//! `ok`, a status such as `503`, `503@tenant` (marked), `panic`, `hang`, `hold` (until the test lets go), `late:MS`,
//! `early` (413 without a look at the body), `call:SERVICE` (503 if its own call fails), `aloof:SERVICE` (the same
//! without passing the request's id on), `bytes:N`, `count`, `drip:MS`, `open` (one byte, then nothing), `broken`,
//! `grpc:STATUS` (trailers), `bare:STATUS` (gRPC without a message), `echo` and `mute` (upgrades).
//!
//! `x-show` names request headers that the answer tells, `#name` only their length, `*` the names of all.
//! `x-answer` holds headers of the answer, `name: value` with `|` between them, `x-trailer` more trailers.

pub(crate) mod bodies;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequest;
use axum::extract::ws::WebSocketUpgrade;
use base::{Body, Request, Response, header};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use mesh::Outbound;
use tokio::sync::{Semaphore, watch};

/// What the programs of one world share.
pub(crate) struct Stage {
    met: Mutex<HashMap<String, usize>>,
    held: watch::Sender<usize>,
    doors: Semaphore,
    outbounds: OnceLock<HashMap<String, Outbound>>,
}

impl Stage {
    pub(crate) fn new() -> Arc<Stage> {
        Arc::new(Stage {
            met: Mutex::default(),
            held: watch::Sender::new(0),
            doors: Semaphore::new(0),
            outbounds: OnceLock::new(),
        })
    }

    /// Gives each program the way to others, by its own name.
    pub(crate) fn connect(&self, outbounds: HashMap<String, Outbound>) {
        assert!(self.outbounds.set(outbounds).is_ok());
    }

    /// Resolves when `count` requests are held at once.
    pub(crate) async fn held(&self, count: usize) {
        self.held.subscribe().wait_for(|held| *held == count).await.unwrap();
    }

    /// Lets `count` of those that are held go on.
    pub(crate) fn let_go(&self, count: usize) {
        self.doors.add_permits(count);
    }

    async fn hold(&self) {
        let _counted = Counted::new(&self.held);
        self.doors.acquire().await.unwrap().forget();
    }

    fn step(&self, service: &str, request: &Request) -> String {
        let plan = text(request.headers(), "x-plan").unwrap_or("ok");
        let steps: Vec<&str> = plan.split_whitespace().collect();
        let mut met = self.met.lock().unwrap();
        let count =
            met.entry(format!("{service} {} {} {plan}", request.method(), request.uri().path())).or_default();
        let step = steps[(*count).min(steps.len() - 1)];
        *count += 1;
        match step.split_once('=') {
            Some((meant, _)) if meant != service => "ok".to_owned(),
            Some((_, step)) => step.to_owned(),
            None => step.to_owned(),
        }
    }
}

/// Counts one for as long as it lives: a held request may be given up.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Counted<'a> {
        count.send_modify(|count| *count += 1);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The program that is `service`.
pub(crate) fn router(service: &str, stage: &Arc<Stage>) -> Router {
    let (service, stage) = (Arc::<str>::from(service), stage.clone());
    Router::new().fallback(move |request: Request| act(service.clone(), stage.clone(), request))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

async fn act(service: Arc<str>, stage: Arc<Stage>, request: Request) -> Response {
    let step = stage.step(&service, &request);
    let (verb, argument) = step.split_once(':').unwrap_or((&step, ""));
    match verb {
        "early" => return plain(StatusCode::PAYLOAD_TOO_LARGE, "too much"),
        "echo" | "mute" => return upgrade(verb == "mute", request).await,
        "count" => return bodies::count(request.into_body()).await,
        _ => {}
    }
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 16 << 20).await else {
        return plain(StatusCode::BAD_REQUEST, "the body broke off");
    };
    match verb {
        "panic" => panic!("on purpose"),
        "hang" => std::future::pending().await,
        "hold" => stage.hold().await,
        "late" => tokio::time::sleep(Duration::from_millis(argument.parse().unwrap())).await,
        _ => {}
    }
    let mut answer = match verb {
        "call" | "aloof" => called(&stage, &service, argument, verb == "call", &head.headers).await,
        "ok" | "hold" | "late" => plain(StatusCode::OK, &told(&service, &head, &body)),
        "bytes" | "drip" | "open" | "broken" => Response::new(bodies::of(verb, argument)),
        "grpc" => bodies::grpc(argument, pairs(&head.headers, "x-trailer")),
        "bare" => bodies::bare_grpc(argument),
        status => marked(status, &told(&service, &head, &body)),
    };
    for (name, value) in pairs(&head.headers, "x-answer") {
        answer.headers_mut().append(name, value);
    }
    answer
}

/// The headers that are written in the header `name`.
fn pairs(headers: &HeaderMap, name: &str) -> Vec<(HeaderName, HeaderValue)> {
    let lines = text(headers, name).into_iter().flat_map(|lines| lines.split('|'));
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.trim().parse().unwrap(), value.trim().parse().unwrap())
    };
    lines.map(pair).collect()
}

fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
}

/// `503` or `503@overload`.
fn marked(step: &str, text: &str) -> Response {
    let (status, fault) = step.split_once('@').unwrap_or((step, ""));
    let status: StatusCode = status.parse().unwrap();
    let has_body = ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    let mut response = plain(status, if has_body { text } else { "" });
    if !fault.is_empty() {
        response.headers_mut().insert(header::FAULT, fault.parse().unwrap());
    }
    response
}

/// `echo GET /path`, what the body was, and what is to be shown.
fn told(service: &str, head: &http::request::Parts, body: &[u8]) -> String {
    // with HTTP/2 the target has a host too
    let target = head.uri.path_and_query().unwrap();
    let mut told = format!("{service} {} {target}", head.method);
    if !body.is_empty() {
        told.push_str(&format!(" {}", bodies::digest(body)));
    }
    for wanted in text(&head.headers, "x-show").into_iter().flat_map(str::split_whitespace) {
        let value = |name| text(&head.headers, name).unwrap_or("-");
        told.push_str(&match wanted.strip_prefix('#') {
            _ if wanted == "*" => all(&head.headers),
            _ if wanted == "extension" => {
                format!(" extension={}", head.extensions.get::<&'static str>().is_some())
            }
            Some(name) => format!(" #{name}={}", value(name).len()),
            None => format!(" {wanted}={}", value(wanted)),
        });
    }
    told
}

fn all(headers: &HeaderMap) -> String {
    let names = headers.keys().map(HeaderName::as_str).filter(|name| !["x-plan", "x-show"].contains(name));
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    format!(" [{}]", names.join(" "))
}

/// The answer of a program that needs another one for it.
async fn called(stage: &Stage, service: &str, other: &str, passes_id: bool, headers: &HeaderMap) -> Response {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = format!("http://{other}.mesh/needed").parse().unwrap();
    let plan = headers.get("x-call-plan").cloned().unwrap_or(HeaderValue::from_static("ok"));
    request.headers_mut().insert("x-plan", plan);
    if let Some(id) = headers.get(header::REQUEST_ID).filter(|_| passes_id) {
        request.headers_mut().insert(header::REQUEST_ID, id.clone());
    }
    match stage.outbounds.get().unwrap()[service].send(request).await {
        Ok(response) if response.status().is_success() => plain(StatusCode::OK, "both did it"),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "what I need failed"),
    }
}

/// Joins the connection: says what it hears, or (mute) neither listens nor speaks.
async fn upgrade(mute: bool, request: Request) -> Response {
    let upgrade = match WebSocketUpgrade::from_request(request, &()).await {
        Ok(upgrade) => upgrade,
        Err(_) => return plain(StatusCode::UPGRADE_REQUIRED, "no upgrade"),
    };
    upgrade.on_upgrade(move |mut socket| async move {
        use axum::extract::ws::Message;
        if mute {
            std::future::pending::<()>().await;
        }
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_)) && socket.send(message).await.is_err() {
                break;
            }
        }
    })
}
