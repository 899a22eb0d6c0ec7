//! Listings: one page of a folder by offset, or of a whole prefix by cursor.

use base::{Result, Timestamp};
use common::db::Tx;
use serde::Serialize;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::cursor::{Column, Cursor};
use crate::error::OrDatabase;
use crate::name::BucketName;
use crate::timestamp;

/// An object or folder in a listing. A folder has only a name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// The last part of the name; only when folders are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    pub(crate) name: String,
    pub(crate) id: Option<Uuid>,
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
}

/// One page of a folder.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    /// The folder with its closing slash, or nothing for the top.
    pub(crate) folder: &'a str,
    /// How the names in it begin, in any case.
    pub(crate) search: &'a str,
    pub(crate) limit: i32,
    pub(crate) offset: i32,
    /// `name`, `updated_at`, `created_at` or `last_accessed_at`.
    pub(crate) sort_column: &'a str,
    pub(crate) descending: bool,
}

/// Folders and objects; names are relative to the folder.
pub(crate) async fn search(tx: &mut Tx, bucket: &BucketName, page: &Search<'_>) -> Result<Vec<Entry>> {
    sqlx::query_as!(
        Entry,
        r#"SELECT NULL::text AS key, name AS "name!", id, updated_at, created_at, last_accessed_at, metadata
           FROM storage.search($1, $2, $3, 1, $4, $5, $6, $7)"#,
        page.folder,
        bucket.as_str(),
        page.limit,
        page.offset,
        page.search,
        page.sort_column,
        order(page.descending),
    )
    .fetch_all(&mut **tx)
    .await
    .or_database()
}

/// A page that begins where another ended.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) prefix: &'a str,
    /// Whether what lies in a folder is shown as that folder.
    pub(crate) folders: bool,
    /// How many entries at most.
    pub(crate) limit: usize,
    pub(crate) column: Column,
    pub(crate) descending: bool,
    pub(crate) after: Option<Cursor>,
}

/// Entries by their full names, and whether there are more.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) entries: Vec<Entry>,
    pub(crate) next: Option<Cursor>,
}

/// One page of the bucket; folders end with a slash.
pub(crate) async fn page(tx: &mut Tx, bucket: &BucketName, page: &Page<'_>) -> Result<Listed> {
    let mut entries =
        if page.folders { with_folders(tx, bucket, page).await? } else { flat(tx, bucket, page).await? };
    let more = entries.len() > page.limit;
    entries.truncate(page.limit);
    for folder in entries.iter_mut().filter(|entry| entry.id.is_none()) {
        folder.name.push('/');
    }
    let next = entries.last().filter(|_| more).map(|last| Cursor {
        last: last.name.clone(),
        descending: page.descending,
        column: page.column,
        after: sort_value(last, page.column),
    });
    Ok(Listed { entries, next })
}

async fn with_folders(tx: &mut Tx, bucket: &BucketName, page: &Page<'_>) -> Result<Vec<Entry>> {
    let after = page.after.as_ref();
    sqlx::query_as!(
        Entry,
        r#"SELECT key, name AS "name!", id, updated_at, created_at, last_accessed_at, metadata
           FROM storage.search_v2($1, $2, $3, 1, $4, $5, $6, $7)"#,
        page.prefix,
        bucket.as_str(),
        limit_and_one(page),
        after.map_or("", |cursor| &cursor.last),
        order(page.descending),
        page.column.as_str(),
        after.and_then(|cursor| cursor.after.as_deref()).unwrap_or_default(),
    )
    .fetch_all(&mut **tx)
    .await
    .or_database()
}

/// Objects alone. By name it walks the index from the cursor on; by time it sorts what the prefix has.
async fn flat(tx: &mut Tx, bucket: &BucketName, page: &Page<'_>) -> Result<Vec<Entry>> {
    let after = page.after.as_ref();
    let place = after.map_or("", |cursor| &cursor.last);
    // the highest character closes a prefix's range; no key may contain it
    let end = format!("{}{}", page.prefix, char::MAX);
    let (low, high) = match (page.column, page.descending, place) {
        (Column::Name, false, place) if place > page.prefix => (format!("{place}\u{1}"), end),
        (Column::Name, true, place) if !place.is_empty() => {
            (page.prefix.to_owned(), end.min(place.to_owned()))
        }
        _ => (page.prefix.to_owned(), end),
    };
    let at = after.and_then(|cursor| cursor.after.as_deref()).unwrap_or_default();
    let limit = i64::from(limit_and_one(page));
    match (page.column, page.descending) {
        (Column::Name, false) => {
            sqlx::query_as!(
                Entry,
                r#"SELECT NULL::text AS key, name AS "name!", id AS "id?", updated_at, created_at, last_accessed_at,
                          metadata
                   FROM storage.objects WHERE bucket_id = $1 AND name >= $2 AND name < $3
                   ORDER BY name LIMIT $4"#,
                bucket.as_str(),
                low,
                high,
                limit,
            )
            .fetch_all(&mut **tx)
            .await
        }
        (Column::Name, true) => {
            sqlx::query_as!(
                Entry,
                r#"SELECT NULL::text AS key, name AS "name!", id AS "id?", updated_at, created_at, last_accessed_at,
                          metadata
                   FROM storage.objects WHERE bucket_id = $1 AND name >= $2 AND name < $3
                   ORDER BY name DESC LIMIT $4"#,
                bucket.as_str(),
                low,
                high,
                limit,
            )
            .fetch_all(&mut **tx)
            .await
        }
        (column, descending) => {
            sqlx::query_as!(
                Entry,
                r#"SELECT NULL::text AS key, o.name AS "name!", o.id AS "id?", o.updated_at, o.created_at,
                          o.last_accessed_at, o.metadata
                   FROM storage.objects AS o,
                        LATERAL (SELECT CASE $5 WHEN 'created_at' THEN o.created_at ELSE o.updated_at END AS at) AS s
                   WHERE o.bucket_id = $1 AND o.name >= $2 AND o.name < $3
                     AND ($6 = '' OR ($7 AND (s.at, o.name) < (nullif($6, '')::timestamptz, $8))
                                  OR (NOT $7 AND (s.at, o.name) > (nullif($6, '')::timestamptz, $8)))
                   ORDER BY CASE WHEN $7 THEN s.at END DESC, CASE WHEN $7 THEN o.name END DESC,
                            CASE WHEN NOT $7 THEN s.at END, CASE WHEN NOT $7 THEN o.name END
                   LIMIT $4"#,
                bucket.as_str(),
                low,
                high,
                limit,
                column.as_str(),
                at,
                descending,
                place,
            )
            .fetch_all(&mut **tx)
            .await
        }
    }
    .or_database()
}

fn limit_and_one(page: &Page<'_>) -> i32 {
    i32::try_from(page.limit + 1).unwrap_or(i32::MAX)
}

fn sort_value(entry: &Entry, column: Column) -> Option<String> {
    let at = match column {
        Column::Name => None,
        Column::CreatedAt => entry.created_at,
        Column::UpdatedAt => entry.updated_at,
    };
    at.and_then(|at| at.format(&Rfc3339).ok())
}

fn order(descending: bool) -> &'static str {
    if descending { "desc" } else { "asc" }
}
