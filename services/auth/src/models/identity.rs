//! What is known of a user through one provider, and the user's second factors.

use base::{Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment::Moment;
use crate::contact::Contact;
use crate::error::OrDatabase;

/// A user as one provider knows them; signing up with an address or number makes one too.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Identity {
    /// The row's id.
    #[serde(rename(serialize = "identity_id", deserialize = "id"))]
    #[schema(rename = "identity_id")]
    identity_id: Uuid,
    /// The provider's name for the user.
    #[serde(rename(serialize = "id", deserialize = "provider_id"))]
    #[schema(rename = "id")]
    subject: String,
    user_id: Uuid,
    #[schema(value_type = Object)]
    identity_data: Map<String, Value>,
    pub(crate) provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_sign_in_at: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_at: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

/// A second factor, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Factor {
    id: Uuid,
    created_at: Option<Moment>,
    updated_at: Option<Moment>,
    /// `verified` or `unverified`.
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    friendly_name: Option<String>,
    /// `totp`, `phone` or `webauthn`.
    factor_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_challenged_at: Option<Moment>,
}

/// What an identity of our own says: the claims of `contact`, whose owner is `user`.
pub(crate) fn data(user: Uuid, contact: &Contact, verified: bool) -> Map<String, Value> {
    let data = match contact {
        Contact::Email(email) => {
            json!({"sub": user, "email": email, "email_verified": verified, "phone_verified": false})
        }
        Contact::Phone(phone) => {
            json!({"sub": user, "phone": phone, "email_verified": false, "phone_verified": verified})
        }
    };
    match data {
        Value::Object(data) => data,
        _ => unreachable!("an object was written"),
    }
}

/// Writes the identity that stands for `contact`, or brings the one there is up to date.
pub(crate) async fn put(
    connection: &mut PgConnection,
    user: Uuid,
    contact: &Contact,
    verified: bool,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        r#"INSERT INTO auth.identities
            (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
        VALUES ($1::uuid::text, $1, $2, $3, $4, $4, $4)
        ON CONFLICT (provider_id, provider) DO UPDATE
        SET identity_data = identities.identity_data || excluded.identity_data, updated_at = excluded.updated_at"#,
        user,
        Value::Object(data(user, contact, verified)),
        contact.provider(),
        now
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}
