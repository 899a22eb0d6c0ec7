//! The data service: REST over a project's own PostgreSQL, in PostgREST's wire protocol.
//!
//! A request goes one way: parse (`request`) → plan (`plan`, by the schema cache of `schema`) → render
//! (`render`, the only place that writes SQL) → execute (`execute`) → respond (`respond`). The first three
//! are pure. PostgreSQL decides who may do what: each request runs in a transaction of the caller's role.

mod batch;
mod caller;
mod config;
mod custom_headers;
mod document;
mod drop_in;
mod error;
mod execute;
mod given;
mod media;
mod nested;
mod pipeline;
mod plan;
mod plan_cache;
mod render;
mod request;
mod respond;
mod role_claim;
mod routes;
mod schema;
mod settings;
mod snapshot;
mod timing;
mod visit;

use std::sync::Arc;

use base::{Clock, Error, Response};
use common::db::Budget;
use common::service::{Envelope, onion};
use common::{Dependencies, Projects, Revocations, Service};
use http::HeaderMap;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

pub use config::Config;
pub use drop_in::{DropIn, Lone, Place};
use execute::Actives;
use execute::kept::Kept;
pub use settings::{Settings, TransactionEnd};

/// What every handler shares.
pub(crate) struct Data {
    actives: Actives,
    /// None where sessions do not end before their tokens.
    revocations: Option<Revocations>,
    clock: Clock,
    max_body_bytes: usize,
}

/// Starts the service. Databases are connected to when a project is first asked for.
pub fn start(config: Config, deps: Dependencies) -> base::Result<Service> {
    let projects = Projects::start(deps.outbound.clone(), deps.state_dir.clone(), &deps.tasks);
    let revocations = Revocations::new(deps.outbound.clone(), deps.tasks.clone());
    let data = Data::new(projects.clone(), config.budget(), config.max_body_bytes, Some(revocations), &deps);
    Ok(serve(Arc::new(data), projects, &deps, error::envelope::write))
}

impl Data {
    fn new(
        projects: Projects,
        budget: Budget,
        max_body_bytes: usize,
        revocations: Option<Revocations>,
        deps: &Dependencies,
    ) -> Data {
        let kept = Kept::under(&deps.state_dir);
        let actives = Actives::start(projects, budget, kept, deps.tasks.clone(), deps.clock.clone());
        Data { actives, revocations, clock: deps.clock.clone(), max_body_bytes }
    }
}

fn serve(
    data: Arc<Data>,
    projects: Projects,
    deps: &Dependencies,
    write: fn(&Error, &HeaderMap) -> Response,
) -> Service {
    let envelope = Envelope { write };
    onion("data", router().with_state(data), Some(projects), deps, envelope)
}

/// The routes' documentation.
pub fn openapi() -> OpenApi {
    let mut openapi = router().into_openapi();
    openapi.info.title = "data".to_owned();
    openapi.info.description = Some("REST over a project's own PostgreSQL.".to_owned());
    openapi
}

/// Every route.
fn router() -> OpenApiRouter<Arc<Data>> {
    OpenApiRouter::new()
        .routes(
            routes!(routes::describe_schema, routes::describe_schema_methods)
                .map(|routes| routes.fallback(routes::no_such_method_here)),
        )
        .routes(routes!(routes::run_batch).map(|routes| routes.fallback(routes::relation_named_batch)))
        .routes(
            routes!(
                routes::read_rows,
                routes::insert_rows,
                routes::update_rows,
                routes::put_row,
                routes::delete_rows,
                routes::describe_relation_methods
            )
            .map(|routes| routes.fallback(routes::query_rows)),
        )
        .routes(
            routes!(routes::call_function_by_query, routes::call_function, routes::describe_function_methods)
                .map(|routes| routes.fallback(routes::query_function)),
        )
}
