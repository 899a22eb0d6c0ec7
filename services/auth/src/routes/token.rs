//! `POST /token`: a password or a refresh token becomes a session's tokens.

use base::header::Fault;
use base::{Error, Result};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::contact::{Contact, filled};
use crate::context::Context;
use crate::error::{
    EMAIL_LOGIN_DISABLED, EMAIL_NOT_CONFIRMED, INVALID_CREDENTIALS, PHONE_LOGIN_DISABLED,
    PHONE_NOT_CONFIRMED, REFRESH_TOKEN_ALREADY_USED, REFRESH_TOKEN_NOT_FOUND, SESSION_EXPIRED,
    USER_BANNED_AT_LOGIN, VALIDATION_FAILED, retry_later,
};
use crate::grant::Grant;
use crate::input::{Json, Query};
use crate::limit::Action;
use crate::models::session::{self, NewSession, Session};
use crate::models::user::{self, User};
use crate::password::{Password, Verdict};
use crate::refresh_token::{Presented, Standing, standing};

/// Looks taken at a session that others refresh at the same moment.
const MAX_LOOKS: u32 = 4;
/// Tries at a password whose stored form changes at the same moment.
const MAX_TRIES: u32 = 2;

/// Which grant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Grants {
    /// `password` or `refresh_token`.
    grant_type: Option<String>,
}

/// The fields of both grants.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Credentials {
    email: Option<String>,
    phone: Option<String>,
    password: Option<String>,
    refresh_token: Option<String>,
}

/// Signs in with a password, or refreshes a session.
///
/// Errors of a password (400): `invalid_credentials`, `email_not_confirmed`, `phone_not_confirmed`, `user_banned`.
/// Errors of a refresh (400) mean that the session is over: `refresh_token_not_found`,
/// `refresh_token_already_used`, `session_expired`, `user_banned`; everything passing is 503 with `Retry-After`.
#[utoipa::path(post, path = "/token", operation_id = "token", tag = "sign in", params(Grants), request_body = Credentials, responses((status = 200, body = Grant)))]
pub(crate) async fn token(
    context: Context,
    Query(grants): Query<Grants>,
    Json(credentials): Json<Credentials>,
) -> Result<Grant> {
    match grants.grant_type.as_deref() {
        Some("password") => sign_in(&context, &credentials).await,
        Some("refresh_token") => {
            let token = filled(credentials.refresh_token.as_deref());
            let token = token.ok_or_else(|| VALIDATION_FAILED.error("refresh_token required"))?;
            refresh(&context, token).await
        }
        _ => Err(VALIDATION_FAILED.error("unsupported_grant_type")),
    }
}

/// Two round trips and one hash, whether or not the user exists.
async fn sign_in(context: &Context, credentials: &Credentials) -> Result<Grant> {
    context.limit(Action::SignIn)?;
    let wrong = || INVALID_CREDENTIALS.error("Invalid login credentials");
    // what is no address is nobody's
    let contact =
        Contact::parse(credentials.email.as_deref(), credentials.phone.as_deref()).map_err(|_| wrong())?;
    let contact = contact.ok_or_else(|| VALIDATION_FAILED.error("missing email or phone"))?;
    check_provider(context, &contact)?;
    let guess = credentials.password.as_deref().unwrap_or_default();
    for _ in 0..MAX_TRIES {
        // the connection goes back before the hash: a login storm must not hold what refreshes need
        let known = user::by_contact(&mut *context.connection().await?, &contact).await?;
        let stored = known.as_ref().and_then(|user| user.encrypted_password.as_deref());
        let verdict = context.auth.hasher.verify(guess, stored).await?;
        let (Some(user), true) = (known, verdict != Verdict::Wrong) else { return Err(wrong()) };
        check_standing(context, &contact, &user)?;
        if let Some(grant) = begin(context, user, guess, verdict).await? {
            return Ok(grant);
        }
        // what is stored changed since it was read, perhaps into a newer form of the same password
    }
    Err(wrong())
}

