//! Signed upload URLs: made by who may upload, used by anybody who holds one, until it expires.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use base::Result;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Storage;
use crate::extract::{ObjectPath, Query};
use crate::incoming::About;
use crate::models::bucket::Rules;
use crate::operation::{OBJECT_SIGN_UPLOAD_URL, OBJECT_UPLOAD_SIGNED};
use crate::routes::upload::wants_upsert;
use crate::session::{Authenticated, Unauthenticated};
use crate::token::{Scope, SignedUrl};
use crate::upload::{Target, draft, probe, receive};

/// A URL to upload to, relative to the API's, and its token alone.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedUpload {
    url: String,
    token: String,
}

/// Makes a URL that anybody can upload this object to.
///
/// Policies see what the headers declare, as in an upload.
#[utoipa::path(
    post, path = "/object/upload/sign/{bucket}/{*key}", operation_id = "create_signed_upload_url",
    params(ObjectPath),
    responses((status = 200, body = SignedUpload)),
)]
pub(crate) async fn create(
    State(storage): State<Storage>,
    Authenticated(session): Authenticated,
    path: ObjectPath,
    headers: HeaderMap,
) -> Result<Json<SignedUpload>> {
    let overwrite = wants_upsert(&headers);
    Rules::of(&session, &path.bucket).await?;
    let target = Target { bucket: &path.bucket, key: &path.key, owner: session.owner(), overwrite };
    let about = About::from_headers(&headers)?;
    probe(&session, OBJECT_SIGN_UPLOAD_URL, &draft(&session, &target, &about)).await?;
    let now = storage.clock.unix();
    let claims = SignedUrl {
        url: path.full_name(),
        scope: Scope::Upload,
        owner: session.owner().map(str::to_owned),
        upsert: Some(overwrite),
        iat: now,
        exp: now + i64::from(session.settings.signed_upload_url_expires_in),
    };
    let token = storage.url_keys.of(&session).await?.sign(&claims)?;
    Ok(Json(SignedUpload { url: format!("/object/upload/sign/{}?token={token}", claims.url), token }))
}

/// The token of a signed URL.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokenQuery {
    token: String,
}

/// The name of a stored object.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UploadedKey {
    /// `bucket/key`.
    key: String,
}

/// Uploads to a signed URL. Whether it may replace an object was decided when it was signed.
#[utoipa::path(
    put, path = "/object/upload/sign/{bucket}/{*key}", operation_id = "upload_to_signed_url",
    params(ObjectPath, TokenQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = UploadedKey)),
)]
pub(crate) async fn upload(
    State(storage): State<Storage>,
    Unauthenticated(session): Unauthenticated,
    path: ObjectPath,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<UploadedKey>> {
    let key = storage.url_keys.of(&session).await?;
    let claims = key.verify(&query.token, Scope::Upload, &path.bucket, &path.key, storage.clock.unix())?;
    let target = Target {
        bucket: &path.bucket,
        key: &path.key,
        owner: claims.owner.as_deref(),
        overwrite: claims.upsert.unwrap_or(false),
    };
    receive(&session.into_service(), OBJECT_UPLOAD_SIGNED, &target, &headers, body).await?;
    Ok(Json(UploadedKey { key: path.full_name() }))
}
