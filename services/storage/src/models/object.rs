//! Objects: their rows and what is known of their bytes.

use base::{Error, Result, Timestamp};
use common::db::Tx;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{KEY_ALREADY_EXISTS, OrDatabase, no_such_key};
use crate::name::{BucketName, ObjectKey};
use crate::timestamp;

/// An object's row, as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoredObject {
    pub(crate) name: String,
    pub(crate) bucket_id: String,
    pub(crate) owner: Option<Uuid>,
    pub(crate) owner_id: Option<String>,
    /// Names the bytes; absent for a row that was inserted without any.
    pub(crate) version: Option<String>,
    pub(crate) id: Uuid,
    #[serde(serialize_with = "timestamp::nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) updated_at: Option<Timestamp>,
    #[serde(serialize_with = "timestamp::nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(serialize_with = "timestamp::nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_accessed_at: Option<Timestamp>,
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<Value>,
    #[schema(value_type = Option<Object>)]
    pub(crate) user_metadata: Option<Value>,
}

/// What `metadata` says of the bytes; policies read it as `metadata->>'mimetype'` and so on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    /// The quoted hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) e_tag: Option<String>,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mimetype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    /// RFC 3339, with milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_modified: Option<String>,
    /// In bytes; before the bytes have come, what was declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x_robots_tag: Option<String>,
}

impl Metadata {
    pub(crate) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(Error::internal)
    }
}

/// The row that a new version gets.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) bucket: &'a BucketName,
    pub(crate) key: &'a ObjectKey,
    pub(crate) owner: Option<&'a str>,
    pub(crate) version: Uuid,
    pub(crate) metadata: Metadata,
    pub(crate) user_metadata: Option<Value>,
    /// Whether it may replace the object that is there.
    pub(crate) overwrite: bool,
}

impl Draft<'_> {
    fn owner_uuid(&self) -> Option<Uuid> {
        self.owner.and_then(|owner| Uuid::parse_str(owner).ok())
    }

    /// Inserts the row, or replaces the one that is there; returns its id, which is `fresh_id` for a new one.
    ///
    /// A new row is not read back, because a caller may be allowed to upload what it may not see.
    pub(crate) async fn place(&self, tx: &mut Tx, fresh_id: Uuid) -> Result<Uuid> {
        if self.overwrite { self.upsert(tx, fresh_id).await } else { self.insert(tx, fresh_id).await }
    }

    async fn insert(&self, tx: &mut Tx, fresh_id: Uuid) -> Result<Uuid> {
        sqlx::query!(
            "INSERT INTO storage.objects (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            fresh_id,
            self.bucket.as_str(),
            self.key.as_str(),
            self.owner_uuid(),
            self.owner,
            self.version.to_string(),
            self.metadata.to_value()?,
            self.user_metadata,
        )
        .execute(&mut **tx)
        .await
        .or_database()
        .map_err(|error| match error.code.name() {
            "ResourceAlreadyExists" => KEY_ALREADY_EXISTS.error("The resource already exists").caused_by(error),
            _ => error,
        })?;
        Ok(fresh_id)
    }

    async fn upsert(&self, tx: &mut Tx, fresh_id: Uuid) -> Result<Uuid> {
        sqlx::query_scalar!(
            "INSERT INTO storage.objects AS o
                 (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (bucket_id, name) DO UPDATE
             SET version = EXCLUDED.version, metadata = EXCLUDED.metadata,
                 user_metadata = EXCLUDED.user_metadata,
                 owner = coalesce(EXCLUDED.owner, o.owner), owner_id = coalesce(EXCLUDED.owner_id, o.owner_id)
             RETURNING o.id",
            fresh_id,
            self.bucket.as_str(),
            self.key.as_str(),
            self.owner_uuid(),
            self.owner,
            self.version.to_string(),
            self.metadata.to_value()?,
            self.user_metadata,
        )
        .fetch_one(&mut **tx)
        .await
        .or_database()
    }
}

/// An object, and a version of it where one is asked for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) bucket: &'a BucketName,
    pub(crate) key: &'a ObjectKey,
    pub(crate) version: Option<&'a str>,
}

impl StoredObject {
    pub(crate) async fn find(tx: &mut Tx, wanted: &Wanted<'_>) -> Result<StoredObject> {
        let object = sqlx::query_as!(
            StoredObject,
            r#"SELECT name AS "name!", bucket_id AS "bucket_id!", owner, owner_id, version, id,
                      updated_at, created_at, last_accessed_at, metadata, user_metadata
               FROM storage.objects
               WHERE bucket_id = $1 AND name = $2 AND ($3::text IS NULL OR version = $3)"#,
            wanted.bucket.as_str(),
            wanted.key.as_str(),
            wanted.version,
        );
        object.fetch_optional(&mut **tx).await.or_database()?.ok_or_else(no_such_key)
    }

