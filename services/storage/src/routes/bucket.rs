//! Buckets: list, get, create, update, empty, delete.

use axum::Json;
use axum::extract::State;
use base::Result;
use common::jobs;
use http::{HeaderMap, HeaderName, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::Storage;
use crate::client::fails_on_unknown_fields;
use crate::config::Settings;
use crate::error::{
    FEATURE_NOT_ENABLED, INVALID_MIME_TYPE, INVALID_REQUEST, OrDatabase, malformed, too_large,
};
use crate::extract::{BucketPath, JsonBody, Query};
use crate::lenient::nullable;
use crate::mime::is_pattern;
use crate::models::bucket::{Bucket, Choices, Filter, Rules};
use crate::models::object::StoredObject;
use crate::name::BucketName;
use crate::operation::{BUCKET_CREATE, BUCKET_DELETE, BUCKET_GET, BUCKET_LIST, BUCKET_UPDATE};
use crate::routes::Message;
use crate::runner::{EMPTY, Empty};
use crate::session::{Authenticated, ServiceRole};
use crate::size::ByteSize;

/// A bucket with more objects than this is not emptied in one go.
const MAX_EMPTIED: i64 = 200_000;
/// Allowed types of one bucket.
const MAX_MIME_TYPES: usize = 1000;

const CLIENT_INFO: HeaderName = HeaderName::from_static("x-client-info");

/// Which buckets to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListQuery {
    /// At least 1.
    limit: Option<u32>,
    offset: Option<u32>,
    /// `id`, `name`, `created_at` or `updated_at`.
    sort_column: Option<String>,
    /// `asc` or `desc`.
    sort_order: Option<String>,
    /// Part of the name, in any case.
    search: Option<String>,
}

/// Lists the buckets that the caller may see.
#[utoipa::path(
    get, path = "/bucket", operation_id = "list_buckets",
    params(ListQuery),
    responses((status = 200, body = [Bucket])),
)]
pub(crate) async fn list(
    Authenticated(session): Authenticated,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Json<Vec<Bucket>>> {
    let filter = query.filter()?;
    let mut tx = session.begin(BUCKET_LIST).await?;
    let mut buckets = Bucket::list(&mut tx, &filter).await?;
    tx.commit().await.or_database()?;
    if is_old_client(&headers) {
        buckets.iter_mut().for_each(Bucket::shorten);
    }
    Ok(Json(buckets))
}

fn is_old_client(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    fails_on_unknown_fields(text(CLIENT_INFO), text(header::USER_AGENT))
}

impl ListQuery {
    fn filter(&self) -> Result<Filter<'_>> {
        let sort_column = self.sort_column.as_deref().unwrap_or("id");
        if !matches!(sort_column, "id" | "name" | "created_at" | "updated_at") {
            return Err(malformed("querystring/sortColumn must be equal to one of the allowed values"));
        }
        let descending = match self.sort_order.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => {
                return Err(malformed("querystring/sortOrder must be equal to one of the allowed values"));
            }
        };
        if self.limit == Some(0) {
            return Err(malformed("querystring/limit must be >= 1"));
        }
        Ok(Filter {
            search: self.search.as_deref().unwrap_or_default(),
            sort_column,
            descending,
            limit: self.limit.map(i64::from),
            offset: self.offset.map(i64::from).unwrap_or_default(),
        })
    }
}

/// Gets a bucket.
#[utoipa::path(
    get, path = "/bucket/{bucket}", operation_id = "get_bucket",
    params(BucketPath),
    responses((status = 200, body = Bucket)),
)]
pub(crate) async fn get(
    Authenticated(session): Authenticated,
    BucketPath { bucket: id }: BucketPath,
    headers: HeaderMap,
) -> Result<Json<Bucket>> {
    let mut tx = session.begin(BUCKET_GET).await?;
    let mut bucket = Bucket::find(&mut tx, &id).await?;
    tx.commit().await.or_database()?;
    if is_old_client(&headers) {
        bucket.shorten();
    }
    Ok(Json(bucket))
}

/// What a new bucket is to be.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewBucket {
    name: String,
    /// The name unless given.
    id: Option<String>,
    #[serde(flatten)]
    changes: BucketChanges,
    /// `STANDARD`; other types are not enabled here.
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// What may be chosen about a bucket.
#[derive(Deserialize, ToSchema)]
pub(crate) struct BucketChanges {
    public: Option<bool>,
    /// Bytes, or text such as `20MB`; null for none but the project's.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ByteSize>)]
    file_size_limit: Option<Option<ByteSize>>,
    /// Such as `image/png` or `image/*`; null for all.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_mime_types: Option<Option<Vec<String>>>,
    /// `DISABLED`; versioning is not enabled here.
    versioning_status: Option<String>,
}

