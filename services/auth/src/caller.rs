//! Who asks: a signed-in user, or the project's own back end.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use base::{Error, Result};
use common::Caller;
use common::claims::{TokenError, bearer, verify};
use http::request::Parts;
use uuid::Uuid;

use crate::context::{Auth, Context};
use crate::error::{
    BAD_JWT, BAD_SUBJECT, NO_AUTHORIZATION, NOT_ADMIN, SESSION_NOT_FOUND, USER_BANNED,
    USER_OF_TOKEN_NOT_FOUND,
};
use crate::models::session::{self, SignedInSession};
use crate::models::user::User;

/// A user with a good token whose session still exists.
///
/// A token without a `session_id`, made with the shared secret by the project's own back end, has none.
pub(crate) struct SignedIn {
    pub(crate) context: Context,
    pub(crate) user: User,
    pub(crate) session: Option<SignedInSession>,
}

impl FromRequestParts<Arc<Auth>> for SignedIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<SignedIn> {
        let context = Context::from_request_parts(parts, auth).await?;
        let caller = caller(parts, &context)?;
        let subject = caller.subject().filter(|subject| !subject.is_empty());
        let subject = subject.ok_or_else(|| BAD_JWT.error("invalid claim: missing sub claim"))?;
        let id = Uuid::parse_str(subject)
            .map_err(|_| BAD_SUBJECT.error("invalid claim: sub claim must be a UUID"))?;
        let named = named_session(&caller)?;
        let found = session::of_user(&mut *context.connection().await?, id, named).await?;
        let (user, session) = found
            .ok_or_else(|| USER_OF_TOKEN_NOT_FOUND.error("User from sub claim in JWT does not exist"))?;
        if named.is_some() && session.is_none() {
            return Err(SESSION_NOT_FOUND.error("Session from session_id claim in JWT does not exist"));
        }
        if user.is_banned(context.now) {
            return Err(USER_BANNED.error("User is banned"));
        }
        Ok(SignedIn { context, user, session })
    }
}

/// The session that the token names; the nil id is how some tokens say "none".
fn named_session(caller: &Caller) -> Result<Option<Uuid>> {
    let Some(named) = caller.claims.get("session_id") else { return Ok(None) };
    let id = named.as_str().and_then(|id| Uuid::parse_str(id).ok());
    let id = id.ok_or_else(|| BAD_JWT.error("invalid claim: session_id claim must be a UUID"))?;
    Ok((!id.is_nil()).then_some(id))
}

/// The project's own back end: a token of role `service_role` or `supabase_admin`.
///
/// Such a token need not expire, and its `sub` need not be a user's id.
pub(crate) struct Admin(pub(crate) Context);

impl FromRequestParts<Arc<Auth>> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Admin> {
        let context = Context::from_request_parts(parts, auth).await?;
        if caller(parts, &context)?.is_service() {
            Ok(Admin(context))
        } else {
            Err(NOT_ADMIN.error("User not allowed"))
        }
    }
}

fn caller(parts: &Parts, context: &Context) -> Result<Caller> {
    let token = bearer(&parts.headers)
        .ok_or_else(|| NO_AUTHORIZATION.error("This endpoint requires a valid Bearer token"))?;
    let claims = verify(token, &context.project, context.now.unix_timestamp(), 0).map_err(bad_jwt)?;
    Ok(Caller::of(token, claims))
}

fn bad_jwt(error: TokenError) -> Error {
    let why = match error {
        TokenError::Parts(_) => "token is malformed: token contains an invalid number of segments",
        TokenError::Malformed => "token is malformed",
        TokenError::NoSuitableKey => "token is unverifiable: no key fits the kid and algorithm of the header",
        TokenError::Algorithm => "token signature is invalid: signing method is invalid",
        TokenError::Signature => "token signature is invalid: signature is invalid",
        TokenError::Expired => "token has invalid claims: token is expired",
        TokenError::NotYetValid => "token has invalid claims: token is not valid yet",
        TokenError::IssuedInFuture => "token has invalid claims: token used before issued",
        TokenError::Claim(_) => "token has invalid claims: a claim has the wrong type",
        TokenError::Foreign => "token has invalid claims: token is for another project",
    };
    BAD_JWT.error(format!("invalid JWT: unable to parse or verify signature, {why}"))
}
