//! Signed URLs: made by who may see an object, used by anybody who holds one, until it expires.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use base::{Response, Result, Timestamp};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Storage;
use crate::error::{OrDatabase, malformed};
use crate::extract::{BucketPath, JsonBody, ObjectPath, Query};
use crate::lenient::Integer;
use crate::lookup::{Lookup, Permission};
use crate::models::object::{StoredObject, Wanted};
use crate::operation::{OBJECT_GET_SIGNED, OBJECT_SIGN, OBJECT_SIGN_MANY};
use crate::serve::Presentation;
use crate::session::{Authenticated, Unauthenticated};
use crate::token::{Scope, SignedUrl};

/// The most objects of one request.
pub(crate) const MAX_OBJECTS: usize = 1000;
/// The longest life of a URL, in seconds: beyond it a time no longer prints with four digits of the year.
const MAX_EXPIRES_IN: i64 = 100 * 366 * 24 * 60 * 60;

/// How long a URL is to work.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignRequest {
    /// Seconds, at least 1.
    expires_in: Integer,
    /// The version, if only that will do.
    version_id: Option<String>,
}

/// A URL to download from, relative to the API's.
#[derive(Serialize, ToSchema)]
pub(crate) struct Signed {
    #[serde(rename = "signedURL")]
    signed_url: String,
}

/// Makes a URL that anybody can download this object from.
#[utoipa::path(
    post, path = "/object/sign/{bucket}/{*key}", operation_id = "create_signed_url",
    params(ObjectPath),
    request_body = SignRequest,
    responses((status = 200, body = Signed)),
)]
pub(crate) async fn create(
    State(storage): State<Storage>,
    Authenticated(session): Authenticated,
    path: ObjectPath,
    JsonBody(request): JsonBody<SignRequest>,
) -> Result<Json<Signed>> {
    let expires_in = lifetime(request.expires_in)?;
    let wanted = Wanted { bucket: &path.bucket, key: &path.key, version: request.version_id.as_deref() };
    let mut tx = session.begin(OBJECT_SIGN).await?;
    StoredObject::find(&mut tx, &wanted).await?;
    tx.commit().await.or_database()?;
    let claims = download(path.full_name(), storage.clock.unix(), expires_in);
    let token = storage.url_keys.of(&session).await?.sign(&claims)?;
    Ok(Json(Signed { signed_url: signed_url(&claims, &token) }))
}

/// Which URLs to make, and for how long.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignManyRequest {
    /// Seconds, at least 1.
    expires_in: Integer,
    /// Keys, at most 1000.
    paths: Vec<String>,
}

/// One of many signed URLs, or why there is none.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedOne {
    error: Option<&'static str>,
    path: String,
    #[serde(rename = "signedURL")]
    signed_url: Option<String>,
}

/// Makes a URL for each of these objects that the caller may see.
#[utoipa::path(
    post, path = "/object/sign/{bucket}", operation_id = "create_signed_urls",
    params(BucketPath),
    request_body = SignManyRequest,
    responses((status = 200, body = [SignedOne])),
)]
pub(crate) async fn create_many(
    State(storage): State<Storage>,
    Authenticated(session): Authenticated,
    BucketPath { bucket }: BucketPath,
    JsonBody(request): JsonBody<SignManyRequest>,
) -> Result<Json<Vec<SignedOne>>> {
    let expires_in = lifetime(request.expires_in)?;
    check_count("paths", request.paths.len())?;
    let mut tx = session.begin(OBJECT_SIGN_MANY).await?;
    let existing: HashSet<String> =
        StoredObject::existing(&mut tx, &bucket, &request.paths).await?.into_iter().collect();
    tx.commit().await.or_database()?;
    let key = storage.url_keys.of(&session).await?;
    let now = storage.clock.unix();
    let one = |path: String| {
        if !existing.contains(&path) {
            let error = Some("Either the object does not exist or you do not have access to it");
            return Ok(SignedOne { error, path, signed_url: None });
        }
        let claims = download(format!("{bucket}/{path}"), now, expires_in);
        let token = key.sign(&claims)?;
        Ok(SignedOne { error: None, path, signed_url: Some(signed_url(&claims, &token)) })
    };
    request.paths.into_iter().map(one).collect::<Result<_>>().map(Json)
}

/// A list of a request names 1 to 1000 objects.
pub(crate) fn check_count(field: &str, count: usize) -> Result<()> {
    match count {
        0 => Err(malformed(format!("body/{field} must NOT have fewer than 1 items"))),
        1..=MAX_OBJECTS => Ok(()),
        _ => Err(malformed(format!("body/{field} must NOT have more than {MAX_OBJECTS} items"))),
    }
}

fn lifetime(expires_in: Integer) -> Result<i64> {
    match expires_in.0 {
        seconds @ 1..=MAX_EXPIRES_IN => Ok(seconds),
        seconds if seconds < 1 => Err(malformed("body/expiresIn must be >= 1")),
        _ => Err(malformed(format!("body/expiresIn must be <= {MAX_EXPIRES_IN}"))),
    }
}

fn download(url: String, now: i64, expires_in: i64) -> SignedUrl {
    SignedUrl { url, scope: Scope::Download, owner: None, upsert: None, iat: now, exp: now + expires_in }
}

/// The name is not escaped: clients escape the whole of it.
fn signed_url(claims: &SignedUrl, token: &str) -> String {
    format!("/object/sign/{}?token={token}", claims.url)
}

/// The token of a signed URL, and how to serve the object.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SignedQuery {
    token: String,
    /// To be saved, under this name unless it is empty.
    download: Option<String>,
}

/// Downloads from a signed URL.
#[utoipa::path(
    get, path = "/object/sign/{bucket}/{*key}", operation_id = "download_signed_object",
    params(ObjectPath, SignedQuery),
    responses((status = 200, content_type = "*/*"), (status = 206), (status = 304), (status = 416)),
)]
pub(crate) async fn get(
    State(storage): State<Storage>,
    Unauthenticated(session): Unauthenticated,
    path: ObjectPath,
    Query(query): Query<SignedQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let key = storage.url_keys.of(&session).await?;
    let claims = key.verify(&query.token, Scope::Download, &path.bucket, &path.key, storage.clock.unix())?;
    let presentation = Presentation {
        download: query.download.as_deref(),
        expires: Timestamp::from_unix_timestamp(claims.exp).ok(),
    };
    let permission = Permission::SignedUrl;
    let lookup =
        Lookup { session: &session, operation: OBJECT_GET_SIGNED, permission, path: &path, version: None };
    lookup.serve(&headers, &presentation).await
}
