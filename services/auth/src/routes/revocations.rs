//! For services that verify tokens: which sessions ended before their tokens did.

use std::sync::Arc;

use axum::extract::State;
use base::error::{FORBIDDEN, OrInternal};
use base::{Response, Result};
use common::Project;
use common::service::Peer;
use http::header::CONTENT_TYPE;

use crate::context::Auth;

/// Who verifies tokens of users.
const VERIFIERS: [&str; 2] = ["data", "storage"];

/// NDJSON of sessions that ended, without an end.
///
/// Errors: `forbidden` (403) for everybody but services that verify tokens.
#[utoipa::path(get, path = "/internal/revocations", operation_id = "watch_ended_sessions", tag = "internal",
    responses((status = 200, content_type = "application/x-ndjson")))]
pub(crate) async fn watch(
    State(auth): State<Arc<Auth>>,
    peer: Option<Peer>,
    Project(project): Project,
) -> Result<Response> {
    if !peer.is_some_and(|Peer(name)| VERIFIERS.contains(&name.as_str())) {
        return Err(FORBIDDEN.error("only services that verify tokens may ask"));
    }
    http::Response::builder()
        .header(CONTENT_TYPE, "application/x-ndjson")
        .body(auth.look_outs.listen(&auth.databases, project))
        .or_internal()
}
