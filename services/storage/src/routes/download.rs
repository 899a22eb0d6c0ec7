//! Downloads, and the headers of a download alone: by token, or from a public bucket.

use base::{Response, Result};
use http::HeaderMap;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::{ObjectPath, Query};
use crate::lookup::{Lookup, Permission};
use crate::operation::{
    OBJECT_GET_AUTHENTICATED, OBJECT_GET_PUBLIC, OBJECT_HEAD, OBJECT_INFO_PUBLIC, Operation,
};
use crate::serve::{Presentation, Serving};
use crate::session::{Authenticated, Optional, Session, Unauthenticated};

/// How to serve an object.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DownloadQuery {
    /// To be saved, under this name unless it is empty.
    download: Option<String>,
    /// The version, if only that will do.
    #[serde(rename = "versionId")]
    version_id: Option<String>,
}

/// Downloads an object that the caller may see. `Range` asks for a part of it.
#[utoipa::path(
    get, path = "/object/authenticated/{bucket}/{*key}", operation_id = "download_object_authenticated",
    params(ObjectPath, DownloadQuery),
    responses((status = 200, content_type = "*/*"), (status = 206), (status = 304), (status = 416)),
)]
pub(crate) async fn get_authenticated(
    Authenticated(session): Authenticated,
    path: ObjectPath,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    get(&session, OBJECT_GET_AUTHENTICATED, &path, &query, &headers).await
}

/// The headers of such a download.
#[utoipa::path(
    head, path = "/object/authenticated/{bucket}/{*key}", operation_id = "head_object_authenticated",
    params(ObjectPath, DownloadQuery),
    responses((status = 200), (status = 304)),
)]
pub(crate) async fn head_authenticated(
    Authenticated(session): Authenticated,
    path: ObjectPath,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    head(&session, OBJECT_HEAD, &path, &query, &headers).await
}

/// Downloads an object; without a good token, from a public bucket only.
#[utoipa::path(
    get, path = "/object/{bucket}/{*key}", operation_id = "download_object",
    params(ObjectPath, DownloadQuery),
    responses((status = 200, content_type = "*/*"), (status = 206), (status = 304), (status = 416)),
)]
pub(crate) async fn get_any(
    Optional(session): Optional,
    path: ObjectPath,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    get(&session, OBJECT_GET_AUTHENTICATED, &path, &query, &headers).await
}

/// The headers of such a download.
#[utoipa::path(
    head, path = "/object/{bucket}/{*key}", operation_id = "head_object",
    params(ObjectPath, DownloadQuery),
    responses((status = 200), (status = 304)),
)]
pub(crate) async fn head_any(
    Optional(session): Optional,
    path: ObjectPath,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    head(&session, OBJECT_HEAD, &path, &query, &headers).await
}

/// Downloads an object of a public bucket.
#[utoipa::path(
    get, path = "/object/public/{bucket}/{*key}", operation_id = "download_object_public",
    params(ObjectPath, DownloadQuery),
    responses((status = 200, content_type = "*/*"), (status = 206), (status = 304), (status = 416)),
)]
pub(crate) async fn get_public(
    Unauthenticated(session): Unauthenticated,
    path: ObjectPath,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    get(&session, OBJECT_GET_PUBLIC, &path, &query, &headers).await
}

/// The headers of such a download.
#[utoipa::path(
    head, path = "/object/public/{bucket}/{*key}", operation_id = "head_object_public",
    params(ObjectPath, DownloadQuery),
    responses((status = 200), (status = 304)),
)]
pub(crate) async fn head_public(
    Unauthenticated(session): Unauthenticated,
    path: ObjectPath,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    head(&session, OBJECT_INFO_PUBLIC, &path, &query, &headers).await
}

async fn get(
    session: &Session,
    operation: Operation,
    path: &ObjectPath,
    query: &DownloadQuery,
    headers: &HeaderMap,
) -> Result<Response> {
    query.lookup(session, operation, path).serve(headers, &query.presentation()).await
}

async fn head(
    session: &Session,
    operation: Operation,
    path: &ObjectPath,
    query: &DownloadQuery,
    headers: &HeaderMap,
) -> Result<Response> {
    let object = query.lookup(session, operation, path).find().await?;
    Serving::new(&object, headers, &query.presentation()).head()
}

impl DownloadQuery {
    fn lookup<'a>(&'a self, session: &'a Session, operation: Operation, path: &'a ObjectPath) -> Lookup<'a> {
        let version = self.version_id.as_deref();
        Lookup { session, operation, permission: Permission::BucketOrCaller, path, version }
    }

    fn presentation(&self) -> Presentation<'_> {
        Presentation { download: self.download.as_deref(), expires: None }
    }
}