async fn begin(context: &Context, mut user: User, guess: &str, verdict: Verdict) -> Result<Option<Grant>> {
    let new = NewSession {
        user: &user,
        method: "password",
        verified_hash: user.encrypted_password.as_deref(),
        client: &context.client,
        now: context.now,
    };
    let begun = session::begin(&mut *context.connection().await?, &context.auth.random, &new).await?;
    let Some(session) = begun else { return Ok(None) };
    if verdict == Verdict::RightAndOutdated {
        rehash(context, &user, guess).await?;
    }
    user.last_sign_in_at = Some(context.now.into());
    Grant::new(context, &session, user).await.map(Some)
}

fn check_provider(context: &Context, contact: &Contact) -> Result<()> {
    match contact {
        Contact::Email(_) if !context.settings.email.enable_signup => {
            Err(EMAIL_LOGIN_DISABLED.error("Email logins are disabled"))
        }
        Contact::Phone(_) if !context.settings.sms.enable_signup => {
            Err(PHONE_LOGIN_DISABLED.error("Phone logins are disabled"))
        }
        _ => Ok(()),
    }
}

/// Asked only once the password is right: before, it would tell who has an account.
fn check_standing(context: &Context, contact: &Contact, user: &User) -> Result<()> {
    if user.is_banned(context.now) {
        return Err(USER_BANNED_AT_LOGIN.error("User is banned"));
    }
    match contact {
        Contact::Email(_) if user.email_confirmed_at.is_none() => {
            Err(EMAIL_NOT_CONFIRMED.error("Email not confirmed"))
        }
        Contact::Phone(_) if user.phone_confirmed_at.is_none() => {
            Err(PHONE_NOT_CONFIRMED.error("Phone not confirmed"))
        }
        _ => Ok(()),
    }
}

/// Stores an imported user's password in our own form.
async fn rehash(context: &Context, user: &User, guess: &str) -> Result<()> {
    // the rules are for new passwords: an imported one may be shorter
    let (Some(old), Ok(password)) = (&user.encrypted_password, Password::accept(guess, 0)) else {
        return Ok(());
    };
    let new = context.auth.hasher.hash(&password).await?;
    user::rehash(&mut *context.connection().await?, user.id, old, &new).await
}

/// Two round trips, one for a token that was used before.
async fn refresh(context: &Context, text: &str) -> Result<Grant> {
    context.limit(Action::Refresh)?;
    let not_found = || REFRESH_TOKEN_NOT_FOUND.error("Invalid Refresh Token: Refresh Token Not Found");
    let token = Presented::parse(text).ok_or_else(not_found)?;
    let mut connection = context.connection().await?;
    for _ in 0..MAX_LOOKS {
        let found = session::with_user(&mut connection, token.session).await?;
        let (mut session, user) = found.ok_or_else(not_found)?;
        if !session.key.as_deref().is_some_and(|key| token.is_genuine(key)) {
            return Err(not_found());
        }
        check_alive(context, &session, &user)?;
        match standing(token.counter, session.counter, refreshed_lately(context, &session)) {
            Standing::Current => {
                if session::advance(&mut connection, &session, &user, &context.client, context.now).await? {
                    session.counter += 1;
                    return Grant::new(context, &session, user).await;
                }
                // another request was faster: look again, and get what it got
            }
            Standing::Forgiven => return Grant::new(context, &session, user).await,
            Standing::Reused => {
                if context.settings.enable_refresh_token_rotation {
                    session::revoke(&mut connection, session.id, &user, &context.client, context.now).await?;
                }
                return Err(REFRESH_TOKEN_ALREADY_USED.error("Invalid Refresh Token: Already Used"));
            }
            Standing::Ahead => return Err(not_found()),
        }
    }
    Err(retry_later(Fault::Tenant, 1))
}

fn check_alive(context: &Context, session: &Session, user: &User) -> Result<(), Error> {
    if session.not_after.is_some_and(|end| end <= context.now) {
        return Err(SESSION_EXPIRED.error("Invalid Refresh Token: Session Expired"));
    }
    if user.is_banned(context.now) {
        return Err(USER_BANNED_AT_LOGIN.error("Invalid Refresh Token: User Banned"));
    }
    Ok(())
}

fn refreshed_lately(context: &Context, session: &Session) -> bool {
    let interval = time::Duration::seconds(context.settings.refresh_token_reuse_interval.into());
    session.refreshed_at.is_some_and(|at| at + interval > context.now)
}
