//! What an operator asks, over the replica's UNIX socket: whoever may open it may do everything here.

mod answers;

use std::collections::BTreeMap;

use axum::extract::{Path, Query, RawQuery, State};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use base::Result;
use base::error::{BAD_REQUEST, NOT_FOUND, OrInternal};
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::Control;
use crate::demand::Demand;
use crate::doors::envelope;
use crate::resources::{Key, Resources, documents};

/// Largest file that is applied, in bytes.
const MAX_FILE: usize = 16 * 1024 * 1024;

/// The routes.
pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/resources", get(resources))
        .route("/apply", post(apply))
        .route("/history", get(history))
        .route("/rollback", post(rollback))
        .route("/edges", get(edges))
        .route("/endpoints", get(endpoints))
        .route("/demand", get(demand))
        .route("/mesh", get(mesh))
        .route("/tap", get(tap))
        .route("/explain", post(explain))
        .route("/tokens", get(tokens).post(make_token))
        .route("/tokens/{id}", delete(revoke_token))
        .route("/ca", get(roots))
        .route("/ca/rotate", post(rotate))
        .route("/denied", get(denied).post(deny).delete(forgive))
        .route("/readyz", get(async || "ready\n"))
        .fallback(async || NOT_FOUND.error("no such path"))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_FILE))
        .layer(axum::middleware::map_response(envelope))
        .with_state(control)
}

/// Revision, replicas, and the proxies on all of them.
async fn status(State(control): State<Control>) -> Result<Json<answers::Status>> {
    control.status().await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRevision {
    revision: Option<i64>,
}

/// The documents of a revision; of the one in force if none is named.
async fn resources(State(control): State<Control>, Query(of): Query<OfRevision>) -> Result<Json<Value>> {
    let store = &control.0.store;
    let revision = match of.revision {
        Some(id) => store.revision(id).await?,
        None => store.latest().await?,
    };
    Ok(Json(json!({ "revision": revision.id, "resources": revision.resources })))
}

/// Documents to put in force.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    /// What it is called in messages.
    file: String,
    /// YAML or JSON, `---` between documents.
    text: String,
    /// Documents to take away, `Kind/name`.
    #[serde(default)]
    remove: Vec<String>,
    /// Who.
    author: String,
    /// Why.
    #[serde(default)]
    reason: String,
    /// The revision that it was made from; the one in force if none is named.
    base: Option<i64>,
    /// Whether to only say what would change.
    #[serde(default)]
    dry_run: bool,
}

/// Puts documents in force: all of them, or none.
///
/// Errors: `invalid_resource` (400) with a line for each mistake, `conflict` (409).
async fn apply(State(control): State<Control>, Json(asked): Json<Apply>) -> Result<Json<answers::Applied>> {
    let documents = documents(&asked.file, &asked.text)?;
    let remove = asked.remove.iter().map(|key| parse_key(key)).collect::<Result<Vec<_>>>()?;
    let latest = control.0.store.latest().await?;
    let base = asked.base.unwrap_or(latest.id);
    let at: BTreeMap<Key, String> =
        documents.iter().map(|document| (document.key.clone(), document.at.clone())).collect();
    let put = documents.into_iter().map(|document| (document.key, document.spec));
    let next = latest.resources.changed(put, &remove);
    next.checked(&control.0.config.trust_domain, |key| at.get(key).cloned())?;
    control.put(base, &latest.resources, &next, &asked.author, &asked.reason, asked.dry_run).await.map(Json)
}

/// The last revisions.
async fn history(State(control): State<Control>) -> Result<Json<Value>> {
    Ok(Json(json!({ "revisions": control.0.store.history(50).await? })))
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    revision: i64,
    author: String,
    #[serde(default)]
    dry_run: bool,
}

/// Puts what a revision had in force again, as a new one.
///
/// Errors: `no_such_revision` (404), `conflict` (409), and `invalid_resource` (400) if it cannot be any more.
async fn rollback(
    State(control): State<Control>,
    Json(asked): Json<Rollback>,
) -> Result<Json<answers::Applied>> {
    let (latest, old) = (control.0.store.latest().await?, control.0.store.revision(asked.revision).await?);
    old.resources.checked(&control.0.config.trust_domain, |_| None)?;
    let reason = format!("back to revision {}", asked.revision);
    let applied =
        control.put(latest.id, &latest.resources, &old.resources, &asked.author, &reason, asked.dry_run);
    applied.await.map(Json)
}

/// The calls of the last minute, by edge of the service graph.
async fn edges(State(control): State<Control>) -> Result<Json<Value>> {
    Ok(Json(json!({ "edges": control.edges().await? })))
}

/// Who is found.
async fn endpoints(State(control): State<Control>) -> Json<Value> {
    let world = control.0.worlds.now();
    let one = |one: &crate::store::Registered| {
        json!({ "service": one.service, "instance": one.instance, "address": one.presence.address,
                "zone": one.presence.zone, "weight": one.presence.weight })
    };
    Json(json!({ "endpoints": world.registered.iter().map(one).collect::<Vec<_>>() }))
}

/// What is under way and what waits, by service: what an autoscaler looks at.
async fn demand(State(control): State<Control>) -> Result<Json<BTreeMap<String, Demand>>> {
    control.demand().await.map(Json)
}

/// Events as NDJSON until the client goes: the query is a filter, as at a proxy's own admin socket.
///
/// Errors: `bad_request` (400), `too_many_taps` (429).
async fn tap(State(control): State<Control>, RawQuery(query): RawQuery) -> Result<impl IntoResponse> {
    let body = crate::taps::look(&control, query.as_deref().unwrap_or_default()).await?;
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body))
}

