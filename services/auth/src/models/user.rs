//! Users: the row that is also the answer, and how it is found.

use base::{Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::identity::{Factor, Identity};
use super::moment::Moment;
use crate::contact::{Contact, Email, Phone};
use crate::error::OrDatabase;

mod write;

pub(crate) use write::{
    Changes, NewUser, begin_email_change, confirm_half_of_email_change, delete, email_exists,
    end_email_change, insert, phone_exists, rehash, soft_delete, update,
};

/// Free-form data: the user's own to change, or (for the app's) the project's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[sqlx(transparent)]
#[schema(value_type = Object)]
pub(crate) struct Metadata(sqlx::types::Json<Map<String, Value>>);

impl Metadata {
    pub(crate) fn new(map: Map<String, Value>) -> Metadata {
        Metadata(sqlx::types::Json(map))
    }

    pub(crate) fn map(&self) -> &Map<String, Value> {
        &self.0.0
    }
}

/// A user. Times that are not known are left out.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) aud: String,
    pub(crate) role: String,
    pub(crate) email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email_confirmed_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) invited_at: Option<Moment>,
    pub(crate) phone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phone_confirmed_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confirmation_sent_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confirmed_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovery_sent_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email_change_sent_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new_phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phone_change_sent_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reauthentication_sent_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_sign_in_at: Option<Moment>,
    pub(crate) app_metadata: Metadata,
    pub(crate) user_metadata: Metadata,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) factors: Vec<Factor>,
    pub(crate) identities: Vec<Identity>,
    pub(crate) created_at: Moment,
    pub(crate) updated_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) banned_until: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deleted_at: Option<Moment>,
    pub(crate) is_anonymous: bool,
    #[serde(skip)]
    pub(crate) encrypted_password: Option<String>,
    #[serde(skip)]
    pub(crate) is_sso_user: bool,
}

impl User {
    /// Whether the user may not sign in at `now`; deleted users whose rows are kept may not either.
    pub(crate) fn is_banned(&self, now: Timestamp) -> bool {
        self.deleted_at.is_some() || self.banned_until.is_some_and(|until| until.0 > now)
    }

    /// Whether a second factor protects the account.
    pub(crate) fn has_verified_factor(&self) -> bool {
        self.factors.iter().any(|factor| factor.status == "verified")
    }

    /// The part of the app's metadata that names the user's providers, with `provider` among them.
    pub(crate) fn providers_with(&self, provider: &str) -> Map<String, Value> {
        let mut all: Vec<&str> = self.identities.iter().map(|identity| identity.provider.as_str()).collect();
        all.push(provider);
        all.sort_unstable();
        all.dedup();
        let first = self.identities.first().map_or(provider, |identity| &identity.provider);
        providers(first, &all)
    }

    /// What a sign-up with a taken address gets: looks like a fresh user, is nobody.
    pub(crate) fn nobody(
        id: Uuid,
        contact: &Contact,
        user_metadata: Map<String, Value>,
        now: Timestamp,
    ) -> User {
        User {
            id,
            aud: "authenticated".to_owned(),
            role: String::new(),
            email: contact.email().map_or("", Email::as_str).to_owned(),
            email_confirmed_at: None,
            invited_at: None,
            phone: contact.phone().map_or("", Phone::as_str).to_owned(),
            phone_confirmed_at: None,
            confirmation_sent_at: Some(now.into()),
            confirmed_at: None,
            recovery_sent_at: None,
            new_email: None,
            email_change_sent_at: None,
            new_phone: None,
            phone_change_sent_at: None,
            reauthentication_sent_at: None,
            last_sign_in_at: None,
            app_metadata: Metadata::new(providers(contact.provider(), &[contact.provider()])),
            user_metadata: Metadata::new(user_metadata),
            factors: Vec::new(),
            identities: Vec::new(),
            created_at: now.into(),
            updated_at: now.into(),
            banned_until: None,
            deleted_at: None,
            is_anonymous: false,
            encrypted_password: None,
            is_sso_user: false,
        }
    }
}

/// `{"provider": first, "providers": all}`.
pub(crate) fn providers(first: &str, all: &[&str]) -> Map<String, Value> {
    Map::from_iter([("provider".to_owned(), json!(first)), ("providers".to_owned(), json!(all))])
}

/// The user with this id.
pub(crate) async fn by_id(connection: &mut PgConnection, id: Uuid) -> Result<Option<User>> {
    let row = select_user!("", "WHERE u.id = $1", id).fetch_optional(connection).await.or_database()?;
    Ok(row.map(|row| user_of!(row)))
}

/// The user that `contact` belongs to; users of single sign-on are not found by address.
pub(crate) async fn by_contact(connection: &mut PgConnection, contact: &Contact) -> Result<Option<User>> {
    match contact {
        Contact::Email(email) => by_email(connection, email).await,
        Contact::Phone(phone) => by_phone(connection, phone).await,
    }
}

/// The user with this address.
pub(crate) async fn by_email(connection: &mut PgConnection, email: &Email) -> Result<Option<User>> {
    let row = select_user!("", "WHERE u.email = $1 AND NOT u.is_sso_user", email.as_str())
        .fetch_optional(connection)
        .await
        .or_database()?;
    Ok(row.map(|row| user_of!(row)))
}

async fn by_phone(connection: &mut PgConnection, phone: &Phone) -> Result<Option<User>> {
    let row = select_user!("", "WHERE u.phone = $1 AND NOT u.is_sso_user", phone.as_str())
        .fetch_optional(connection)
        .await
        .or_database()?;
    Ok(row.map(|row| user_of!(row)))
}

/// Users whose address contains `filter`, newest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    filter: &str,
    offset: i64,
    limit: i64,
) -> Result<Vec<User>> {
    let rows = select_user!(
        "",
        "WHERE $1 = '' OR strpos(u.email, $1) > 0 ORDER BY u.created_at DESC, u.id OFFSET $2 LIMIT $3",
        filter,
        offset,
        limit
    )
    .fetch_all(connection)
    .await
    .or_database()?;
    Ok(rows.into_iter().map(|row| user_of!(row)).collect())
}

/// How many users have an address that contains `filter`.
pub(crate) async fn count(connection: &mut PgConnection, filter: &str) -> Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM auth.users WHERE $1 = '' OR strpos(email, $1) > 0"#,
        filter
    )
    .fetch_one(connection)
    .await
    .or_database()
}
