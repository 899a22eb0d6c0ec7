//! A code or a link from a mail becomes a confirmed address, and a session.

use axum::response::IntoResponse;
use base::{Error, Response, Result};
use common::db::Tx;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use http::{HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use utoipa::{IntoParams, ToSchema};

use crate::contact::{Contact, Email, filled};
use crate::context::Context;
use crate::error::{OTP_EXPIRED, OrDatabase, USER_BANNED, VALIDATION_FAILED};
use crate::grant::Grant;
use crate::input::{Json, Query};
use crate::limit::Action;
use crate::models::audit;
use crate::models::identity;
use crate::models::one_time_token::{self, Kind, Used};
use crate::models::session::{self, NewSession};
use crate::models::user::{self, Changes, User};

const HALF_WAY: &str = "Confirmation link accepted. Please proceed to confirm link sent to the other email";

/// A code with its address, or the hash of a link.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Verify {
    /// `signup`, `invite`, `magiclink`, `recovery`, `email_change` or `email`.
    r#type: Option<String>,
    /// The code that was typed.
    token: Option<String>,
    /// The token of a link, instead of `token` and `email`.
    token_hash: Option<String>,
    email: Option<String>,
    phone: Option<String>,
}

/// The first of two confirmations of a change of address.
#[derive(Serialize, ToSchema)]
pub(crate) struct HalfWay {
    msg: &'static str,
    code: &'static str,
}

/// What a code leads to.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Verified {
    Session(Box<Grant>),
    HalfWay(HalfWay),
}

impl IntoResponse for Verified {
    fn into_response(self) -> Response {
        match self {
            Verified::Session(grant) => grant.into_response(),
            Verified::HalfWay(half_way) => axum::Json(half_way).into_response(),
        }
    }
}

