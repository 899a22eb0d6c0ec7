//! Signing up: with an address or number and a password, or anonymously.

use axum::response::IntoResponse;
use base::{Response, Result};
use common::db::Tx;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::contact::{Contact, filled};
use crate::context::Context;
use crate::error::{
    ANONYMOUS_PROVIDER_DISABLED, EMAIL_PROVIDER_DISABLED, OrDatabase, PHONE_PROVIDER_DISABLED,
    SIGNUP_DISABLED, SMS_SEND_FAILED, USER_ALREADY_EXISTS, VALIDATION_FAILED,
};
use crate::grant::Grant;
use crate::input::Json;
use crate::limit::{Action, MailKind};
use crate::models::audit;
use crate::models::identity;
use crate::models::session::{self, NewSession};
use crate::models::user::{self, Metadata, NewUser, User};
use crate::password::Password;
use crate::routes::mail;

/// A sign-up: `email` or `phone` with `password`; without either it is anonymous.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SignUp {
    email: Option<String>,
    phone: Option<String>,
    password: Option<String>,
    /// Becomes the user's metadata.
    #[schema(value_type = Option<Object>)]
    data: Option<Map<String, Value>>,
}

/// A session at once, or a user who is yet to confirm.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum SignedUp {
    Session(Box<Grant>),
    User(Box<User>),
}

impl SignedUp {
    fn session(grant: Grant) -> SignedUp {
        SignedUp::Session(Box::new(grant))
    }
}

impl IntoResponse for SignedUp {
    fn into_response(self) -> Response {
        match self {
            SignedUp::Session(grant) => grant.into_response(),
            SignedUp::User(user) => axum::Json(user).into_response(),
        }
    }
}

/// Signs somebody up.
///
/// Answers a session where addresses count as confirmed, else the user alone, and a mail goes out. A taken address
/// looks the same to the caller: the answer is then a user who is nobody, with no identities.
///
/// Errors: `signup_disabled`, `anonymous_provider_disabled`, `user_already_exists` (only where addresses count as
/// confirmed), `weak_password` (422); `email_provider_disabled`, `validation_failed` (400).
#[utoipa::path(post, path = "/signup", operation_id = "sign_up", tag = "sign in", request_body = SignUp, responses((status = 200, body = SignedUp)))]
pub(crate) async fn sign_up(context: Context, Json(request): Json<SignUp>) -> Result<SignedUp> {
    if !context.settings.enable_signup {
        return Err(SIGNUP_DISABLED.error("Signups not allowed for this instance"));
    }
    let data = request.data.unwrap_or_default();
    let Some(contact) = Contact::parse(request.email.as_deref(), request.phone.as_deref())? else {
        return sign_up_anonymously(&context, data).await.map(SignedUp::session);
    };
    context.limit(Action::SignUp)?;
    check_provider(&context, &contact)?;
    let password = filled(request.password.as_deref())
        .ok_or_else(|| VALIDATION_FAILED.error("Signup requires a valid password"))?;
    let password = Password::accept(password, context.settings.minimum_password_length)?;
    if context.autoconfirms(&contact) {
        sign_up_confirmed(&context, &contact, &password, data).await.map(SignedUp::session)
    } else {
        let user = sign_up_unconfirmed(&context, &contact, &password, data).await?;
        Ok(SignedUp::User(Box::new(user)))
    }
}

fn check_provider(context: &Context, contact: &Contact) -> Result<()> {
    match contact {
        Contact::Email(_) if !context.settings.email.enable_signup => {
            Err(EMAIL_PROVIDER_DISABLED.error("Email signups are disabled"))
        }
        Contact::Phone(_) if !context.settings.sms.enable_signup => {
            Err(PHONE_PROVIDER_DISABLED.error("Phone signups are disabled"))
        }
        _ => Ok(()),
    }
}

async fn sign_up_anonymously(context: &Context, data: Map<String, Value>) -> Result<Grant> {
    if !context.settings.enable_anonymous_sign_ins {
        return Err(ANONYMOUS_PROVIDER_DISABLED.error("Anonymous sign-ins are disabled"));
    }
    context.limit(Action::SignUpAnonymously)?;
    let mut tx = context.begin().await?;
    let new = NewUser {
        app_metadata: Metadata::default(),
        user_metadata: Metadata::new(data),
        is_anonymous: true,
        ..blank(context)
    };
    user::insert(&mut tx, &new).await?;
    let user = reload(&mut tx, &new).await?;
    audit::write(&mut tx, audit::Action::UserSignedUp, &user, &context.client, context.now).await?;
    begin_session(context, tx, user, "anonymous").await
}

