//! The project's own back end manages users.

use axum::Json as Answer;
use axum::response::IntoResponse;
use base::{Error, Response, Result, Timestamp};
use common::db::Tx;
use http::header::LINK;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Admin;
use crate::contact::{Contact, Email, Phone, filled};
use crate::context::Context;
use crate::duration;
use crate::error::{OrDatabase, USER_NOT_FOUND, VALIDATION_FAILED};
use crate::input::{Json, Query, UserId};
use crate::models::session::{self, Scope};
use crate::models::user::{self, Changes, Metadata, NewUser, User};
use crate::models::{audit, identity, one_time_token};
use crate::password::{Password, is_supported_hash};

mod page;

use page::{Page, links};

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// Users, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Users {
    users: Vec<User>,
    aud: &'static str,
}

/// Lists users, newest first.
///
/// `X-Total-Count` is how many there are; `Link` names the next and the last page.
#[utoipa::path(get, path = "/admin/users", operation_id = "list_users", tag = "admin", params(Page), responses((status = 200, body = Users)))]
pub(crate) async fn list_users(Admin(context): Admin, Query(query): Query<Page>) -> Result<Response> {
    let (page, per_page) = query.parse()?;
    let filter = query.filter.as_deref().unwrap_or_default().to_lowercase();
    let mut connection = context.connection().await?;
    let total = user::count(&mut connection, &filter).await?;
    let users = user::list(&mut connection, &filter, (page - 1) * per_page, per_page).await?;
    let links = links(&context.base_url, page, per_page, total);
    let links = HeaderValue::from_str(&links).map_err(Error::internal)?;
    let headers = [(TOTAL_COUNT, HeaderValue::from(total)), (LINK, links)];
    Ok((headers, Answer(Users { users, aud: "authenticated" })).into_response())
}

/// A user as the back end writes it; what is absent stays, or takes its default.
#[derive(Deserialize, ToSchema)]
pub(crate) struct AdminUser {
    /// A chosen id, for a new user only.
    id: Option<Uuid>,
    /// For a new user only.
    aud: Option<String>,
    /// The database role that the user's requests run under.
    role: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    password: Option<String>,
    /// argon2 or bcrypt, instead of `password`.
    password_hash: Option<String>,
    /// Counts the address as confirmed.
    email_confirm: Option<bool>,
    /// Counts the number as confirmed.
    phone_confirm: Option<bool>,
    /// For an existing user merged; a null deletes its key.
    #[schema(value_type = Option<Object>)]
    user_metadata: Option<Map<String, Value>>,
    /// For an existing user merged; a null deletes its key.
    #[schema(value_type = Option<Object>)]
    app_metadata: Option<Map<String, Value>>,
    /// Such as `24h`; `none` lifts a ban.
    ban_duration: Option<String>,
}

/// An [`AdminUser`], parsed.
struct Wanted {
    email: Option<Email>,
    phone: Option<Phone>,
    password_hash: Option<String>,
    banned_until: Option<Option<Timestamp>>,
}

impl Wanted {
    async fn parse(context: &Context, request: &AdminUser) -> Result<Wanted> {
        Ok(Wanted {
            email: filled(request.email.as_deref()).map(Email::parse).transpose()?,
            phone: filled(request.phone.as_deref()).map(Phone::parse).transpose()?,
            banned_until: banned_until(request.ban_duration.as_deref(), context.now)?,
            password_hash: password_hash(context, request).await?,
        })
    }

    fn contacts(&self) -> impl Iterator<Item = Contact> {
        let email = self.email.clone().map(Contact::Email);
        email.into_iter().chain(self.phone.clone().map(Contact::Phone))
    }
}

async fn password_hash(context: &Context, request: &AdminUser) -> Result<Option<String>> {
    match (filled(request.password.as_deref()), filled(request.password_hash.as_deref())) {
        (Some(_), Some(_)) => {
            Err(VALIDATION_FAILED.error("Only a password or a password hash should be provided"))
        }
        (Some(password), None) => {
            let password = Password::accept(password, context.settings.minimum_password_length)?;
            context.auth.hasher.hash(&password).await.map(Some)
        }
        (None, Some(hash)) if hash.len() <= 255 && is_supported_hash(hash) => Ok(Some(hash.to_owned())),
        (None, Some(_)) => {
            Err(VALIDATION_FAILED.error("password_hash is neither an argon2 nor a bcrypt hash"))
        }
        (None, None) => Ok(None),
    }
}

