//! The handlers. What a request means is decided by its method and path in `request::target`; each operation has a
//! handler of its own so that it has a name.

use std::sync::Arc;

use axum::extract::State;
use base::{Error, Request, Response, Result};
use common::Project;
use http::Method;

use crate::Data;
use crate::error::envelope::{no_such_function_method, no_such_method};
use crate::request::longhand::is_query;
use crate::{batch, pipeline};

/// Describes the schema in OpenAPI 2.0, as far as the caller may use it.
#[utoipa::path(get, path = "/", operation_id = "describe_schema", tag = "schema",
    responses((status = 200, description = "The description", content_type = "application/openapi+json")))]
pub(crate) async fn describe_schema(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::inspect(&data, &project.0, request).await
}

/// Says which methods the root has.
#[utoipa::path(options, path = "/", operation_id = "describe_schema_methods", tag = "schema",
    responses((status = 200, description = "`Allow` names them")))]
pub(crate) async fn describe_schema_methods(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::options(&data, &project.0, request).await
}

/// Does several requests in one transaction; later ones may refer to results of earlier ones.
///
/// Where a relation is called `batch`, a body that is not of the batch's own type is inserted into it.
#[utoipa::path(post, path = "/batch", operation_id = "run_batch", tag = "rows",
    request_body(content_type = "application/vnd.meshbase.batch+json",
        description = "`{\"requests\": [{\"id\", \"method\", \"path\", \"headers\", \"body\"}]}`"),
    responses((status = 200, description = "`{\"responses\": [{\"id\", \"status\", \"headers\", \"body\"}]}`"),
        (status = 400, description = "One request failed, and nothing was done")))]
pub(crate) async fn run_batch(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    batch::answer(&data, &project.0, request).await
}

/// What a relation called `batch` says to the methods that a batch does not have.
pub(crate) async fn relation_named_batch(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    match *request.method() {
        Method::OPTIONS => pipeline::options(&data, &project.0, request).await,
        _ => pipeline::answer(&data, &project.0, request).await,
    }
}

/// Reads rows of a table or view.
#[utoipa::path(get, path = "/{relation}", operation_id = "read_rows", tag = "rows",
    params(("relation" = String, Path, description = "A table or view"),
        ("select" = Option<String>, Query, description = "Columns and embedded relations"),
        ("order" = Option<String>, Query, description = "What to order by"),
        ("limit" = Option<i64>, Query, description = "Most rows"),
        ("offset" = Option<i64>, Query, description = "Rows to skip")),
    responses((status = 200, description = "The rows"), (status = 206, description = "A part of the counted rows"),
        (status = 404, description = "No such relation"), (status = 416, description = "Past the end")))]
pub(crate) async fn read_rows(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::answer(&data, &project.0, request).await
}

/// Inserts rows, or upserts them (`Prefer: resolution=merge-duplicates`).
#[utoipa::path(post, path = "/{relation}", operation_id = "insert_rows", tag = "rows",
    params(("relation" = String, Path, description = "A table or view"),
        ("columns" = Option<String>, Query, description = "The columns to take of each row"),
        ("on_conflict" = Option<String>, Query, description = "The columns of the unique constraint")),
    request_body(content_type = "application/json", description = "A row or an array of rows"),
    responses((status = 201, description = "Inserted"), (status = 200, description = "Merged into rows that were there"),
        (status = 409, description = "A row is there already")))]
pub(crate) async fn insert_rows(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::answer(&data, &project.0, request).await
}

/// Updates the rows that the filters name.
#[utoipa::path(patch, path = "/{relation}", operation_id = "update_rows", tag = "rows",
    params(("relation" = String, Path, description = "A table or view")),
    request_body(content_type = "application/json", description = "The new values"),
    responses((status = 204, description = "Updated"), (status = 200, description = "Updated, and returned")))]
pub(crate) async fn update_rows(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::answer(&data, &project.0, request).await
}

/// Puts one row at its primary key.
#[utoipa::path(put, path = "/{relation}", operation_id = "put_row", tag = "rows",
    params(("relation" = String, Path, description = "A table or view")),
    request_body(content_type = "application/json", description = "The whole row"),
    responses((status = 204, description = "Put"), (status = 201, description = "Inserted, and returned"),
        (status = 200, description = "Replaced, and returned")))]
pub(crate) async fn put_row(data: State<Arc<Data>>, project: Project, request: Request) -> Result<Response> {
    pipeline::answer(&data, &project.0, request).await
}

/// Deletes the rows that the filters name.
#[utoipa::path(delete, path = "/{relation}", operation_id = "delete_rows", tag = "rows",
    params(("relation" = String, Path, description = "A table or view")),
    responses((status = 204, description = "Deleted"), (status = 200, description = "Deleted, and returned")))]
pub(crate) async fn delete_rows(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::answer(&data, &project.0, request).await
}

/// Says which methods a relation has.
#[utoipa::path(options, path = "/{relation}", operation_id = "describe_relation_methods", tag = "rows",
    params(("relation" = String, Path, description = "A table or view")),
    responses((status = 200, description = "`Allow` names them")))]
pub(crate) async fn describe_relation_methods(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::options(&data, &project.0, request).await
}

/// Calls a function that only reads, with its arguments in the query string.
#[utoipa::path(get, path = "/rpc/{function}", operation_id = "call_function_by_query", tag = "functions",
    params(("function" = String, Path, description = "A function")),
    responses((status = 200, description = "The result"), (status = 204, description = "No result"),
        (status = 404, description = "No such function for these arguments")))]
pub(crate) async fn call_function_by_query(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::answer(&data, &project.0, request).await
}

/// Calls a function with its arguments in the body.
#[utoipa::path(post, path = "/rpc/{function}", operation_id = "call_function", tag = "functions",
    params(("function" = String, Path, description = "A function")),
    request_body(content_type = "application/json", description = "The arguments by name"),
    responses((status = 200, description = "The result"), (status = 204, description = "No result"),
        (status = 404, description = "No such function for these arguments")))]
pub(crate) async fn call_function(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::answer(&data, &project.0, request).await
}

/// Says which methods a function has.
#[utoipa::path(options, path = "/rpc/{function}", operation_id = "describe_function_methods", tag = "functions",
    params(("function" = String, Path, description = "A function")),
    responses((status = 200, description = "`Allow` names them")))]
pub(crate) async fn describe_function_methods(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    pipeline::options(&data, &project.0, request).await
}

/// What the root says to a method it lacks.
pub(crate) async fn no_such_method_here(method: Method) -> Error {
    no_such_method(&method)
}

/// `QUERY` reads as GET does, with the query string in the body; what a relation says to other methods it lacks.
pub(crate) async fn query_rows(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    if !is_query(request.method()) {
        return Err(no_such_method(request.method()));
    }
    pipeline::answer(&data, &project.0, request).await
}

/// `QUERY` calls a function that only reads; what a function says to other methods it lacks.
pub(crate) async fn query_function(
    data: State<Arc<Data>>,
    project: Project,
    request: Request,
) -> Result<Response> {
    if !is_query(request.method()) {
        return Err(no_such_function_method(request.method()));
    }
    pipeline::answer(&data, &project.0, request).await
}
