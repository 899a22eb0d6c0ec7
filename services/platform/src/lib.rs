//! The platform service: projects, their keys, settings and databases, and the inbox of projects without SMTP.
//!
//! It alone reads and writes the platform database. Others get project documents from it over the mesh, filtered by
//! who asks. Three routers: [`start`]'s is for peers, [`admin`] for the owner's UNIX socket, [`console`] for a browser.

mod changes;
pub mod console;
pub mod models;
pub mod provision;
mod routes;

use std::sync::Arc;

use base::Result;
use base::seal::MasterKey;
use common::service::{Envelope, onion};
use common::{Dependencies, Outbound, Service};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::provision::Provision;

pub use routes::admin::{CreateProject, Listed, router as admin};

/// The platform's state. Cheap to clone.
#[derive(Clone)]
pub struct Platform(Arc<Inner>);

struct Inner {
    db: PgPool,
    master: MasterKey,
    provision: Box<dyn Provision>,
    changes: changes::Changes,
    outbound: Outbound,
    clock: base::Clock,
    random: base::Random,
    /// Projects made at once. Each holds one of the pool's connections for seconds and needs another meanwhile.
    creating: Semaphore,
}

/// How many projects are made at once; the others wait.
const CREATED_AT_ONCE: usize = 2;

impl Platform {
    /// Opens the platform on its migrated database and follows its changes.
    pub fn open(
        db: PgPool,
        master: MasterKey,
        provision: Box<dyn Provision>,
        deps: &Dependencies,
    ) -> Platform {
        let changes = changes::Changes::follow(db.clone(), &deps.tasks);
        let (outbound, clock, random) = (deps.outbound.clone(), deps.clock.clone(), deps.random.clone());
        let creating = Semaphore::new(CREATED_AT_ONCE);
        Platform(Arc::new(Inner { db, master, provision, changes, outbound, clock, random, creating }))
    }
}

/// The routes for peers.
fn routes() -> OpenApiRouter<Platform> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(routes::internal::document))
        .routes(routes!(routes::internal::key_owner))
        .routes(routes!(routes::internal::sole_project))
        .routes(routes!(routes::internal::changes))
        .routes(routes!(routes::internal::wake))
        .routes(routes!(routes::internal::receive_mail))
}

/// Starts the service.
pub fn start(platform: Platform, deps: &Dependencies) -> Service {
    let envelope = Envelope { write: routes::envelope };
    onion("platform", routes().with_state(platform), None, deps, envelope)
}

/// The service's OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Meshbase platform",
    description = "Project documents and mail, for the services of one installation.",
    license(name = "Apache-2.0")
))]
struct Document;

/// Opens a pool on the platform's migrated database.
pub async fn connect(options: sqlx::postgres::PgConnectOptions) -> Result<PgPool> {
    use base::error::OrInternal;
    sqlx::postgres::PgPoolOptions::new()
        .max_connections(8)
        .min_connections(0)
        .acquire_timeout(std::time::Duration::from_secs(5))
        .connect_with(options)
        .await
        .or_internal()
}