fn banned_until(text: Option<&str>, now: Timestamp) -> Result<Option<Option<Timestamp>>> {
    match filled(text) {
        None => Ok(None),
        Some("none") => Ok(Some(None)),
        Some(text) => {
            let invalid = || VALIDATION_FAILED.error(format!("invalid format for ban duration: {text:?}"));
            duration::parse(text).map(|banned| Some(Some(now + banned))).ok_or_else(invalid)
        }
    }
}

/// Makes a user, without a mail.
///
/// Errors (422): `email_exists`, `phone_exists`, `weak_password`; `validation_failed` (400) without address and number.
#[utoipa::path(post, path = "/admin/users", operation_id = "create_user", tag = "admin", request_body = AdminUser, responses((status = 200, body = User)))]
pub(crate) async fn create_user(
    Admin(context): Admin,
    Json(request): Json<AdminUser>,
) -> Result<Answer<User>> {
    let wanted = Wanted::parse(&context, &request).await?;
    let providers: Vec<&str> = wanted.contacts().map(|contact| contact.provider()).collect();
    let Some(first) = providers.first() else {
        return Err(VALIDATION_FAILED.error("Cannot create a user without either an email or phone"));
    };
    let mut app_metadata = request.app_metadata.unwrap_or_default();
    app_metadata.extend(user::providers(first, &providers));
    let (email_confirmed, phone_confirmed) =
        (request.email_confirm == Some(true), request.phone_confirm == Some(true));
    let new = NewUser {
        id: request.id.unwrap_or_else(|| context.auth.random.uuid()),
        aud: filled(request.aud.as_deref()).unwrap_or("authenticated"),
        role: filled(request.role.as_deref()).unwrap_or("authenticated"),
        email: wanted.email.as_ref(),
        email_confirmed: email_confirmed && wanted.email.is_some(),
        phone: wanted.phone.as_ref(),
        phone_confirmed: phone_confirmed && wanted.phone.is_some(),
        password_hash: wanted.password_hash.as_deref(),
        app_metadata: Metadata::new(app_metadata),
        user_metadata: Metadata::new(request.user_metadata.unwrap_or_default()),
        banned_until: wanted.banned_until.flatten(),
        is_anonymous: false,
        now: context.now,
    };
    let mut tx = context.begin().await?;
    if !user::insert(&mut tx, &new).await? {
        return Err(taken(&mut tx, &wanted).await?);
    }
    for contact in wanted.contacts() {
        let verified = if contact.email().is_some() { email_confirmed } else { phone_confirmed };
        identity::put(&mut tx, new.id, &contact, verified, context.now).await?;
    }
    let user = user::by_id(&mut tx, new.id).await?.ok_or_else(user_not_found)?;
    audit::write(&mut tx, audit::Action::UserSignedUp, &user, &context.client, context.now).await?;
    tx.commit().await.or_database()?;
    Ok(Answer(user))
}

/// What of a user that could not be made is somebody else's.
async fn taken(tx: &mut Tx, wanted: &Wanted) -> Result<Error> {
    for contact in wanted.contacts() {
        if user::by_contact(tx, &contact).await?.is_some() {
            return Ok(if contact.email().is_some() { user::email_exists() } else { user::phone_exists() });
        }
    }
    Ok(VALIDATION_FAILED.error("a user with this id exists"))
}

/// Answers a user.
#[utoipa::path(get, path = "/admin/users/{id}", operation_id = "get_user_by_id", tag = "admin", params(("id" = Uuid, Path)), responses((status = 200, body = User)))]
pub(crate) async fn get_user(Admin(context): Admin, UserId(id): UserId) -> Result<Answer<User>> {
    let user = user::by_id(&mut *context.connection().await?, id).await?;
    user.map(Answer).ok_or_else(user_not_found)
}

