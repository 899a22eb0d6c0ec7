//! What a service is given, what it gives back, and the layers around its routes.
//!
//! The onion, outermost first: record → errors to the API's envelope (and panics to a 500) → deadline → project →
//! the routes.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use base::error::{BAD_REQUEST, DEADLINE_EXCEEDED, INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND, Raised, chain};
use base::{Clock, Error, Random, Request, Response, Result, header};
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::context::Context;
use crate::outbound::Outbound;
use crate::project::{Document, ProjectRef};
use crate::projects::Projects;
use crate::record::{Recorder, RequestRecord};

/// Everything a service needs from the process it runs in.
#[derive(Clone)]
pub struct Dependencies {
    /// The way to everybody else.
    pub outbound: Outbound,
    /// Time.
    pub clock: Clock,
    /// Ids and secrets.
    pub random: Random,
    /// The service's own folder on disk, mode 0700.
    pub state_dir: PathBuf,
    /// Where request records go.
    pub recorder: Recorder,
    /// Owns the background tasks.
    pub tasks: Tasks,
}

/// The background tasks of a process: each has an owner that can stop it.
#[derive(Clone, Default)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Runs `task` until it ends or the process stops, whichever is first.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, () = task => {} }
        });
    }

    /// Stops every task and waits for them.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// A started service: its routes behind the onion, and a name.
pub struct Service {
    /// The folder, crate, log and metric name.
    pub name: &'static str,
    /// What answers requests. `/readyz` is one of them.
    pub router: Router,
}

/// How one API writes its errors.
#[derive(Clone, Copy)]
pub struct Envelope {
    /// Writes the body for `error`; it sees the request's headers because formats depend on them.
    pub write: fn(&Error, &HeaderMap) -> Response,
}

/// The layers. They are functions that call one another and not layers of the router, which would box each one's future
/// and clone all that is inside of it for every request.
struct Onion {
    service: &'static str,
    projects: Option<Projects>,
    recorder: Recorder,
    envelope: Envelope,
    operations: Operations,
}

/// Wraps a service's routes; their documentation names the operations in records.
///
/// `projects` is given by services whose every route belongs to a project.
pub fn onion(
    service: &'static str,
    routes: OpenApiRouter,
    projects: Option<Projects>,
    deps: &Dependencies,
    envelope: Envelope,
) -> Service {
    let (routes, openapi) = routes.split_for_parts();
    let recorder = deps.recorder.clone();
    let onion = Onion { service, projects, recorder, envelope, operations: operations(&openapi) };
    let router = routes
        .fallback(async || NOT_FOUND.error("no such route"))
        .method_not_allowed_fallback(async || METHOD_NOT_ALLOWED.error("method not allowed"))
        .layer(from_fn_with_state(Arc::new(onion), record))
        .route("/readyz", axum::routing::get(async || "ready\n"));
    Service { name: service, router }
}

/// Route template → method → `operation_id`.
type Operations = HashMap<String, HashMap<Method, String>>;

fn operations(openapi: &OpenApi) -> Operations {
    let mut operations = Operations::new();
    for (path, item) in &openapi.paths.paths {
        let by_method = [
            (Method::GET, &item.get),
            (Method::HEAD, item.head.as_ref().map_or(&item.get, |_| &item.head)),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::PATCH, &item.patch),
            (Method::DELETE, &item.delete),
            (Method::OPTIONS, &item.options),
        ];
        for (method, operation) in by_method {
            if let Some(id) = operation.as_ref().and_then(|operation| operation.operation_id.clone()) {
                operations.entry(path.clone()).or_default().insert(method, id);
            }
        }
    }
    operations
}

async fn record(State(onion): State<Arc<Onion>>, mut request: Request, next: Next) -> Response {
    if onion.projects.as_ref().is_some_and(|projects| projects.only().is_some()) {
        // no proxy of ours is there to vouch for any of it
        header::strip_own(request.headers_mut());
    }
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let project = text(request.headers(), header::PROJECT);
    let request_id = text(request.headers(), header::REQUEST_ID);

    let response = onion.errors(request, next).await;

    let operation = path.and_then(|path| onion.operations.get(path.as_str())?.get(&method));
    onion.recorder.record(&RequestRecord {
        service: onion.service,
        project,
        operation: operation.cloned().unwrap_or_else(|| "unmatched".to_owned()),
        method,
        status: response.status(),
        code: response.extensions().get::<Raised>().map(|raised| raised.0.code.name().to_owned()),
        duration: started.elapsed(),
        request_id,
    });
    response
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

impl Onion {
    /// Writes errors as the API does; a panic is one too.
    async fn errors(&self, request: Request, next: Next) -> Response {
        let headers = request.headers().clone();
        let response = match AssertUnwindSafe(self.deadline(request, next)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => INTERNAL.error("internal error").into_response(),
        };
        let Some(Raised(error)) = response.extensions().get::<Raised>().cloned() else {
            return response;
        };
        if error.status().is_server_error() {
            let request_id = headers.get(header::REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or("-");
            tracing::error!(service = self.service, request_id, error = %chain(&*error), "request failed");
        }
        let mut written = (self.envelope.write)(&error, &headers);
        written.headers_mut().extend(error.headers.clone());
        written.extensions_mut().insert(Raised(error));
        written
    }

    /// Ends what takes longer than it may.
    async fn deadline(&self, request: Request, next: Next) -> Response {
        let left = header::deadline(request.headers());
        let answer = Context::of(request.headers()).scope(self.project(request, next));
        match left {
            None => answer.await,
            Some(left) => match tokio::time::timeout(left, answer).await {
                Ok(response) => response,
                Err(_) => DEADLINE_EXCEEDED.error("the request took longer than it may").into_response(),
            },
        }
    }

    /// Finds the project.
    async fn project(&self, mut request: Request, next: Next) -> Response {
        if let Some(projects) = &self.projects {
            let found = match projects.only() {
                Some(only) => Ok(only.clone()),
                // in a box: finding one may take a call, whose future is large
                None => Box::pin(named_project(projects, request.headers())).await,
            };
            match found {
                Ok(document) => {
                    request.extensions_mut().insert(document);
                }
                Err(error) => return error.into_response(),
            }
        }
        next.run(request).await
    }
}

/// The project that the header names. A missing header is an error, never a default: whoever calls past the
/// gateway and the sidecar gets nothing.
async fn named_project(projects: &Projects, headers: &HeaderMap) -> Result<Arc<Document>> {
    let name = headers.get(header::PROJECT).map(HeaderValue::to_str);
    let Some(Ok(name)) = name else {
        return Err(BAD_REQUEST.error("the request names no project"));
    };
    let reference: ProjectRef = name.parse()?;
    projects.get(&reference).await
}

/// The request's project, as the onion found it.
pub struct Project(pub Arc<Document>);

impl<S: Sync> FromRequestParts<S> for Project {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Project> {
        let document = parts.extensions.get::<Arc<Document>>().cloned();
        document.map(Project).ok_or_else(|| Error::internal("the route is outside the project layer"))
    }
}

/// The calling service's name, from its mesh identity; `gateway` for a request from the edge. Absent if the request
/// came past the sidecar.
pub struct Peer(pub String);

impl<S: Sync> OptionalFromRequestParts<S> for Peer {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Peer>> {
        Ok(text(&parts.headers, header::PEER).map(Peer))
    }
}