/// Signs in with a code or the token of a link. Each works once.
///
/// Errors: `otp_expired` (403), `user_banned` (403), `validation_failed` (400), `over_request_rate_limit` (429) after
/// too many codes for one address.
#[utoipa::path(post, path = "/verify", operation_id = "verify", tag = "sign in", request_body = Verify, responses((status = 200, body = Verified)))]
pub(crate) async fn verify(context: Context, Json(request): Json<Verify>) -> Result<Verified> {
    context.limit(Action::Verify)?;
    let kinds = kinds(filled(request.r#type.as_deref()))?;
    let presented = match (filled(request.token_hash.as_deref()), filled(request.token.as_deref())) {
        (Some(_), _)
            if filled(request.email.as_deref()).is_some() || filled(request.phone.as_deref()).is_some() =>
        {
            return Err(VALIDATION_FAILED.error("Only the token_hash and type should be provided"));
        }
        (Some(hash), _) => Presented::Hash(hash.to_owned()),
        (None, Some(code)) => {
            let contact = Contact::parse(request.email.as_deref(), request.phone.as_deref())?;
            let message = "Only an email address or phone number should be provided";
            Presented::Code(code.to_owned(), contact.ok_or_else(|| VALIDATION_FAILED.error(message))?)
        }
        (None, None) => return Err(VALIDATION_FAILED.error("Verify requires a token or a token hash")),
    };
    match redeem(&context, &presented, kinds).await? {
        Outcome::SignedIn(grant) => Ok(Verified::Session(grant)),
        Outcome::HalfWay => Ok(Verified::HalfWay(HalfWay { msg: HALF_WAY, code: "200" })),
        Outcome::Expired => Err(OTP_EXPIRED.error("Token has expired or is invalid")),
    }
}

/// The link of a mail.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Link {
    /// The link's token; with `email`, the code of the mail.
    token: Option<String>,
    /// As in `POST /verify`.
    r#type: Option<String>,
    /// The address, if `token` is the code.
    email: Option<String>,
}

/// Follows the link of a mail: to the app, with the session or an error in the fragment.
///
/// A `HEAD` request, as link checkers send it, uses nothing up.
#[utoipa::path(get, path = "/verify", operation_id = "verify_link", tag = "sign in", params(Link, ("redirect_to" = Option<String>, Query, description = "where to, if the project allows it")), responses((status = 303)))]
pub(crate) async fn follow_link(
    method: Method,
    context: Context,
    Query(link): Query<Link>,
) -> Result<Response> {
    if method == Method::HEAD {
        return Ok(StatusCode::OK.into_response());
    }
    context.limit(Action::Verify)?;
    let kinds = kinds(filled(link.r#type.as_deref()))?;
    let token = filled(link.token.as_deref());
    let token = token.ok_or_else(|| VALIDATION_FAILED.error("Verify requires a token or a token hash"))?;
    let presented = match filled(link.email.as_deref()) {
        Some(email) => Presented::Code(token.to_owned(), Contact::Email(Email::parse(email)?)),
        None => Presented::Hash(token.to_owned()),
    };
    let fragment = match redeem(&context, &presented, kinds).await {
        Ok(Outcome::SignedIn(grant)) => grant_fragment(&grant, link.r#type.as_deref().unwrap_or_default()),
        Ok(Outcome::HalfWay) => fragment(&[("message", HALF_WAY)]),
        Ok(Outcome::Expired) => error_fragment(&OTP_EXPIRED.error("Email link is invalid or has expired")),
        Err(error) if error.status().is_client_error() && error.status() != StatusCode::TOO_MANY_REQUESTS => {
            error_fragment(&error)
        }
        Err(error) => return Err(error),
    };
    redirect(&context.redirect(), &fragment)
}

fn kinds(kind: Option<&str>) -> Result<&'static [Kind]> {
    Ok(match kind {
        Some("signup" | "invite") => &[Kind::Confirmation],
        Some("recovery" | "magiclink") => &[Kind::Recovery],
        Some("email") => &[Kind::Confirmation, Kind::Recovery],
        Some("email_change") => &[Kind::EmailChangeNew, Kind::EmailChangeCurrent],
        // no such token can be open without an SMS provider
        Some("sms" | "phone_change") => &[],
        Some(_) => return Err(VALIDATION_FAILED.error("Invalid email verification type")),
        None => return Err(VALIDATION_FAILED.error("Verify requires a verification type")),
    })
}

enum Presented {
    Hash(String),
    Code(String, Contact),
}

enum Outcome {
    SignedIn(Box<Grant>),
    HalfWay,
    Expired,
}

/// Uses the token up, and does what it is for; nothing happens if the user may not sign in.
async fn redeem(context: &Context, presented: &Presented, kinds: &[Kind]) -> Result<Outcome> {
    let since = context.codes_since();
    let mut tx = context.begin().await?;
    let hash = match presented {
        Presented::Hash(hash) => Some(hash.clone()),
        Presented::Code(code, contact) => {
            context.limit_guesses(contact.as_str())?;
            one_time_token::find(&mut tx, contact.as_str(), code, kinds, since).await?
        }
    };
    let Some(hash) = hash else { return Ok(Outcome::Expired) };
    let Some(used) = one_time_token::redeem(&mut tx, &hash, kinds, since).await? else {
        return Ok(Outcome::Expired);
    };
    let Some(user) = user::by_id(&mut tx, used.user).await? else { return Ok(Outcome::Expired) };
    if user.is_banned(context.now) {
        return Err(USER_BANNED.error("User is banned"));
    }
    let user = match used.kind {
        Kind::Confirmation | Kind::Recovery => confirm_address(context, &mut tx, &user, &used).await?,
        Kind::EmailChangeNew | Kind::EmailChangeCurrent => {
            if !is_current(&used, &user) {
                return Ok(Outcome::Expired);
            }
            if needs_both(context, &used, &user)
                && user::confirm_half_of_email_change(&mut tx, user.id).await?
            {
                tx.commit().await.or_database()?;
                return Ok(Outcome::HalfWay);
            }
            change_email(context, &mut tx, &user).await?
        }
    };
    let Some(user) = user else { return Ok(Outcome::Expired) };
    let grant = sign_in(context, tx, user).await?;
    Ok(Outcome::SignedIn(Box::new(grant)))
}

/// Whether the token is of the change that is under way, not of an earlier one.
fn is_current(used: &Used, user: &User) -> bool {
    match used.kind {
        Kind::EmailChangeCurrent => used.address == user.email,
        _ => Some(used.address.as_str()) == user.new_email.as_deref(),
    }
}

/// Whether the other address has a say too. The new one always has: it is what is to be proved.
fn needs_both(context: &Context, used: &Used, user: &User) -> bool {
    let double = context.settings.email.double_confirm_changes && !user.email.is_empty();
    double || used.kind == Kind::EmailChangeCurrent
}

/// Notes that the user reads mail at the address; `None` if the address is another by now.
async fn confirm_address(context: &Context, tx: &mut Tx, user: &User, used: &Used) -> Result<Option<User>> {
    if user.email != used.address {
        return Ok(None);
    }
    one_time_token::clear(tx, user.id).await?;
    if user.email_confirmed_at.is_some() {
        return Ok(Some(user.clone()));
    }
    let contact = Contact::Email(Email::parse(&user.email)?);
    identity::put(tx, user.id, &contact, true, context.now).await?;
    audit::write(tx, audit::Action::UserSignedUp, user, &context.client, context.now).await?;
    let changes = Changes {
        confirm_email: true,
        user_metadata: Some(Map::from_iter([("email_verified".to_owned(), json!(true))])),
        ..Changes::default()
    };
    user::update(tx, user.id, &changes, context.now).await
}

/// Gives the user the address that was waiting; an anonymous user becomes a permanent one.
///
/// Errors: `email_exists` (422) if somebody took it meanwhile.
pub(crate) async fn change_email(context: &Context, tx: &mut Tx, user: &User) -> Result<Option<User>> {
    let Some(new) = user.new_email.as_deref() else { return Ok(None) };
    let contact = Contact::Email(Email::parse(new)?);
    let mut user_metadata = Map::from_iter([("email_verified".to_owned(), json!(true))]);
    if user.user_metadata.map().contains_key("email") {
        user_metadata.insert("email".to_owned(), json!(new));
    }
    let changes = Changes {
        email: contact.email(),
        confirm_email: true,
        app_metadata: Some(user.providers_with("email")),
        user_metadata: Some(user_metadata),
        make_permanent: true,
        ..Changes::default()
    };
    identity::put(tx, user.id, &contact, true, context.now).await?;
    user::end_email_change(tx, user.id).await?;
    one_time_token::clear(tx, user.id).await?;
    let changed = user::update(tx, user.id, &changes, context.now).await?;
    audit::write(tx, audit::Action::UserModified, user, &context.client, context.now).await?;
    Ok(changed)
}

async fn sign_in(context: &Context, mut tx: Tx, mut user: User) -> Result<Grant> {
    let new = NewSession {
        user: &user,
        method: "otp",
        verified_hash: None,
        client: &context.client,
        now: context.now,
    };
    let session = session::begin(&mut tx, &context.auth.random, &new).await?;
    let session = session.ok_or_else(|| USER_BANNED.error("User is banned"))?;
    tx.commit().await.or_database()?;
    user.last_sign_in_at = Some(context.now.into());
    Grant::new(context, &session, user).await
}

fn grant_fragment(grant: &Grant, kind: &str) -> String {
    fragment(&[
        ("access_token", &grant.access_token),
        ("expires_at", &grant.expires_at.to_string()),
        ("expires_in", &grant.expires_in.to_string()),
        ("refresh_token", &grant.refresh_token),
        ("token_type", grant.token_type),
        ("type", kind),
    ])
}

fn error_fragment(error: &Error) -> String {
    fragment(&[
        ("error", "access_denied"),
        ("error_code", error.code.name()),
        ("error_description", &error.message),
    ])
}

/// The pairs, and the empty mark by which clients know that the fragment is this service's.
fn fragment(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).append_pair("sb", "").finish()
}

/// To the app; browsers neither keep the address nor tell it to the next page.
fn redirect(target: &str, fragment: &str) -> Result<Response> {
    let base = target.split('#').next().unwrap_or_default();
    let location = HeaderValue::from_str(&format!("{base}#{fragment}")).map_err(Error::internal)?;
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}
