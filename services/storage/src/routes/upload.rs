//! Uploads by callers with a token.

use axum::Json;
use axum::body::Body;
use base::Result;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::ObjectPath;
use crate::operation::{OBJECT_UPLOAD, OBJECT_UPLOAD_UPDATE, Operation};
use crate::session::{Authenticated, Session};
use crate::upload::{Target, receive};

const UPSERT: HeaderName = HeaderName::from_static("x-upsert");

/// A stored object.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Uploaded {
    id: Uuid,
    /// `bucket/key`.
    key: String,
}

/// Uploads an object: the body is the file, or a form with a few fields and then the file.
///
/// Headers of the first kind: `content-type`, `cache-control`, `content-encoding`, `x-metadata` (base64 of JSON),
/// `x-robots-tag`, `x-upsert` (`true` to replace). Fields of the other: `cacheControl` (seconds), `metadata` (JSON),
/// `contentType`, `contentEncoding`.
#[utoipa::path(
    post, path = "/object/{bucket}/{*key}", operation_id = "upload_object",
    params(ObjectPath),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Uploaded)),
)]
pub(crate) async fn upload(
    Authenticated(session): Authenticated,
    path: ObjectPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Uploaded>> {
    let overwrite = wants_upsert(&headers);
    store(&session, OBJECT_UPLOAD, &path, overwrite, &headers, body).await.map(Json)
}

/// Uploads an object, replacing the one that is there.
#[utoipa::path(
    put, path = "/object/{bucket}/{*key}", operation_id = "update_object",
    params(ObjectPath),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Uploaded)),
)]
pub(crate) async fn update(
    Authenticated(session): Authenticated,
    path: ObjectPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Uploaded>> {
    store(&session, OBJECT_UPLOAD_UPDATE, &path, true, &headers, body).await.map(Json)
}

async fn store(
    session: &Session,
    operation: Operation,
    path: &ObjectPath,
    overwrite: bool,
    headers: &HeaderMap,
    body: Body,
) -> Result<Uploaded> {
    let target = Target { bucket: &path.bucket, key: &path.key, owner: session.owner(), overwrite };
    let id = receive(session, operation, &target, headers, body).await?;
    Ok(Uploaded { id, key: path.full_name() })
}

/// `x-upsert: true`.
pub(crate) fn wants_upsert(headers: &HeaderMap) -> bool {
    headers.get(UPSERT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}
