//! What a successful sign-in answers: an access token, a refresh token, and the user.

use axum::Json;
use axum::response::IntoResponse;
use base::{Error, Response, Result};
use http::header::CACHE_CONTROL;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access_token::Claims;
use crate::context::Context;
use crate::models::session::Session;
use crate::models::user::User;

/// A session as clients keep it.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct Grant {
    pub(crate) access_token: String,
    /// Always `bearer`.
    pub(crate) token_type: &'static str,
    /// Seconds the access token lives.
    pub(crate) expires_in: i64,
    /// When it ends, in seconds since 1970.
    pub(crate) expires_at: i64,
    pub(crate) refresh_token: String,
    pub(crate) user: User,
}

impl Grant {
    /// Signs an access token for the session.
    pub(crate) async fn new(context: &Context, session: &Session, user: User) -> Result<Grant> {
        let expires_in = i64::from(context.settings.jwt_expiry);
        let issued_at = context.now.unix_timestamp();
        let claims = Claims {
            iss: &context.base_url,
            sub: user.id,
            aud: if user.aud.is_empty() { "authenticated" } else { &user.aud },
            exp: issued_at + expires_in,
            iat: issued_at,
            email: &user.email,
            phone: &user.phone,
            app_metadata: user.app_metadata.map(),
            user_metadata: user.user_metadata.map(),
            role: if user.role.is_empty() { "authenticated" } else { &user.role },
            aal: &session.aal,
            amr: &session.amr,
            session_id: session.id,
            is_anonymous: user.is_anonymous,
        };
        let refresh_token = session.refresh_token();
        Ok(Grant {
            access_token: context.auth.signers.sign(&context.project, &claims).await?,
            token_type: "bearer",
            expires_in,
            expires_at: claims.exp,
            refresh_token: refresh_token.ok_or_else(|| Error::internal("the session has no key"))?,
            user,
        })
    }
}

/// Tokens are in no cache.
impl IntoResponse for Grant {
    fn into_response(self) -> Response {
        ([(CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}
