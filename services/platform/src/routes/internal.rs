//! What peers ask: documents, key owners, changes, a database to be woken, mail to be kept.

use axum::Json;
use axum::extract::{Path, Query, State};
use base::error::{BAD_REQUEST, FORBIDDEN, OrInternal};
use base::{Body, Response, Result};
use common::project::{Document, ProjectRef};
use common::projects::{Owner, PROJECT_NOT_FOUND};
use common::service::Peer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::models::document::Reader;
use crate::models::inbox;

/// A project's document, filtered to what the caller may know.
///
/// Errors: `project_not_found` (404), `forbidden` (403) for a caller without a mesh identity.
#[utoipa::path(get, path = "/internal/projects/{reference}", operation_id = "get_project_document",
    params(("reference" = String, Path)), responses((status = 200, description = "the document")))]
pub(crate) async fn document(
    State(platform): State<Platform>,
    peer: Option<Peer>,
    Path(reference): Path<String>,
) -> Result<Json<Document>> {
    let reader = reader(peer)?;
    let document = platform.document(&reference.parse()?, reader).await?;
    document.map(Json).ok_or_else(no_such_project)
}

/// Which project an API key belongs to.
///
/// Errors: `project_not_found` (404) for an unknown key.
#[utoipa::path(get, path = "/internal/keys/{sha256}", operation_id = "find_key_owner",
    params(("sha256" = String, Path)), responses((status = 200, description = "the owner")))]
pub(crate) async fn key_owner(
    State(platform): State<Platform>,
    peer: Option<Peer>,
    Path(sha256): Path<String>,
) -> Result<Json<Owner>> {
    reader(peer)?;
    let reference = platform.key_owner(&sha256).await?.ok_or_else(no_such_project)?;
    Ok(Json(Owner { reference }))
}

/// The only project there is.
///
/// Errors: `project_not_found` (404) once there are several.
#[utoipa::path(get, path = "/internal/sole-project", operation_id = "find_sole_project",
    responses((status = 200, description = "the project")))]
pub(crate) async fn sole_project(
    State(platform): State<Platform>,
    peer: Option<Peer>,
) -> Result<Json<Owner>> {
    reader(peer)?;
    match &platform.list().await?[..] {
        [project] => Ok(Json(Owner { reference: project.reference.clone() })),
        _ => Err(no_such_project()),
    }
}

/// Where a watcher left off.
#[derive(Deserialize)]
pub(crate) struct Since {
    #[serde(default)]
    since: i64,
}

/// NDJSON of changed projects, without an end.
#[utoipa::path(get, path = "/internal/changes", operation_id = "watch_projects",
    params(("since" = i64, Query)), responses((status = 200, content_type = "application/x-ndjson")))]
pub(crate) async fn changes(
    State(platform): State<Platform>,
    peer: Option<Peer>,
    Query(since): Query<Since>,
) -> Result<Response> {
    reader(peer)?;
    http::Response::builder()
        .header(http::header::CONTENT_TYPE, "application/x-ndjson")
        .body(platform.0.changes.stream(since.since))
        .or_internal()
}

/// Nothing more to say.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done {}

/// Starts the project's database if it is stopped; answers when it accepts connections.
#[utoipa::path(post, path = "/internal/projects/{reference}/wake", operation_id = "wake_project",
    params(("reference" = String, Path)), responses((status = 200, body = Done)))]
pub(crate) async fn wake(
    State(platform): State<Platform>,
    peer: Option<Peer>,
    Path(reference): Path<String>,
) -> Result<Json<Done>> {
    reader(peer)?;
    platform.wake(&reference.parse()?).await?;
    Ok(Json(Done {}))
}

/// A mail that a service wants delivered.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Mail {
    to: String,
    subject: String,
    html: String,
}

/// Largest mail that is kept, in bytes of HTML.
const MAX_MAIL_BYTES: usize = 256 * 1024;

/// Keeps a mail in the console's inbox.
#[utoipa::path(post, path = "/internal/projects/{reference}/mail", operation_id = "receive_mail",
    params(("reference" = String, Path)), request_body = Mail, responses((status = 200, body = Done)))]
pub(crate) async fn receive_mail(
    State(platform): State<Platform>,
    peer: Option<Peer>,
    Path(reference): Path<String>,
    body: Body,
) -> Result<Json<Done>> {
    reader(peer)?;
    let bytes = axum::body::to_bytes(body, MAX_MAIL_BYTES)
        .await
        .map_err(|error| BAD_REQUEST.error("the mail is too large").caused_by(error))?;
    let mail: Mail = serde_json::from_slice(&bytes)
        .map_err(|error| BAD_REQUEST.error("the mail cannot be read").caused_by(error))?;
    let reference: ProjectRef = reference.parse()?;
    let project = platform.find(&reference).await?.ok_or_else(no_such_project)?;
    let mail = inbox::NewMail { to: &mail.to, subject: &mail.subject, html: &mail.html };
    platform.keep_mail(project.id, mail).await?;
    Ok(Json(Done {}))
}

/// Who asks. A request without a mesh identity came past the sidecar: it gets nothing.
fn reader(peer: Option<Peer>) -> Result<Reader> {
    peer.and_then(|Peer(name)| Reader::of(&name)).ok_or_else(|| FORBIDDEN.error("only services may ask"))
}

fn no_such_project() -> base::Error {
    PROJECT_NOT_FOUND.error("no such project")
}
