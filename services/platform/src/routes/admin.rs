//! The owner's own door: a UNIX socket that file permissions guard. The command line speaks to it.

use axum::extract::{Path, State};
use axum::middleware::map_response;
use axum::routing::{get, put};
use axum::{Json, Router};
use base::error::Raised;
use base::{Response, Result};
use common::project::ProjectRef;
use common::usage::Usage;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Platform;
use crate::models::project::{Access, NewProject};
use crate::provision::Placement;

/// `GET /projects` lists them, `POST /projects` makes one, `GET /projects/{reference}` tells how to use it,
/// `GET /projects/{reference}/usage` what it takes up, and `PUT /projects/{reference}/settings/{service}` sets it up.
pub fn router(platform: Platform) -> Router {
    Router::new()
        .route("/projects", get(list).post(create))
        .route("/projects/{reference}", get(access))
        .route("/projects/{reference}/usage", get(usage))
        .route("/projects/{reference}/settings/{service}", put(set_settings))
        .layer(map_response(envelope_raised))
        .with_state(platform)
}

/// Errors in the suite's own envelope.
async fn envelope_raised(response: Response) -> Response {
    match response.extensions().get::<Raised>().cloned() {
        Some(Raised(error)) => super::envelope(&error, &HeaderMap::new()),
        None => response,
    }
}

/// What the owner asks for.
#[derive(Serialize, Deserialize)]
pub struct CreateProject {
    /// The reference; it cannot be changed later.
    pub reference: ProjectRef,
    /// A name for people; the reference if empty.
    #[serde(default)]
    pub name: String,
    /// Where its database goes; where those of this installation usually go if it is not said.
    pub placement: Option<Placement>,
}

/// A project in the owner's list.
#[derive(Serialize, Deserialize)]
pub struct Listed {
    /// The reference.
    pub reference: ProjectRef,
    /// The name for people.
    pub name: String,
    /// Where its database is.
    pub placement: Placement,
}

async fn set_settings(
    State(platform): State<Platform>,
    Path((reference, service)): Path<(ProjectRef, String)>,
    Json(settings): Json<Value>,
) -> Result<Json<Value>> {
    platform.set_settings(&reference, &service, &settings).await?;
    Ok(Json(settings))
}

async fn list(State(platform): State<Platform>) -> Result<Json<Vec<Listed>>> {
    let projects = platform.list().await?;
    let listed =
        projects.into_iter().map(|p| Listed { reference: p.reference, name: p.name, placement: p.placement });
    Ok(Json(listed.collect()))
}

/// The answer is the only time that the secret key is shown.
async fn create(
    State(platform): State<Platform>,
    Json(request): Json<CreateProject>,
) -> Result<Json<Access>> {
    let name = if request.name.is_empty() { request.reference.to_string() } else { request.name };
    let placement = request.placement.unwrap_or_else(|| platform.usual_placement());
    let new = NewProject { reference: request.reference, name, placement, jwt_secret: None };
    let (_, access) = platform.create(new).await?;
    Ok(Json(access))
}

/// The project's database accepts connections when this answers.
async fn access(State(platform): State<Platform>, Path(reference): Path<ProjectRef>) -> Result<Json<Access>> {
    platform.wake(&reference).await?;
    Ok(Json(platform.access(&reference).await?))
}

async fn usage(State(platform): State<Platform>, Path(reference): Path<ProjectRef>) -> Result<Json<Usage>> {
    platform.usage(&reference).await.map(Json)
}
