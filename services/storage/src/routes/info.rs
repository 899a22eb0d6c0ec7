//! What is known of an object, as JSON.

use axum::Json;
use axum::response::IntoResponse;
use base::{Response, Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::{ObjectPath, Query};
use crate::lookup::{Lookup, Permission};
use crate::models::object::StoredObject;
use crate::operation::{OBJECT_GET_INFO, OBJECT_INFO_PUBLIC, Operation};
use crate::serve::validators;
use crate::session::{Authenticated, Optional, Session, Unauthenticated};
use crate::timestamp;

/// What is known of an object.
#[derive(Serialize, ToSchema)]
pub(crate) struct Info {
    id: Uuid,
    name: String,
    version: Option<String>,
    bucket_id: String,
    /// In bytes.
    size: Option<u64>,
    content_type: Option<String>,
    cache_control: Option<String>,
    content_encoding: Option<String>,
    etag: Option<String>,
    /// The user's own metadata.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    #[serde(serialize_with = "timestamp::nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_modified: Option<Timestamp>,
    #[serde(serialize_with = "timestamp::nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
    /// Always null here: buckets keep one version.
    #[schema(value_type = Option<String>)]
    archived_at: Option<()>,
    is_delete_marker: bool,
    is_versioned: bool,
}

impl From<StoredObject> for Info {
    fn from(object: StoredObject) -> Info {
        let facts = object.facts();
        Info {
            id: object.id,
            name: object.name,
            version: object.version,
            bucket_id: object.bucket_id,
            size: facts.size,
            content_type: facts.mimetype,
            cache_control: facts.cache_control,
            content_encoding: facts.content_encoding,
            etag: facts.e_tag,
            metadata: object.user_metadata,
            last_modified: object.updated_at,
            created_at: object.created_at,
            archived_at: None,
            is_delete_marker: false,
            is_versioned: false,
        }
    }
}

/// Which version to tell of.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct InfoQuery {
    /// The version, if only that will do.
    #[serde(rename = "versionId")]
    version_id: Option<String>,
}

/// Tells of an object; without a good token, in a public bucket only.
#[utoipa::path(
    get, path = "/object/info/{bucket}/{*key}", operation_id = "get_object_info",
    params(ObjectPath, InfoQuery),
    responses((status = 200, body = Info)),
)]
pub(crate) async fn any(
    Optional(session): Optional,
    path: ObjectPath,
    Query(query): Query<InfoQuery>,
) -> Result<Response> {
    info(&session, OBJECT_GET_INFO, &path, &query).await
}

/// Tells of an object that the caller may see.
#[utoipa::path(
    get, path = "/object/info/authenticated/{bucket}/{*key}", operation_id = "get_object_info_authenticated",
    params(ObjectPath, InfoQuery),
    responses((status = 200, body = Info)),
)]
pub(crate) async fn authenticated(
    Authenticated(session): Authenticated,
    path: ObjectPath,
    Query(query): Query<InfoQuery>,
) -> Result<Response> {
    info(&session, OBJECT_GET_INFO, &path, &query).await
}

/// Tells of an object of a public bucket.
#[utoipa::path(
    get, path = "/object/info/public/{bucket}/{*key}", operation_id = "get_object_info_public",
    params(ObjectPath, InfoQuery),
    responses((status = 200, body = Info)),
)]
pub(crate) async fn public(
    Unauthenticated(session): Unauthenticated,
    path: ObjectPath,
    Query(query): Query<InfoQuery>,
) -> Result<Response> {
    info(&session, OBJECT_INFO_PUBLIC, &path, &query).await
}

async fn info(
    session: &Session,
    operation: Operation,
    path: &ObjectPath,
    query: &InfoQuery,
) -> Result<Response> {
    let (permission, version) = (Permission::BucketOrCaller, query.version_id.as_deref());
    let object = Lookup { session, operation, permission, path, version }.find().await?;
    let (facts, modified_at) = (object.facts(), object.updated_at);
    let mut response = Json(Info::from(object)).into_response();
    validators(response.headers_mut(), &facts, modified_at)?;
    Ok(response)
}