/// Makes a confirmed user and signs them in.
///
/// Whoever has the address already keeps it, confirmed or not: an unconfirmed one may be an invited user with
/// rights, or bait with a password that somebody else knows.
async fn sign_up_confirmed(
    context: &Context,
    contact: &Contact,
    password: &Password,
    data: Map<String, Value>,
) -> Result<Grant> {
    let hash = context.auth.hasher.hash(password).await?;
    let mut tx = context.begin().await?;
    let user = insert(context, &mut tx, contact, &hash, data, true)
        .await?
        .ok_or_else(|| USER_ALREADY_EXISTS.error("User already registered"))?;
    begin_session(context, tx, user, "password").await
}

/// Makes an unconfirmed user and writes to them; for a taken address it does as much and tells nothing.
async fn sign_up_unconfirmed(
    context: &Context,
    contact: &Contact,
    password: &Password,
    data: Map<String, Value>,
) -> Result<User> {
    let Contact::Email(email) = contact else {
        return Err(
            SMS_SEND_FAILED.error("Error sending confirmation OTP to provider: no SMS provider is set up")
        );
    };
    context.limit_mail(MailKind::Confirmation, email.as_str())?;
    let hash = context.auth.hasher.hash(password).await?;
    let mut tx = context.begin().await?;
    if let Some(user) = insert(context, &mut tx, contact, &hash, data.clone(), false).await? {
        return mail::confirm_sign_up(context, tx, &user).await;
    }
    match user::by_email(&mut tx, email).await? {
        // the password stays the first one: whoever signs up again has not proved to be the same
        Some(user) if user.email_confirmed_at.is_none() => {
            let user = mail::confirm_sign_up(context, tx, &user).await?;
            // what the first one told of themselves is not for the second
            let nobody = User::nobody(user.id, contact, data, context.now);
            Ok(User { user_metadata: nobody.user_metadata, app_metadata: nobody.app_metadata, ..user })
        }
        taken => {
            if let Some(user) = taken {
                audit::write(&mut tx, audit::Action::UserRepeatedSignUp, &user, &context.client, context.now)
                    .await?;
            }
            tx.commit().await.or_database()?;
            Ok(User::nobody(context.auth.random.uuid(), contact, data, context.now))
        }
    }
}

/// Makes the user with its identity; `None` if the address or number is taken.
async fn insert(
    context: &Context,
    tx: &mut Tx,
    contact: &Contact,
    password_hash: &str,
    data: Map<String, Value>,
    confirmed: bool,
) -> Result<Option<User>> {
    let blank = blank(context);
    let mut user_metadata = data;
    user_metadata.extend(identity::data(blank.id, contact, confirmed));
    let new = NewUser {
        email: contact.email(),
        email_confirmed: confirmed && contact.email().is_some(),
        phone: contact.phone(),
        phone_confirmed: confirmed && contact.phone().is_some(),
        password_hash: Some(password_hash),
        app_metadata: Metadata::new(user::providers(contact.provider(), &[contact.provider()])),
        user_metadata: Metadata::new(user_metadata),
        ..blank
    };
    if !user::insert(tx, &new).await? {
        return Ok(None);
    }
    identity::put(tx, new.id, contact, confirmed, context.now).await?;
    let user = reload(tx, &new).await?;
    if confirmed {
        audit::write(tx, audit::Action::UserSignedUp, &user, &context.client, context.now).await?;
    }
    Ok(Some(user))
}

fn blank(context: &Context) -> NewUser<'static> {
    NewUser {
        id: context.auth.random.uuid(),
        aud: "authenticated",
        role: "authenticated",
        email: None,
        email_confirmed: false,
        phone: None,
        phone_confirmed: false,
        password_hash: None,
        app_metadata: Metadata::default(),
        user_metadata: Metadata::default(),
        banned_until: None,
        is_anonymous: false,
        now: context.now,
    }
}

/// The user as the database has it: the project's triggers may have changed it.
async fn reload(tx: &mut Tx, new: &NewUser<'_>) -> Result<User> {
    let user = user::by_id(tx, new.id).await?;
    user.ok_or_else(|| base::Error::internal("a trigger of the project removed the new user"))
}

async fn begin_session(context: &Context, mut tx: Tx, mut user: User, method: &'static str) -> Result<Grant> {
    let new =
        NewSession { user: &user, method, verified_hash: None, client: &context.client, now: context.now };
    let session = session::begin(&mut tx, &context.auth.random, &new).await?;
    let session = session.ok_or_else(|| base::Error::internal("a new user cannot sign in"))?;
    tx.commit().await.or_database()?;
    user.last_sign_in_at = Some(context.now.into());
    Grant::new(context, &session, user).await
}
