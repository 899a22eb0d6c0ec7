//! The handlers, by what they do.

use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod bucket;
pub(crate) mod download;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod sign;
pub(crate) mod sign_upload;
pub(crate) mod transfer;
pub(crate) mod upload;
pub(crate) mod usage;

/// Word that it is done.
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    message: &'static str,
}