    /// Which of `names` are there, in no order.
    pub(crate) async fn existing(tx: &mut Tx, bucket: &BucketName, names: &[String]) -> Result<Vec<String>> {
        sqlx::query_scalar!(
            r#"SELECT name AS "name!" FROM storage.objects WHERE bucket_id = $1 AND name = ANY($2)"#,
            bucket.as_str(),
            names,
        )
        .fetch_all(&mut **tx)
        .await
        .or_database()
    }

    /// Whether the object exists for anybody: call it past row-level security.
    pub(crate) async fn exists(
        connection: &mut PgConnection,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<bool> {
        sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM storage.objects WHERE bucket_id = $1 AND name = $2) AS "exists!""#,
            bucket.as_str(),
            key.as_str(),
        )
        .fetch_one(connection)
        .await
        .or_database()
    }

    /// Gives the object another name. Its bytes stay where they are.
    pub(crate) async fn rename(
        tx: &mut Tx,
        from: &Wanted<'_>,
        bucket: &BucketName,
        key: &ObjectKey,
        owner: Option<&str>,
    ) -> Result<Uuid> {
        let id = sqlx::query_scalar!(
            "UPDATE storage.objects
             SET bucket_id = $4, name = $5, owner = coalesce($6, owner), owner_id = coalesce($7, owner_id)
             WHERE bucket_id = $1 AND name = $2 AND ($3::text IS NULL OR version = $3)
             RETURNING id",
            from.bucket.as_str(),
            from.key.as_str(),
            from.version,
            bucket.as_str(),
            key.as_str(),
            owner.and_then(|owner| Uuid::parse_str(owner).ok()),
            owner,
        )
        .fetch_optional(&mut **tx)
        .await
        .or_database()?;
        id.ok_or_else(no_such_key)
    }

    /// Deletes the objects of these names, each of that version where `versions` has one; returns what was deleted.
    pub(crate) async fn delete(
        tx: &mut Tx,
        bucket: &BucketName,
        names: &[String],
        versions: &[Option<String>],
    ) -> Result<Vec<StoredObject>> {
        sqlx::query_as!(
            StoredObject,
            r#"DELETE FROM storage.objects AS o
               USING unnest($2::text[], $3::text[]) AS wanted (name, version)
               WHERE o.bucket_id = $1 AND o.name = wanted.name
                 AND (wanted.version IS NULL OR o.version = wanted.version)
               RETURNING o.name AS "name!", o.bucket_id AS "bucket_id!", o.owner, o.owner_id, o.version, o.id,
                         o.updated_at, o.created_at, o.last_accessed_at, o.metadata, o.user_metadata"#,
            bucket.as_str(),
            names,
            versions as &[Option<String>],
        )
        .fetch_all(&mut **tx)
        .await
        .or_database()
    }

    /// Deletes up to `at_most` objects of the bucket that were there at `before`; returns how many.
    pub(crate) async fn delete_some(
        tx: &mut Tx,
        bucket: &str,
        before: Timestamp,
        at_most: i64,
    ) -> Result<u64> {
        let deleted = sqlx::query!(
            "DELETE FROM storage.objects WHERE id IN (
                 SELECT id FROM storage.objects WHERE bucket_id = $1 AND created_at <= $2 LIMIT $3)",
            bucket,
            before,
            at_most,
        );
        Ok(deleted.execute(&mut **tx).await.or_database()?.rows_affected())
    }

    /// Counts the bucket's objects, up to `at_most`.
    pub(crate) async fn count(tx: &mut Tx, bucket: &BucketName, at_most: i64) -> Result<i64> {
        sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM (
                   SELECT FROM storage.objects WHERE bucket_id = $1 LIMIT $2) AS counted"#,
            bucket.as_str(),
            at_most,
        )
        .fetch_one(&mut **tx)
        .await
        .or_database()
    }

    /// Whether any row refers to these bytes.
    pub(crate) async fn refers_to(connection: &mut PgConnection, version: Uuid) -> Result<bool> {
        sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM storage.objects WHERE version = $1) AS "exists!""#,
            version.to_string(),
        )
        .fetch_one(connection)
        .await
        .or_database()
    }

    /// The name of the bytes, if they are ours.
    pub(crate) fn version(&self) -> Option<Uuid> {
        self.version.as_deref().and_then(|version| Uuid::parse_str(version).ok())
    }

    /// What is known of the bytes; rows that users' SQL wrote may say anything, which then counts as nothing.
    pub(crate) fn facts(&self) -> Metadata {
        self.metadata.as_ref().and_then(|value| Metadata::deserialize(value).ok()).unwrap_or_default()
    }
}
