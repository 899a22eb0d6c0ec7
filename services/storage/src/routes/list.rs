//! Listings of a bucket: a folder by offset, or a prefix by cursor.

use axum::Json;
use base::Result;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cursor::{Column, Cursor};
use crate::error::{OrDatabase, malformed};
use crate::extract::{BucketPath, JsonBody};
use crate::lenient::Integer;
use crate::models::listing::{self, Entry, Page, Search};
use crate::operation::{OBJECT_LIST, OBJECT_LIST_V2};
use crate::session::Authenticated;

/// Entries of a page that names no limit.
const DEFAULT_LIMIT: i64 = 100;
/// Entries of a page by cursor.
const MAX_PAGE: i64 = 1000;

/// A page of a folder.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListRequest {
    /// The folder.
    prefix: String,
    /// At least 1.
    limit: Option<Integer>,
    offset: Option<Integer>,
    #[serde(rename = "sortBy")]
    sort_by: Option<SortBy>,
    /// How the names in it begin, in any case.
    search: Option<String>,
}

/// The order of a listing.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SortBy {
    /// `name`, `updated_at`, `created_at`, and for a folder `last_accessed_at`.
    column: Option<String>,
    /// `asc` or `desc`.
    order: Option<String>,
}

impl SortBy {
    fn descending(&self) -> Result<bool> {
        match self.order.as_deref() {
            None | Some("" | "asc") => Ok(false),
            Some("desc") => Ok(true),
            Some(_) => Err(malformed("body/sortBy/order must be equal to one of the allowed values")),
        }
    }
}

/// Lists a folder: names are relative to it, and folders in it have a null id.
#[utoipa::path(
    post, path = "/object/list/{bucket}", operation_id = "list_objects",
    params(BucketPath),
    request_body = ListRequest,
    responses((status = 200, body = [Entry])),
)]
pub(crate) async fn list(
    Authenticated(session): Authenticated,
    BucketPath { bucket }: BucketPath,
    JsonBody(request): JsonBody<ListRequest>,
) -> Result<Json<Vec<Entry>>> {
    let mut folder = request.prefix;
    if !folder.is_empty() && !folder.ends_with('/') {
        folder.push('/');
    }
    let sort = request.sort_by.as_ref();
    let sort_column = sort.and_then(|sort| sort.column.as_deref()).unwrap_or("name");
    if !matches!(sort_column, "name" | "updated_at" | "created_at" | "last_accessed_at") {
        return Err(malformed("body/sortBy/column must be equal to one of the allowed values"));
    }
    let page = Search {
        folder: &folder,
        search: request.search.as_deref().unwrap_or_default(),
        limit: within("limit", request.limit.map_or(DEFAULT_LIMIT, |limit| limit.0), 1)?,
        offset: within("offset", request.offset.map_or(0, |offset| offset.0), 0)?,
        sort_column,
        descending: sort.map_or(Ok(false), SortBy::descending)?,
    };
    let mut tx = session.begin(OBJECT_LIST).await?;
    let entries = listing::search(&mut tx, &bucket, &page).await?;
    tx.commit().await.or_database()?;
    Ok(Json(entries))
}

fn within(field: &str, number: i64, least: i32) -> Result<i32> {
    if number < i64::from(least) {
        return Err(malformed(format!("body/{field} must be >= {least}")));
    }
    Ok(i32::try_from(number).unwrap_or(i32::MAX))
}

/// A page of a prefix.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListV2Request {
    prefix: Option<String>,
    /// 1 to 1000.
    limit: Option<Integer>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// Whether what lies in a folder is shown as that folder.
    with_delimiter: Option<bool>,
    #[serde(rename = "sortBy")]
    sort_by: Option<SortBy>,
}

/// Objects and folders of a page, by their full names.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedV2 {
    has_next: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor_key: Option<String>,
    folders: Vec<Entry>,
    objects: Vec<Entry>,
}

/// Lists what has a prefix.
#[utoipa::path(
    post, path = "/object/list-v2/{bucket}", operation_id = "list_objects_v2",
    params(BucketPath),
    request_body = ListV2Request,
    responses((status = 200, body = ListedV2)),
)]
pub(crate) async fn list_v2(
    Authenticated(session): Authenticated,
    BucketPath { bucket }: BucketPath,
    JsonBody(request): JsonBody<ListV2Request>,
) -> Result<Json<ListedV2>> {
    let page = request.page()?;
    let mut tx = session.begin(OBJECT_LIST_V2).await?;
    let listed = listing::page(&mut tx, &bucket, &page).await?;
    tx.commit().await.or_database()?;
    let (folders, objects) = listed.entries.into_iter().partition(|entry| entry.id.is_none());
    Ok(Json(ListedV2 {
        has_next: listed.next.is_some(),
        next_cursor: listed.next.as_ref().map(Cursor::encode),
        next_cursor_key: listed.next.map(|cursor| cursor.last),
        folders,
        objects,
    }))
}

impl ListV2Request {
    /// A cursor decides the order, because it means a place in it.
    fn page(&self) -> Result<Page<'_>> {
        let after =
            self.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(Cursor::decode).transpose()?;
        let (column, descending) = match (&after, &self.sort_by) {
            (Some(cursor), _) => (cursor.column, cursor.descending),
            (None, Some(sort)) => (sort_column(sort)?, sort.descending()?),
            (None, None) => (Column::Name, false),
        };
        let limit = within("limit", self.limit.map_or(MAX_PAGE, |limit| limit.0.min(MAX_PAGE)), 1)?;
        Ok(Page {
            prefix: self.prefix.as_deref().unwrap_or_default(),
            folders: self.with_delimiter.unwrap_or(false),
            limit: usize::try_from(limit).unwrap_or_default(),
            column,
            descending,
            after,
        })
    }
}

fn sort_column(sort: &SortBy) -> Result<Column> {
    let column = Column::parse(sort.column.as_deref().unwrap_or("name"));
    column.ok_or_else(|| malformed("body/sortBy/column must be equal to one of the allowed values"))
}
