//! A user's own account: read it, change it.

use axum::Json as Answer;
use base::Result;
use common::db::Tx;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::caller::SignedIn;
use crate::contact::{Contact, Email, Phone, filled};
use crate::context::Context;
use crate::error::{
    INSUFFICIENT_AAL, NOT_ALLOWED_NOW, PHONE_PROVIDER_DISABLED, SAME_PASSWORD, SMS_SEND_FAILED,
    USER_OF_TOKEN_NOT_FOUND, USER_SSO_MANAGED,
};
use crate::input::Json;
use crate::limit::{Action, MailKind};
use crate::models::session::{self, Scope};
use crate::models::user::{self, Changes, User};
use crate::models::{audit, identity, one_time_token};
use crate::password::{Password, Verdict};
use crate::routes::{mail, verify};

/// Answers the signed-in user.
#[utoipa::path(get, path = "/user", operation_id = "get_user", tag = "user", responses((status = 200, body = User)))]
pub(crate) async fn get_user(signed_in: SignedIn) -> Answer<User> {
    Answer(signed_in.user)
}

/// What to change; what is absent stays.
#[derive(Deserialize, ToSchema)]
pub(crate) struct UpdateUser {
    /// Takes effect once it is confirmed.
    email: Option<String>,
    phone: Option<String>,
    /// Ends all other sessions.
    password: Option<String>,
    /// Merged into the user's metadata; a null deletes its key.
    #[schema(value_type = Option<Object>)]
    data: Option<Map<String, Value>>,
}

/// Changes the signed-in user.
///
/// A new address waits in `new_email` until it is confirmed, for permanent users always. Errors (422):
/// `email_exists`, `phone_exists`, `weak_password`, `same_password`, `user_sso_managed`; `insufficient_aal` (401) if a
/// second factor protects the account and this session has not used it.
#[utoipa::path(put, path = "/user", operation_id = "update_user", tag = "user", request_body = UpdateUser, responses((status = 200, body = User)))]
pub(crate) async fn update_user(
    signed_in: SignedIn,
    Json(request): Json<UpdateUser>,
) -> Result<Answer<User>> {
    signed_in.context.limit(Action::UpdateUser)?;
    let wanted = Wanted::parse(&signed_in, request)?;
    wanted.check(&signed_in)?;
    let SignedIn { context, user, session } = signed_in;
    let password_hash = match &wanted.password {
        Some(password) => Some(new_password_hash(&context, &user, password).await?),
        None => None,
    };
    if let Some(email) = wanted.email.as_ref().filter(|_| !wanted.changes_email_at_once(&context, &user)) {
        context.limit_mail(MailKind::EmailChange, email.as_str())?;
    }

    let mut tx = context.begin().await?;
    let changes = wanted.changes(&user, password_hash.as_deref());
    user::update(&mut tx, user.id, &changes, context.now).await?;
    if password_hash.is_some() {
        let scope = session.map_or(Scope::All, |session| Scope::AllBut(session.id));
        session::end(&mut tx, user.id, &scope).await?;
        one_time_token::clear(&mut tx, user.id).await?;
        let action = audit::Action::UserUpdatedPassword;
        audit::write(&mut tx, action, &user, &context.client, context.now).await?;
    }
    if let Some(phone) = &wanted.phone {
        identity::put(&mut tx, user.id, &Contact::Phone(phone.clone()), true, context.now).await?;
    }
    if let Some(email) = &wanted.email {
        change_email(&context, &mut tx, &user, email, wanted.changes_email_at_once(&context, &user)).await?;
    }
    audit::write(&mut tx, audit::Action::UserModified, &user, &context.client, context.now).await?;
    let changed = user::by_id(&mut tx, user.id).await?;
    let changed =
        changed.ok_or_else(|| USER_OF_TOKEN_NOT_FOUND.error("User from sub claim in JWT does not exist"))?;
    mail::commit(&context, tx).await?;
    Ok(Answer(changed))
}

