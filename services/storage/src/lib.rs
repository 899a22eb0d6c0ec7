//! Storage: buckets and objects under row-level security, compatible with the Supabase storage API.
//!
//! Rows are in each project's own database, bytes in a folder (`blobs`); `upload` says how the two stay together.

mod admission;
mod blobs;
mod client;
mod config;
mod cursor;
mod error;
mod extract;
mod form;
mod incoming;
mod lenient;
mod lookup;
mod mime;
mod models;
mod name;
mod operation;
mod range;
mod robots;
mod routes;
mod runner;
mod serve;
mod session;
mod size;
mod timestamp;
mod token;
mod upload;
mod url_keys;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use base::{Clock, Random, Request, Response, Result};
use common::service::onion;
use common::{Databases, Dependencies, Projects, Revocations, Service};
use tower::ServiceExt;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::{Components, Content, OpenApi, Ref, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::admission::Admission;
use crate::blobs::Blobs;
pub use crate::config::Config;
use crate::error::ErrorBody;
use crate::routes::{
    bucket, download, info, list, remove, sign, sign_upload, transfer, upload as uploading, usage,
};
use crate::runner::Runner;
use crate::url_keys::UrlKeys;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
struct Storage {
    databases: Databases,
    blobs: Blobs,
    runner: Runner,
    url_keys: UrlKeys,
    admission: Admission,
    revocations: Revocations,
    clock: Clock,
    random: Random,
}

/// Starts the service.
///
/// Errors: the folder of the bytes cannot be made or opened.
pub fn start(config: Config, deps: Dependencies) -> Result<Service> {
    let blobs = Blobs::open(&config.dir.clone().unwrap_or_else(|| deps.state_dir.join("blobs")))?;
    let projects = Projects::start(deps.outbound.clone(), deps.state_dir.clone(), &deps.tasks);
    let databases = Databases::new(projects.clone(), config.budget());
    let storage = Storage {
        runner: Runner::new(projects.clone(), databases.clone(), blobs.clone(), deps.tasks.clone()),
        databases,
        blobs,
        url_keys: UrlKeys::new(deps.random.clone()),
        admission: Admission::new(config.max_uploads, config.max_uploads_per_project),
        revocations: Revocations::new(deps.outbound.clone(), deps.tasks.clone()),
        clock: deps.clock.clone(),
        random: deps.random.clone(),
    };
    Ok(onion("storage", api().with_state(storage), Some(projects), &deps, error::ENVELOPE))
}

/// The document of the API.
pub fn openapi() -> OpenApi {
    documented(api().into_openapi())
}

/// Every route. A fixed word after `/object/` wins over a bucket of that name; see [`shadowing`].
fn api() -> OpenApiRouter<Storage> {
    OpenApiRouter::new()
        .routes(routes!(bucket::list, bucket::create))
        .routes(routes!(bucket::get, bucket::update, bucket::delete))
        .routes(routes!(bucket::empty))
        .routes(shadowing(routes!(transfer::move_object)))
        .routes(shadowing(routes!(transfer::copy)))
        .routes(shadowing(routes!(list::list)))
        .routes(shadowing(routes!(list::list_v2)))
        .routes(shadowing(routes!(sign::create_many)))
        .routes(shadowing(routes!(sign::create, sign::get)))
        .routes(shadowing(routes!(sign_upload::create, sign_upload::upload)))
        .routes(shadowing(routes!(info::any)))
        .routes(shadowing(routes!(info::authenticated)))
        .routes(shadowing(routes!(info::public)))
        .routes(shadowing(routes!(download::get_authenticated, download::head_authenticated)))
        .routes(shadowing(routes!(download::get_public, download::head_public)))
        .routes(routes!(usage::get))
        .merge(named())
}

/// The routes where the first part of the path is a bucket.
fn named() -> OpenApiRouter<Storage> {
    OpenApiRouter::new().routes(routes!(remove::many)).routes(routes!(
        uploading::upload,
        uploading::update,
        remove::one,
        download::get_any,
        download::head_any
    ))
}

/// Routes whose fixed word may also be a bucket's name, such as `public`: a method that they do not have is meant for
/// that bucket. So `POST /object/public/a/b.png` uploads `a/b.png` to the bucket `public`.
fn shadowing(routes: UtoipaMethodRouter<Storage>) -> UtoipaMethodRouter<Storage> {
    routes.map(|methods| methods.fallback(in_bucket_of_that_name))
}

async fn in_bucket_of_that_name(State(storage): State<Storage>, request: Request) -> Response {
    let no_route = async || base::error::NOT_FOUND.error("no such route");
    let by_name = Router::from(named()).fallback(no_route).method_not_allowed_fallback(no_route);
    by_name.with_state(storage).oneshot(request).await.into_response()
}

/// The document as clients read it: a key is one parameter, slashes and all, and every operation has its errors.
fn documented(mut openapi: OpenApi) -> OpenApi {
    openapi.info.title = "Storage".to_owned();
    openapi.info.description =
        Some("Buckets and objects, compatible with the Supabase storage API.".to_owned());
    let schemas = &mut openapi.components.get_or_insert_with(Components::default).schemas;
    schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    let paths = std::mem::take(&mut openapi.paths.paths);
    openapi.paths.paths =
        paths.into_iter().map(|(path, item)| (path.replace("{*key}", "{key}"), with_errors(item))).collect();
    openapi
}

fn with_errors(mut item: PathItem) -> PathItem {
    let schema = Ref::from_schema_name(ErrorBody::name());
    let refused = ResponseBuilder::new()
        .description("Refused: mostly 400, with the true status inside")
        .content("application/json", Content::new(Some(schema)))
        .build();
    let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.head];
    for operation in operations.into_iter().flatten() {
        operation.responses.responses.insert("default".to_owned(), refused.clone().into());
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_an_id_of_its_own() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut ids: Vec<&str> = Vec::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                ids.push(operation["operationId"].as_str().expect("an operation has an id"));
            }
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();

        assert_eq!(ids.len(), count);
        assert!(count > 0);
    }
}
