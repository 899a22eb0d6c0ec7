//! What a project takes up, as its services tell the platform.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer of `GET http://storage.mesh/internal/usage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Objects whose bytes are kept.
    pub objects: i64,
    /// Their bytes.
    pub bytes: i64,
}
