//! Requests that end in a mail: recovering a password, sending a mail again; and the writing of those mails.

use std::time::Duration;

use base::Result;
use common::db::Tx;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::contact::{Contact, Email, filled};
use crate::context::Context;
use crate::error::{EMAIL_PROVIDER_DISABLED, OrDatabase, PHONE_PROVIDER_DISABLED, VALIDATION_FAILED};
use crate::input::Json;
use crate::limit::{Action, MailKind};
use crate::mail::{Letter, Mail};
use crate::models::audit;
use crate::models::moment::Moment;
use crate::models::one_time_token::{self, Kind};
use crate::models::user::{self, User};

/// Answers take at least this long, so that the work for an address that exists does not show.
const LEAST_TIME: Duration = Duration::from_millis(50);

/// Whose password to recover.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Recover {
    email: Option<String>,
}

/// Mails a link and a code that sign in without the password.
///
/// The answer is `{}` whether or not the address has a user. Errors: `validation_failed` (400),
/// `over_email_send_rate_limit` (429, for unknown addresses too).
#[utoipa::path(post, path = "/recover", operation_id = "recover", tag = "sign in", request_body = Recover, responses((status = 200, body = Object)))]
pub(crate) async fn recover(context: Context, Json(request): Json<Recover>) -> Result<axum::Json<Value>> {
    context.limit(Action::RequestMail)?;
    let email = filled(request.email.as_deref())
        .ok_or_else(|| VALIDATION_FAILED.error("Password recovery requires an email"))?;
    let email = Email::parse(email)?;
    context.limit_mail(MailKind::Recovery, email.as_str())?;
    unhurried(async {
        let mut tx = context.begin().await?;
        match user::by_email(&mut tx, &email).await? {
            Some(user) if !sent_lately(&context, user.recovery_sent_at) => {
                send_recovery(&context, tx, &user).await
            }
            _ => Ok(()),
        }
    })
    .await
}

/// What to send again.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Resend {
    /// `signup` or `email_change`; `sms` and `phone_change` need an SMS provider.
    r#type: Option<String>,
    email: Option<String>,
    phone: Option<String>,
}

/// Mails the open confirmation of a sign-up or of a change of address again.
///
/// The answer is `{}` whether or not there is one. Errors: `validation_failed` (400),
/// `over_email_send_rate_limit` (429, for unknown addresses too).
#[utoipa::path(post, path = "/resend", operation_id = "resend", tag = "sign in", request_body = Resend, responses((status = 200, body = Object)))]
pub(crate) async fn resend(context: Context, Json(request): Json<Resend>) -> Result<axum::Json<Value>> {
    context.limit(Action::RequestMail)?;
    let kind = match request.r#type.as_deref() {
        Some("signup") => MailKind::Confirmation,
        Some("email_change") => MailKind::EmailChange,
        Some("sms" | "phone_change") => {
            return Err(PHONE_PROVIDER_DISABLED.error("Phone logins are disabled"));
        }
        _ => {
            let message = "Missing one of these types: signup, email_change, sms, phone_change";
            return Err(VALIDATION_FAILED.error(message));
        }
    };
    let contact = Contact::parse(request.email.as_deref(), request.phone.as_deref())?;
    let Some(Contact::Email(email)) = contact else {
        return Err(VALIDATION_FAILED.error("Type provided requires an email address"));
    };
    if !context.settings.email.enable_signup {
        return Err(EMAIL_PROVIDER_DISABLED.error("Email logins are disabled"));
    }
    context.limit_mail(kind, email.as_str())?;
    unhurried(async {
        let mut tx = context.begin().await?;
        let Some(user) = user::by_email(&mut tx, &email).await? else { return Ok(()) };
        match (kind, user.new_email.as_deref()) {
            (MailKind::Confirmation, _) if user.email_confirmed_at.is_none() => {
                confirm_sign_up(&context, tx, &user).await.map(drop)
            }
            (MailKind::EmailChange, Some(new)) if !sent_lately(&context, user.email_change_sent_at) => {
                let new = Email::parse(new)?;
                confirm_email_change(&context, &mut tx, &user, &new).await?;
                commit(&context, tx).await
            }
            _ => Ok(()),
        }
    })
    .await
}

