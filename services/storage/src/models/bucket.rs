//! Buckets: what they allow, and their rows.

use base::{Error, Result, Timestamp};
use common::db::Tx;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Settings;
use crate::error::{BUCKET_ALREADY_EXISTS, OrDatabase, RESOURCE_NOT_EMPTY, no_such_bucket, too_large};
use crate::mime::Mime;
use crate::name::{BucketName, ObjectKey};
use crate::session::Session;
use crate::timestamp;

/// The most buckets that one listing returns.
const MAX_LISTED: i64 = 10_000;

/// A bucket as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bucket {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The creator's id, or nothing.
    pub(crate) owner: String,
    pub(crate) public: bool,
    /// Left out for Python clients that fail on it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    /// In bytes.
    pub(crate) file_size_limit: Option<i64>,
    pub(crate) allowed_mime_types: Option<Vec<String>>,
    #[serde(serialize_with = "timestamp::nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(serialize_with = "timestamp::nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) updated_at: Option<Timestamp>,
    /// Left out for the same clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) versioning_status: Option<String>,
}

/// Which buckets to list, in which order.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    /// Part of the name, in any case.
    pub(crate) search: &'a str,
    /// `id`, `name`, `created_at` or `updated_at`.
    pub(crate) sort_column: &'a str,
    pub(crate) descending: bool,
    pub(crate) limit: Option<i64>,
    pub(crate) offset: i64,
}

/// What a caller may choose about a bucket; `None` leaves it as it is.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    pub(crate) public: Option<bool>,
    /// In bytes.
    pub(crate) file_size_limit: Option<Option<i64>>,
    pub(crate) allowed_mime_types: Option<Option<Vec<String>>>,
}

impl Bucket {
    /// Leaves out what clients that fail on unknown fields do not know.
    pub(crate) fn shorten(&mut self) {
        self.kind = None;
        self.versioning_status = None;
    }

    pub(crate) async fn list(tx: &mut Tx, filter: &Filter<'_>) -> Result<Vec<Bucket>> {
        let limit = filter.limit.unwrap_or(MAX_LISTED).min(MAX_LISTED);
        sqlx::query_as!(
            Bucket,
            r#"SELECT b.id, b.name, coalesce(b.owner::text, '') AS "owner!", coalesce(b.public, false) AS "public!",
                      b.type::text AS kind, b.file_size_limit, b.allowed_mime_types, b.created_at, b.updated_at,
                      b.versioning_status AS "versioning_status?"
               FROM storage.buckets AS b,
                    LATERAL (SELECT CASE $2 WHEN 'name' THEN b.name
                                            WHEN 'created_at' THEN to_char(b.created_at, 'YYYYMMDDHH24MISSUS')
                                            WHEN 'updated_at' THEN to_char(b.updated_at, 'YYYYMMDDHH24MISSUS')
                                            ELSE b.id END COLLATE "C" AS key) AS sort
               WHERE position(lower($1) IN lower(b.name)) > 0
               ORDER BY CASE WHEN $3 THEN sort.key END DESC, CASE WHEN NOT $3 THEN sort.key END, b.id
               LIMIT $4 OFFSET $5"#,
            filter.search,
            filter.sort_column,
            filter.descending,
            limit,
            filter.offset,
        )
        .fetch_all(&mut **tx)
        .await
        .or_database()
    }

    pub(crate) async fn find(tx: &mut Tx, id: &BucketName) -> Result<Bucket> {
        let bucket = sqlx::query_as!(
            Bucket,
            r#"SELECT id, name, coalesce(owner::text, '') AS "owner!", coalesce(public, false) AS "public!",
                      type::text AS kind, file_size_limit, allowed_mime_types, created_at, updated_at,
                      versioning_status AS "versioning_status?"
               FROM storage.buckets WHERE id = $1"#,
            id.as_str(),
        );
        bucket.fetch_optional(&mut **tx).await.or_database()?.ok_or_else(no_such_bucket)
    }

