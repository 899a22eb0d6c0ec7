//! For the platform: what a project takes up.

use axum::Json;
use base::Result;
use base::error::FORBIDDEN;
use common::service::Peer;
use common::usage::Usage;

use crate::models::usage;
use crate::session::Unauthenticated;

/// What the project's objects take up.
///
/// Errors: `forbidden` (403) for everybody but the platform.
#[utoipa::path(get, path = "/internal/usage", operation_id = "get_usage", responses((status = 200, body = Usage)))]
pub(crate) async fn get(
    peer: Option<Peer>,
    Unauthenticated(session): Unauthenticated,
) -> Result<Json<Usage>> {
    if peer.is_none_or(|Peer(name)| name != "platform") {
        return Err(FORBIDDEN.error("only the platform may ask"));
    }
    let mut connection = session.owner_connection().await?;
    usage::of_all(&mut connection).await.map(Json)
}
