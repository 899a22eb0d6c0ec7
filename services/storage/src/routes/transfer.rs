//! Moving and copying objects, within a bucket or between two.

use axum::Json;
use axum::extract::State;
use base::{Result, Timestamp};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Storage;
use crate::error::{OrDatabase, no_such_key};
use crate::extract::JsonBody;
use crate::incoming::{servable, user_metadata_header};
use crate::mime::Mime;
use crate::models::bucket::Rules;
use crate::models::object::{Draft, Metadata, StoredObject, Wanted};
use crate::name::{BucketName, ObjectKey};
use crate::operation::{OBJECT_COPY, OBJECT_MOVE};
use crate::routes::upload::wants_upsert;
use crate::session::{Authenticated, Session};
use crate::timestamp;
use crate::upload::duplicate;

/// From where to where.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Route {
    bucket_id: String,
    source_key: String,
    /// The source's bucket unless given.
    destination_bucket: Option<String>,
    destination_key: String,
    /// The version, if only that will do.
    source_version_id: Option<String>,
}

/// A route whose names are names.
struct Named {
    from_bucket: BucketName,
    from_key: ObjectKey,
    to_bucket: BucketName,
    to_key: ObjectKey,
    version: Option<String>,
}

impl Named {
    fn parse(route: Route, session: &Session) -> Result<Named> {
        let rule = session.settings.key_rule();
        let to_bucket = route.destination_bucket.filter(|bucket| !bucket.is_empty());
        Ok(Named {
            to_bucket: BucketName::parse(to_bucket.as_ref().unwrap_or(&route.bucket_id))?,
            from_bucket: BucketName::parse(&route.bucket_id)?,
            from_key: ObjectKey::parse(&route.source_key, rule)?,
            to_key: ObjectKey::parse(&route.destination_key, rule)?,
            version: route.source_version_id,
        })
    }

    fn source(&self) -> Wanted<'_> {
        Wanted { bucket: &self.from_bucket, key: &self.from_key, version: self.version.as_deref() }
    }
}

/// Word of a move.
#[derive(Serialize, ToSchema)]
pub(crate) struct Moved {
    message: &'static str,
    #[serde(rename = "Id")]
    id: Uuid,
    #[serde(rename = "Key")]
    key: String,
}

/// Moves an object. Its bytes stay where they are, so the cost does not depend on its size.
#[utoipa::path(
    post, path = "/object/move", operation_id = "move_object",
    request_body = Route,
    responses((status = 200, body = Moved)),
)]
pub(crate) async fn move_object(
    Authenticated(session): Authenticated,
    JsonBody(route): JsonBody<Route>,
) -> Result<Json<Moved>> {
    let named = Named::parse(route, &session)?;
    let rules = Rules::of(&session, &named.to_bucket).await?;
    let mut tx = session.begin(OBJECT_MOVE).await?;
    let facts = StoredObject::find(&mut tx, &named.source()).await?.facts();
    rules.check_existing(&session.settings, &named.to_key, facts.mimetype.as_deref(), facts.size)?;
    let id = StoredObject::rename(&mut tx, &named.source(), &named.to_bucket, &named.to_key, session.owner())
        .await?;
    tx.commit().await.or_database()?;
    Ok(Json(Moved { message: "Successfully moved", id, key: named.to_key.to_string() }))
}

/// What to copy, and what to change on the way.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CopyRequest {
    #[serde(flatten)]
    route: Route,
    /// Whether the copy keeps the source's metadata, the user's too. So unless said otherwise.
    copy_metadata: Option<bool>,
    /// What the copy has instead, if it does not.
    metadata: Option<CopyMetadata>,
}

/// What a copy may change about how it is served.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CopyMetadata {
    cache_control: Option<String>,
    mimetype: Option<String>,
    content_encoding: Option<String>,
}