impl BucketChanges {
    fn choices(self, settings: &Settings) -> Result<Choices> {
        if self.versioning_status.as_deref().is_some_and(|status| status != "DISABLED") {
            return Err(not_enabled("object versioning"));
        }
        if let Some(Some(limit)) = self.file_size_limit
            && limit > settings.file_size_limit
        {
            return Err(too_large());
        }
        let mut types = self.allowed_mime_types;
        if let Some(Some(types)) = &mut types {
            types.retain(|kind| !kind.is_empty());
            if types.len() > MAX_MIME_TYPES {
                return Err(malformed(format!(
                    "body/allowed_mime_types must NOT have more than {MAX_MIME_TYPES} items"
                )));
            }
            if let Some(bad) = types.iter().find(|kind| !is_pattern(kind)) {
                let shown: String = bad.chars().take(100).collect();
                return Err(INVALID_MIME_TYPE.error(format!("mime type {shown} is not supported")));
            }
        }
        let bytes = |size: ByteSize| i64::try_from(size.0).unwrap_or(i64::MAX);
        Ok(Choices {
            public: self.public,
            file_size_limit: self.file_size_limit.map(|limit| limit.map(bytes)),
            allowed_mime_types: types,
        })
    }
}

fn not_enabled(feature: &str) -> base::Error {
    FEATURE_NOT_ENABLED.error(format!("The feature {feature} is not enabled for this resource"))
}

/// The name of a created bucket.
#[derive(serde::Serialize, ToSchema)]
pub(crate) struct Created {
    name: String,
}

/// Creates a bucket.
#[utoipa::path(
    post, path = "/bucket", operation_id = "create_bucket",
    request_body = NewBucket,
    responses((status = 200, body = Created)),
)]
pub(crate) async fn create(
    Authenticated(session): Authenticated,
    JsonBody(new): JsonBody<NewBucket>,
) -> Result<Json<Created>> {
    let name = BucketName::parse(&new.name)?;
    let id =
        new.id.as_deref().filter(|id| !id.is_empty()).map_or_else(|| Ok(name.clone()), BucketName::parse)?;
    if new.kind.is_some_and(|kind| kind != "STANDARD") {
        return Err(not_enabled("of other bucket types"));
    }
    let choices = new.changes.choices(&session.settings)?;
    let mut tx = session.begin(BUCKET_CREATE).await?;
    Bucket::create(&mut tx, &id, &name, session.owner(), &choices).await?;
    tx.commit().await.or_database()?;
    Ok(Json(Created { name: new.name }))
}

/// Changes what a bucket allows.
#[utoipa::path(
    put, path = "/bucket/{bucket}", operation_id = "update_bucket",
    params(BucketPath),
    request_body = BucketChanges,
    responses((status = 200, body = Message)),
)]
pub(crate) async fn update(
    Authenticated(session): Authenticated,
    BucketPath { bucket: id }: BucketPath,
    JsonBody(changes): JsonBody<BucketChanges>,
) -> Result<Json<Message>> {
    let named = changes.public.is_some()
        || changes.file_size_limit.is_some()
        || changes.allowed_mime_types.is_some()
        || changes.versioning_status.is_some();
    if !named {
        return Err(malformed("body must have at least one known property"));
    }
    let choices = changes.choices(&session.settings)?;
    let mut tx = session.begin(BUCKET_UPDATE).await?;
    Bucket::update(&mut tx, &id, &choices).await?;
    tx.commit().await.or_database()?;
    Ok(Json(Message { message: "Successfully updated" }))
}

/// Deletes a bucket that is empty.
#[utoipa::path(
    delete, path = "/bucket/{bucket}", operation_id = "delete_bucket",
    params(BucketPath),
    responses((status = 200, body = Message)),
)]
pub(crate) async fn delete(
    Authenticated(session): Authenticated,
    BucketPath { bucket: id }: BucketPath,
) -> Result<Json<Message>> {
    let mut tx = session.begin(BUCKET_DELETE).await?;
    Bucket::delete(&mut tx, &id).await?;
    tx.commit().await.or_database()?;
    Ok(Json(Message { message: "Successfully deleted" }))
}

/// Deletes all objects of a bucket, later. For the service role.
#[utoipa::path(
    post, path = "/bucket/{bucket}/empty", operation_id = "empty_bucket",
    params(BucketPath),
    responses((status = 200, body = Message)),
)]
pub(crate) async fn empty(
    State(storage): State<Storage>,
    ServiceRole(session): ServiceRole,
    BucketPath { bucket: id }: BucketPath,
) -> Result<Json<Message>> {
    Rules::of(&session, &id).await?;
    let mut tx = session.begin_as_owner().await?;
    if StoredObject::count(&mut tx, &id, MAX_EMPTIED + 1).await? > MAX_EMPTIED {
        let message = "Unable to empty the bucket because it contains too many objects";
        return Err(INVALID_REQUEST.error(message));
    }
    let job = Empty { bucket: id.to_string(), before: storage.clock.now() };
    jobs::enqueue(&mut tx, EMPTY, &job).await.or_database()?;
    tx.commit().await.or_database()?;
    storage.runner.poke(&session.project.reference);
    Ok(Json(Message { message: "Empty bucket has been queued. Completion may take up to an hour." }))
}
