//! Deleting objects. Their bytes go with the job that the database writes in the same transaction.

use axum::Json;
use axum::extract::State;
use base::Result;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Storage;
use crate::error::{ACCESS_DENIED, INVALID_REQUEST, OrDatabase, malformed, no_such_key};
use crate::extract::{BucketPath, JsonBody, ObjectPath};
use crate::models::object::StoredObject;
use crate::operation::{OBJECT_DELETE, OBJECT_DELETE_MANY};
use crate::routes::Message;
use crate::routes::sign::MAX_OBJECTS;
use crate::session::Authenticated;

/// Deletes an object.
#[utoipa::path(
    delete, path = "/object/{bucket}/{*key}", operation_id = "delete_object",
    params(ObjectPath),
    responses((status = 200, body = Message)),
)]
pub(crate) async fn one(
    State(storage): State<Storage>,
    Authenticated(session): Authenticated,
    path: ObjectPath,
) -> Result<Json<Message>> {
    let mut tx = session.begin(OBJECT_DELETE).await?;
    let deleted = StoredObject::delete(&mut tx, &path.bucket, &[path.key.to_string()], &[None]).await?;
    tx.commit().await.or_database()?;
    if deleted.is_empty() {
        let mut connection = session.owner_connection().await?;
        let exists = StoredObject::exists(&mut connection, &path.bucket, &path.key).await?;
        return Err(if exists { ACCESS_DENIED.error("Access denied") } else { no_such_key() });
    }
    storage.runner.poke(&session.project.reference);
    Ok(Json(Message { message: "Successfully deleted" }))
}

/// Which objects to delete.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RemoveRequest {
    /// At most 1000.
    prefixes: Vec<Removed>,
}

/// A key, or a key with the one version that is meant.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Removed {
    Key(String),
    Version {
        path: String,
        #[serde(rename = "versionId")]
        version_id: Option<String>,
    },
}

/// Deletes those of these objects that the caller may delete, and returns them.
#[utoipa::path(
    delete, path = "/object/{bucket}", operation_id = "delete_objects",
    params(BucketPath),
    request_body = RemoveRequest,
    responses((status = 200, body = [StoredObject])),
)]
pub(crate) async fn many(
    State(storage): State<Storage>,
    Authenticated(session): Authenticated,
    BucketPath { bucket }: BucketPath,
    JsonBody(request): JsonBody<RemoveRequest>,
) -> Result<Json<Vec<StoredObject>>> {
    if request.prefixes.is_empty() {
        return Err(malformed("body/prefixes must NOT have fewer than 1 items"));
    }
    if request.prefixes.len() > MAX_OBJECTS {
        let message = format!("Bulk object requests are limited to {MAX_OBJECTS} objects per request.");
        return Err(INVALID_REQUEST.error(message));
    }
    let (names, versions): (Vec<String>, Vec<Option<String>>) = request
        .prefixes
        .into_iter()
        .map(|removed| match removed {
            Removed::Key(path) => (path, None),
            Removed::Version { path, version_id } => (path, version_id),
        })
        .unzip();
    let mut tx = session.begin(OBJECT_DELETE_MANY).await?;
    let deleted = StoredObject::delete(&mut tx, &bucket, &names, &versions).await?;
    tx.commit().await.or_database()?;
    storage.runner.poke(&session.project.reference);
    Ok(Json(deleted))
}