/// `{}`, not before [`LEAST_TIME`] has passed.
async fn unhurried(work: impl Future<Output = Result<()>>) -> Result<axum::Json<Value>> {
    let (done, ()) = tokio::join!(work, tokio::time::sleep(LEAST_TIME));
    done?;
    Ok(axum::Json(json!({})))
}

/// Whether a mail of the kind went out so lately that another process must have sent it.
fn sent_lately(context: &Context, sent_at: Option<Moment>) -> bool {
    sent_at.is_some_and(|sent_at| sent_at.0 + context.settings.email.max_frequency > context.now)
}

/// Sends the confirmation of a sign-up, unless that just happened, and commits. Answers the user as it is then.
pub(crate) async fn confirm_sign_up(context: &Context, mut tx: Tx, user: &User) -> Result<User> {
    if sent_lately(context, user.confirmation_sent_at) {
        return Ok(user.clone());
    }
    let letter = Draft { kind: Kind::Confirmation, link_type: "signup", to: &user.email };
    letter.post(context, &mut tx, user, |letter| letter.confirmation()).await?;
    let action = audit::Action::UserConfirmationRequested;
    audit::write(&mut tx, action, user, &context.client, context.now).await?;
    commit(context, tx).await?;
    Ok(User { confirmation_sent_at: Some(context.now.into()), ..user.clone() })
}

async fn send_recovery(context: &Context, mut tx: Tx, user: &User) -> Result<()> {
    let letter = Draft { kind: Kind::Recovery, link_type: "recovery", to: &user.email };
    letter.post(context, &mut tx, user, |letter| letter.recovery()).await?;
    let action = audit::Action::UserRecoveryRequested;
    audit::write(&mut tx, action, user, &context.client, context.now).await?;
    commit(context, tx).await
}

/// Begins a change of address: a mail to the new one, and where the project wants both, to the old one too.
///
/// The caller commits with [`commit`].
pub(crate) async fn confirm_email_change(
    context: &Context,
    tx: &mut Tx,
    user: &User,
    new: &Email,
) -> Result<()> {
    user::begin_email_change(tx, user.id, new, context.now).await?;
    let write = |letter: &Letter<'_>| letter.email_change(&user.email, new.as_str());
    let to_new = Draft { kind: Kind::EmailChangeNew, link_type: "email_change", to: new.as_str() };
    to_new.post(context, tx, user, write).await?;
    if context.settings.email.double_confirm_changes && !user.email.is_empty() {
        let to_old = Draft { kind: Kind::EmailChangeCurrent, link_type: "email_change", to: &user.email };
        to_old.post(context, tx, user, write).await?;
    }
    Ok(())
}

/// Commits, and has what was posted sent.
pub(crate) async fn commit(context: &Context, tx: Tx) -> Result<()> {
    tx.commit().await.or_database()?;
    context.auth.postman.collect(&context.project);
    Ok(())
}

struct Draft<'a> {
    kind: Kind,
    link_type: &'static str,
    to: &'a str,
}

impl Draft<'_> {
    /// Makes the token, writes the letter around it and posts it.
    async fn post(
        &self,
        context: &Context,
        tx: &mut Tx,
        user: &User,
        write: impl FnOnce(&Letter<'_>) -> Mail,
    ) -> Result<()> {
        let (email, random) = (&context.settings.email, &context.auth.random);
        let made =
            one_time_token::issue(tx, random, user.id, self.kind, self.to, email.otp_digits(), context.now)
                .await?;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", &made.hash)
            .append_pair("type", self.link_type)
            .append_pair("redirect_to", &context.redirect())
            .finish();
        let letter = Letter {
            to: self.to,
            link: &format!("{}/verify?{query}", context.base_url),
            code: &made.code,
            expires_at: context.now + time::Duration::seconds(email.otp_expiry.into()),
        };
        write(&letter).post(tx).await
    }
}
