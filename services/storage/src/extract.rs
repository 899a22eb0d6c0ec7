//! What handlers read from a request: object paths, queries and JSON bodies, each refused in this API's words.

use axum::extract::{FromRequest, FromRequestParts, RawPathParams};
use base::{Error, Request, Result};
use common::Project;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::Storage;
use crate::config::Settings;
use crate::error::{ENTITY_TOO_LARGE, INVALID_KEY, malformed};
use crate::name::{BucketName, ObjectKey};

/// Largest JSON body, in bytes: a thousand keys of the greatest length, and room for quotes.
const MAX_JSON_BYTES: usize = 2 * 1024 * 1024;

/// `{bucket}` of the route.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct BucketPath {
    #[param(value_type = String)]
    pub(crate) bucket: BucketName,
}

impl FromRequestParts<Storage> for BucketPath {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, storage: &Storage) -> Result<BucketPath> {
        let params = params(parts, storage).await?;
        Ok(BucketPath { bucket: BucketName::parse(last(&params, "bucket"))? })
    }
}

/// `{bucket}/{*key}` of the route.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ObjectPath {
    #[param(value_type = String)]
    pub(crate) bucket: BucketName,
    /// With its slashes as they are.
    #[param(value_type = String)]
    pub(crate) key: ObjectKey,
}

impl ObjectPath {
    /// `bucket/key`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }
}

impl FromRequestParts<Storage> for ObjectPath {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, storage: &Storage) -> Result<ObjectPath> {
        let Project(project) = Project::from_request_parts(parts, storage).await?;
        let settings: Settings = project.settings()?;
        let params = params(parts, storage).await?;
        Ok(ObjectPath {
            bucket: BucketName::parse(last(&params, "bucket"))?,
            key: ObjectKey::parse(last(&params, "key"), settings.key_rule())?,
        })
    }
}

async fn params(parts: &mut Parts, storage: &Storage) -> Result<RawPathParams> {
    let params = RawPathParams::from_request_parts(parts, storage).await;
    params.map_err(|_| INVALID_KEY.error("Invalid key: not UTF-8"))
}

/// The innermost match: a request that was routed twice carries the parameters of both.
fn last<'a>(params: &'a RawPathParams, name: &str) -> &'a str {
    params.iter().filter(|(param, _)| *param == name).last().map_or("", |(_, value)| value)
}

/// A JSON body, whatever its declared type.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Storage> for JsonBody<T> {
    type Rejection = Error;
    async fn from_request(request: Request, _: &Storage) -> Result<JsonBody<T>> {
        let body = Limited::new(request.into_body(), MAX_JSON_BYTES).collect().await;
        let bytes = body.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
            true => ENTITY_TOO_LARGE.error("The request body is too large"),
            false => malformed("the body broke off").caused_by(error),
        })?;
        let read = serde_json::from_slice(&bytes.to_bytes());
        read.map(JsonBody).map_err(|error| malformed(format!("body is invalid: {error}")))
    }
}

/// The query; every field of it is text, so that nothing but the route decides what is a number.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Storage> for Query<T> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, storage: &Storage) -> Result<Query<T>> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, storage).await;
        query
            .map(|query| Query(query.0))
            .map_err(|error| malformed(format!("querystring is invalid: {}", error.body_text())))
    }
}