/// Changes a user. A new password or a ban ends the user's sessions.
///
/// Errors: `user_not_found` (404); `email_exists`, `phone_exists`, `weak_password` (422).
#[utoipa::path(put, path = "/admin/users/{id}", operation_id = "update_user_by_id", tag = "admin", params(("id" = Uuid, Path)), request_body = AdminUser, responses((status = 200, body = User)))]
pub(crate) async fn update_user(
    Admin(context): Admin,
    UserId(id): UserId,
    Json(request): Json<AdminUser>,
) -> Result<Answer<User>> {
    let wanted = Wanted::parse(&context, &request).await?;
    let mut tx = context.begin().await?;
    let user = user::by_id(&mut tx, id).await?.ok_or_else(user_not_found)?;
    let mut app_metadata = request.app_metadata;
    for contact in wanted.contacts() {
        let verified = match &contact {
            Contact::Email(_) => user.email_confirmed_at.is_some() || request.email_confirm == Some(true),
            Contact::Phone(_) => user.phone_confirmed_at.is_some() || request.phone_confirm == Some(true),
        };
        identity::put(&mut tx, id, &contact, verified, context.now).await?;
        app_metadata.get_or_insert_default().extend(user.providers_with(contact.provider()));
    }
    let changes = Changes {
        role: filled(request.role.as_deref()),
        email: wanted.email.as_ref(),
        confirm_email: request.email_confirm == Some(true),
        phone: wanted.phone.as_ref(),
        confirm_phone: request.phone_confirm == Some(true),
        password_hash: wanted.password_hash.as_deref(),
        app_metadata,
        user_metadata: request.user_metadata,
        banned_until: wanted.banned_until,
        make_permanent: wanted.email.is_some() || wanted.phone.is_some(),
    };
    let changed = user::update(&mut tx, id, &changes, context.now).await?.ok_or_else(user_not_found)?;
    if changed.email != user.email || wanted.password_hash.is_some() {
        one_time_token::clear(&mut tx, id).await?;
        user::end_email_change(&mut tx, id).await?;
    }
    if wanted.password_hash.is_some() || changed.is_banned(context.now) {
        session::end(&mut tx, id, &Scope::All).await?;
    }
    audit::write(&mut tx, audit::Action::UserModified, &changed, &context.client, context.now).await?;
    tx.commit().await.or_database()?;
    Ok(Answer(changed))
}

/// How to delete.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Deletion {
    /// Keeps the row, forgets who it was, and frees the address.
    should_soft_delete: Option<bool>,
}

/// Deletes a user with sessions, identities, and whatever of the project's own tables cascades.
///
/// Errors: `user_not_found` (404).
#[utoipa::path(delete, path = "/admin/users/{id}", operation_id = "delete_user", tag = "admin", params(("id" = Uuid, Path)), request_body = Deletion, responses((status = 200, body = Object)))]
pub(crate) async fn delete_user(
    Admin(context): Admin,
    UserId(id): UserId,
    Json(deletion): Json<Deletion>,
) -> Result<Answer<Value>> {
    let mut tx = context.begin().await?;
    let user = user::by_id(&mut tx, id).await?.ok_or_else(user_not_found)?;
    if deletion.should_soft_delete != Some(true) {
        user::delete(&mut tx, id).await?;
    } else if user.deleted_at.is_none() {
        user::soft_delete(&mut tx, id, context.now).await?;
    }
    audit::write(&mut tx, audit::Action::UserDeleted, &user, &context.client, context.now).await?;
    tx.commit().await.or_database()?;
    Ok(Answer(json!({})))
}

fn user_not_found() -> Error {
    USER_NOT_FOUND.error("User not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_lasts_as_long_as_it_says() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(banned_until(None, now).unwrap(), None);
        assert_eq!(banned_until(Some("none"), now).unwrap(), Some(None));
        assert_eq!(banned_until(Some("24h"), now).unwrap(), Some(Some(now + time::Duration::days(1))));
        assert!(banned_until(Some("forever"), now).is_err());
    }
}