    /// Inserts without reading back: a caller may be allowed to create what it may not see.
    pub(crate) async fn create(
        tx: &mut Tx,
        id: &BucketName,
        name: &BucketName,
        owner: Option<&str>,
        choices: &Choices,
    ) -> Result<()> {
        sqlx::query!(
            "INSERT INTO storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            id.as_str(),
            name.as_str(),
            owner.and_then(|owner| uuid::Uuid::parse_str(owner).ok()),
            owner,
            choices.public.unwrap_or(false),
            choices.file_size_limit.flatten(),
            choices.allowed_mime_types.as_ref().and_then(Option::as_deref),
        )
        .execute(&mut **tx)
        .await
        .or_database()
        .map_err(|error| match error.code.name() {
            "ResourceAlreadyExists" => BUCKET_ALREADY_EXISTS.error("The resource already exists").caused_by(error),
            _ => error,
        })?;
        Ok(())
    }

    pub(crate) async fn update(tx: &mut Tx, id: &BucketName, choices: &Choices) -> Result<()> {
        let updated = sqlx::query!(
            "UPDATE storage.buckets
             SET public = coalesce($2, public),
                 file_size_limit = CASE WHEN $3 THEN $4 ELSE file_size_limit END,
                 allowed_mime_types = CASE WHEN $5 THEN $6 ELSE allowed_mime_types END
             WHERE id = $1",
            id.as_str(),
            choices.public,
            choices.file_size_limit.is_some(),
            choices.file_size_limit.flatten(),
            choices.allowed_mime_types.is_some(),
            choices.allowed_mime_types.as_ref().and_then(Option::as_deref),
        )
        .execute(&mut **tx)
        .await
        .or_database()?;
        if updated.rows_affected() == 0 { Err(no_such_bucket()) } else { Ok(()) }
    }

    /// Deletes a bucket; the foreign key of its objects is what refuses one that is not empty.
    pub(crate) async fn delete(tx: &mut Tx, id: &BucketName) -> Result<()> {
        let deleted =
            sqlx::query!("DELETE FROM storage.buckets WHERE id = $1", id.as_str()).execute(&mut **tx).await;
        if deleted.as_ref().err().is_some_and(has_objects) {
            return Err(RESOURCE_NOT_EMPTY.error("The bucket you tried to delete is not empty"));
        }
        if deleted.or_database()?.rows_affected() == 0 { Err(no_such_bucket()) } else { Ok(()) }
    }
}

fn has_objects(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.constraint() == Some("objects_bucketId_fkey"))
}

/// What a bucket allows, read past row-level security: the rules bind callers who may not see the bucket.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Whether anybody may read its objects.
    pub(crate) public: bool,
    /// In bytes.
    file_size_limit: Option<i64>,
    allowed_mime_types: Option<Vec<String>>,
}

impl Rules {
    pub(crate) async fn of(session: &Session, bucket: &BucketName) -> Result<Rules> {
        let mut connection = session.owner_connection().await?;
        let rules = sqlx::query_as!(
            Rules,
            r#"SELECT coalesce(public, false) AS "public!", file_size_limit, allowed_mime_types
               FROM storage.buckets WHERE id = $1"#,
            bucket.as_str(),
        )
        .fetch_optional(&mut *connection)
        .await
        .or_database()?;
        rules.ok_or_else(no_such_bucket)
    }

    /// The most bytes that an object of this name may have.
    pub(crate) fn max_bytes(&self, settings: &Settings, key: &ObjectKey) -> u64 {
        if key.is_placeholder() {
            return 0;
        }
        let own = self.file_size_limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(u64::MAX);
        own.min(settings.file_size_limit.0)
    }

    /// Refuses a media type that is not allowed; what keeps a folder visible has none that counts.
    pub(crate) fn check_mime(&self, mime: &Mime, key: &ObjectKey) -> Result<()> {
        if key.is_placeholder() {
            Ok(())
        } else {
            mime.check(self.allowed_mime_types.as_deref().unwrap_or_default())
        }
    }

    /// Refuses an object that is moved or copied here from a bucket with other rules.
    pub(crate) fn check_existing(
        &self,
        settings: &Settings,
        key: &ObjectKey,
        mime: Option<&str>,
        size: Option<u64>,
    ) -> Result<(), Error> {
        if let Some(mime) = mime {
            self.check_mime(&Mime::parse(mime)?, key)?;
        }
        if size.is_some_and(|size| size > self.max_bytes(settings, key)) { Err(too_large()) } else { Ok(()) }
    }
}
