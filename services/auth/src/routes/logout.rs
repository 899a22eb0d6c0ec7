//! Signing out: here, elsewhere, everywhere.

use base::Result;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::caller::SignedIn;
use crate::error::{OrDatabase, VALIDATION_FAILED};
use crate::input::Query;
use crate::models::audit;
use crate::models::session::{self, Scope};

/// Which sessions end.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Scopes {
    /// `global` (all of the user's, the default), `local` (this one) or `others` (all but this one).
    scope: Option<String>,
}

/// Ends sessions of the user. Access tokens of ended sessions are refused from then on.
///
/// Errors: `validation_failed` (400) for another scope.
#[utoipa::path(post, path = "/logout", operation_id = "logout", tag = "user", params(Scopes), responses((status = 204)))]
pub(crate) async fn logout(signed_in: SignedIn, Query(scopes): Query<Scopes>) -> Result<StatusCode> {
    let SignedIn { context, user, session } = signed_in;
    let session = session.map(|session| session.id);
    let scope = match (scopes.scope.as_deref(), session) {
        (None | Some("" | "global"), _) => Scope::All,
        (Some("local"), Some(id)) => Scope::Only(id),
        (Some("others"), Some(id)) => Scope::AllBut(id),
        (Some("local"), None) => return Ok(StatusCode::NO_CONTENT),
        (Some("others"), None) => Scope::All,
        (Some(other), _) => {
            return Err(VALIDATION_FAILED.error(format!("Unsupported logout scope \"{other}\"")));
        }
    };
    let mut tx = context.begin().await?;
    session::end(&mut tx, user.id, &scope).await?;
    audit::write(&mut tx, audit::Action::Logout, &user, &context.client, context.now).await?;
    tx.commit().await.or_database()?;
    Ok(StatusCode::NO_CONTENT)
}