/// A request that is only thought of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Imagined {
    /// The service that makes it.
    from: String,
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

/// What would become of a request, step by step, and where it would go.
///
/// Errors: `bad_request` (400).
async fn explain(State(control): State<Control>, Json(asked): Json<Imagined>) -> Result<Json<Value>> {
    let mut request = http::Request::builder().method(asked.method.as_str()).uri(asked.url.as_str());
    for (name, value) in &asked.headers {
        request = request.header(name, value);
    }
    let request = request.body(base::Body::empty());
    let request = request.map_err(|error| BAD_REQUEST.error(format!("there is no such request: {error}")))?;
    let world = control.0.worlds.now();
    let mut mesh = world.applied.mesh.clone();
    mesh.denied = world.denied.iter().cloned().collect();
    if !mesh.services.contains_key(&asked.from) {
        return Err(BAD_REQUEST.error(format!("there is no service {}", asked.from)));
    }
    // with many routes it takes its time
    let explained = spawn_blocking(move || mesh::explain(mesh, &asked.from, request)).await.or_internal()?;
    let explained = explained.map_err(|error| BAD_REQUEST.error(error))?;
    let is_meant = |one: &&crate::store::Registered| explained.services.contains(&one.service);
    let endpoints: Vec<Value> = world
        .registered
        .iter()
        .filter(is_meant)
        .map(|one| json!({ "service": one.service, "address": one.presence.address }))
        .collect();
    Ok(Json(json!({ "steps": explained.steps, "arrives": explained.arrives, "endpoints": endpoints })))
}

/// The mesh in force.
async fn mesh(State(control): State<Control>) -> Json<Value> {
    let world = control.0.worlds.now();
    let mut mesh = world.applied.mesh.clone();
    mesh.denied = world.denied.iter().cloned().collect();
    Json(mesh::admin::config(&world.applied.revision.to_string(), &mesh))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeToken {
    service: String,
}

/// A token that lets a service in, shown once.
async fn make_token(State(control): State<Control>, Json(asked): Json<MakeToken>) -> Result<Json<Value>> {
    let (id, token) = control.0.authority.make_token(&asked.service).await?;
    Ok(Json(json!({ "id": id, "token": token.to_text().expose() })))
}

async fn tokens(State(control): State<Control>) -> Result<Json<Value>> {
    Ok(Json(json!({ "tokens": control.0.store.tokens().await? })))
}

/// Errors: `not_found` (404).
async fn revoke_token(State(control): State<Control>, Path(id): Path<Uuid>) -> Result<Json<Value>> {
    match control.0.store.revoke_token(id).await? {
        true => Ok(Json(json!({}))),
        false => Err(NOT_FOUND.error(format!("no token {id} is good"))),
    }
}

async fn roots(State(control): State<Control>) -> Result<Json<Value>> {
    let mut roots = control.0.store.roots().await?;
    roots.retain(|root| root.is_trusted);
    let one = |root: &crate::store::Root| json!({ "id": root.id, "signs": root.is_active, "certificate": root.certificate });
    // only the newest that may sign does
    let mut shown: Vec<Value> = roots.iter().map(one).collect();
    let mut signs = false;
    for root in &mut shown {
        let may = root["signs"] == true;
        root["signs"] = json!(may && !signs);
        signs |= may;
    }
    Ok(Json(json!({ "trust_domain": control.0.config.trust_domain, "roots": shown })))
}

async fn rotate(State(control): State<Control>) -> Result<Json<Value>> {
    Ok(Json(json!({ "id": control.0.authority.rotate().await? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denied {
    service: String,
    #[serde(default)]
    reason: String,
}

async fn denied(State(control): State<Control>) -> Result<Json<Value>> {
    Ok(Json(json!({ "denied": control.0.store.denied().await? })))
}

/// Nobody talks to the service any more: its connections are cut.
async fn deny(State(control): State<Control>, Json(asked): Json<Denied>) -> Result<Json<Value>> {
    let identity = control.0.authority.identity(&asked.service)?;
    control.0.store.deny(identity.as_str(), &asked.reason).await?;
    control.look_again().await?;
    Ok(Json(json!({ "denied": identity.as_str() })))
}

async fn forgive(State(control): State<Control>, Json(asked): Json<Denied>) -> Result<Json<Value>> {
    let identity = control.0.authority.identity(&asked.service)?;
    control.0.store.forgive(identity.as_str()).await?;
    control.look_again().await?;
    Ok(Json(json!({ "forgiven": identity.as_str() })))
}

impl Control {
    async fn put(
        &self,
        base: i64,
        from: &Resources,
        to: &Resources,
        author: &str,
        reason: &str,
        dry_run: bool,
    ) -> Result<answers::Applied> {
        let changes: Vec<answers::Change> =
            from.difference(to).into_iter().map(answers::Change::of).collect();
        if dry_run || changes.is_empty() {
            return Ok(answers::Applied { revision: base, changes });
        }
        let revision = self.0.store.apply(base, to, author, reason).await?;
        self.look_again().await?;
        Ok(answers::Applied { revision, changes })
    }
}

fn parse_key(text: &str) -> Result<Key> {
    let wrong = || BAD_REQUEST.error(format!("{text:?} is no Kind/name"));
    let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
    let kind = serde_json::from_value(json!(kind)).map_err(|_: serde_json::Error| wrong())?;
    Ok(Key { kind, name: name.to_owned() })
}