impl CopyMetadata {
    fn apply(&self, metadata: &mut Metadata) -> Result<()> {
        if let Some(text) = &self.cache_control {
            metadata.cache_control = Some(servable("cacheControl", text)?);
        }
        if let Some(text) = &self.mimetype {
            metadata.mimetype = Some(Mime::parse(text)?.as_str().to_owned());
        }
        if let Some(text) = &self.content_encoding {
            metadata.content_encoding = Some(servable("contentEncoding", text)?);
        }
        Ok(())
    }
}

/// The copy: its row, and the two names that older clients read.
#[derive(Serialize, ToSchema)]
pub(crate) struct Copied {
    #[serde(rename = "Id")]
    id: Uuid,
    /// `bucket/key`.
    #[serde(rename = "Key")]
    key: String,
    #[serde(flatten)]
    object: StoredObject,
}

/// Copies an object. `x-upsert: true` lets the copy replace one; `x-metadata` is its user metadata if it does not
/// keep the source's.
#[utoipa::path(
    post, path = "/object/copy", operation_id = "copy_object",
    request_body = CopyRequest,
    responses((status = 200, body = Copied)),
)]
pub(crate) async fn copy(
    State(storage): State<Storage>,
    Authenticated(session): Authenticated,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CopyRequest>,
) -> Result<Json<Copied>> {
    let named = Named::parse(request.route, &session)?;
    let rules = Rules::of(&session, &named.to_bucket).await?;
    let changes = match request.copy_metadata.unwrap_or(true) {
        true => None,
        false => Some((request.metadata.unwrap_or_default(), user_metadata_header(&headers)?)),
    };
    let mut seen = None;
    loop {
        let mut tx = session.begin(OBJECT_COPY).await?;
        let source = StoredObject::find(&mut tx, &named.source()).await?;
        tx.commit().await.or_database()?;
        let draft = named.draft(&session, &source, changes.as_ref(), wants_upsert(&headers))?;
        let facts = &draft.metadata;
        rules.check_existing(&session.settings, &named.to_key, facts.mimetype.as_deref(), facts.size)?;
        let version = source.version().ok_or_else(no_such_key)?;
        match duplicate(&session, OBJECT_COPY, &draft, version).await? {
            Some(id) => return Ok(Json(Copied::new(id, &draft, storage.clock.now())?)),
            // replaced in between: its successor is what to copy now
            None if seen == Some(version) => return Err(no_such_key()),
            None => seen = Some(version),
        }
    }
}

impl Named {
    /// The row of a copy; `changes` are its own metadata and the user's, if it does not keep the source's.
    fn draft<'a>(
        &'a self,
        session: &'a Session,
        source: &StoredObject,
        changes: Option<&(CopyMetadata, Option<Value>)>,
        overwrite: bool,
    ) -> Result<Draft<'a>> {
        let mut metadata = source.facts();
        metadata.last_modified = timestamp::text(session.storage.clock.now());
        let mut user_metadata = source.user_metadata.clone();
        if let Some((own, of_user)) = changes {
            own.apply(&mut metadata)?;
            user_metadata = of_user.clone();
        }
        Ok(Draft {
            bucket: &self.to_bucket,
            key: &self.to_key,
            owner: session.owner(),
            version: session.storage.random.uuid(),
            metadata,
            user_metadata,
            overwrite,
        })
    }
}

impl Copied {
    /// The row as it was written: the caller may not be allowed to read it back.
    fn new(id: Uuid, draft: &Draft<'_>, now: Timestamp) -> Result<Copied> {
        let object = StoredObject {
            name: draft.key.to_string(),
            bucket_id: draft.bucket.to_string(),
            owner: draft.owner.and_then(|owner| Uuid::parse_str(owner).ok()),
            owner_id: draft.owner.map(str::to_owned),
            version: Some(draft.version.to_string()),
            id,
            updated_at: Some(now),
            created_at: Some(now),
            last_accessed_at: Some(now),
            metadata: Some(draft.metadata.to_value()?),
            user_metadata: draft.user_metadata.clone(),
        };
        Ok(Copied { id, key: format!("{}/{}", draft.bucket, draft.key), object })
    }
}