/// A request's changes, parsed; what is already so is left out.
struct Wanted {
    email: Option<Email>,
    phone: Option<Phone>,
    password: Option<(String, Password)>,
    data: Option<Map<String, Value>>,
}

impl Wanted {
    fn parse(signed_in: &SignedIn, request: UpdateUser) -> Result<Wanted> {
        let SignedIn { context, user, .. } = signed_in;
        let minimum = context.settings.minimum_password_length;
        let email = filled(request.email.as_deref()).map(Email::parse).transpose()?;
        let phone = filled(request.phone.as_deref()).map(Phone::parse).transpose()?;
        let accept = |text: String| Password::accept(&text, minimum).map(|password| (text, password));
        Ok(Wanted {
            email: email.filter(|email| email.as_str() != user.email),
            phone: phone.filter(|phone| phone.as_str() != user.phone),
            password: request.password.map(accept).transpose()?,
            data: request.data,
        })
    }

    /// Whether this user, in this session, may make these changes.
    fn check(&self, SignedIn { context, user, session }: &SignedIn) -> Result<()> {
        let changes_access = self.email.is_some() || self.phone.is_some() || self.password.is_some();
        let aal2 = session.as_ref().is_some_and(|session| matches!(session.aal.as_str(), "aal2" | "aal3"));
        if changes_access && user.has_verified_factor() && !aal2 {
            let message = "AAL2 session is required to update email or password when MFA is enabled.";
            return Err(INSUFFICIENT_AAL.error(message));
        }
        if changes_access && user.is_sso_user {
            let message = "Updating email, phone, password of a SSO account only possible via SSO";
            return Err(USER_SSO_MANAGED.error(message));
        }
        if user.is_anonymous && self.password.is_some() && self.email.is_none() && self.phone.is_none() {
            let message = "Updating password of an anonymous user without an email or phone is not allowed";
            return Err(NOT_ALLOWED_NOW.error(message));
        }
        match &self.phone {
            Some(_) if !context.settings.sms.enable_signup => {
                Err(PHONE_PROVIDER_DISABLED.error("Phone logins are disabled"))
            }
            Some(_) if !context.autoconfirms_phone() => Err(SMS_SEND_FAILED
                .error("Error sending confirmation OTP to provider: no SMS provider is set up")),
            _ => Ok(()),
        }
    }

    /// For an anonymous user an address is a sign-up; permanent users always confirm a new one.
    fn changes_email_at_once(&self, context: &Context, user: &User) -> bool {
        user.is_anonymous && context.autoconfirms_email()
    }

    fn changes<'a>(&'a self, user: &User, password_hash: Option<&'a str>) -> Changes<'a> {
        Changes {
            password_hash,
            phone: self.phone.as_ref(),
            confirm_phone: self.phone.is_some(),
            make_permanent: self.phone.is_some(),
            app_metadata: self.phone.as_ref().map(|_| user.providers_with("phone")),
            user_metadata: self.data.clone(),
            ..Changes::default()
        }
    }
}

async fn new_password_hash(
    context: &Context,
    user: &User,
    (text, password): &(String, Password),
) -> Result<String> {
    let stored = user.encrypted_password.as_deref().filter(|stored| !stored.is_empty());
    if stored.is_some() && context.auth.hasher.verify(text, stored).await? != Verdict::Wrong {
        return Err(SAME_PASSWORD.error("New password should be different from the old password."));
    }
    context.auth.hasher.hash(password).await
}

async fn change_email(context: &Context, tx: &mut Tx, user: &User, new: &Email, at_once: bool) -> Result<()> {
    if user::by_email(tx, new).await?.is_some() {
        return Err(user::email_exists());
    }
    if at_once {
        let waiting = User { new_email: Some(new.as_str().to_owned()), ..user.clone() };
        verify::change_email(context, tx, &waiting).await?;
        return Ok(());
    }
    mail::confirm_email_change(context, tx, user, new).await
}
