//! The log of what happened to users, written in the transaction in which it happened.

use base::{Result, Timestamp};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::user::User;
use crate::context::Client;
use crate::error::OrDatabase;

/// What happened; the names are those that readers of the log know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Login,
    Logout,
    UserSignedUp,
    UserRepeatedSignUp,
    UserConfirmationRequested,
    UserRecoveryRequested,
    UserModified,
    UserUpdatedPassword,
    UserDeleted,
    TokenRefreshed,
    TokenRevoked,
}

impl Action {
    /// Its name, and the part of the log it belongs to.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Action::Login => ("login", "account"),
            Action::Logout => ("logout", "account"),
            Action::UserSignedUp => ("user_signedup", "team"),
            Action::UserRepeatedSignUp => ("user_repeated_signup", "user"),
            Action::UserConfirmationRequested => ("user_confirmation_requested", "user"),
            Action::UserRecoveryRequested => ("user_recovery_requested", "user"),
            Action::UserModified => ("user_modified", "user"),
            Action::UserUpdatedPassword => ("user_updated_password", "user"),
            Action::UserDeleted => ("user_deleted", "team"),
            Action::TokenRefreshed => ("token_refreshed", "token"),
            Action::TokenRevoked => ("token_revoked", "token"),
        }
    }
}

/// An entry as it is stored. `actor` is the user it happened to.
pub(crate) fn payload(action: Action, actor: &User) -> Value {
    let (action, log_type) = action.names();
    let name = if actor.email.is_empty() { &actor.phone } else { &actor.email };
    json!({
        "action": action,
        "actor_id": actor.id,
        "actor_username": name,
        "actor_via_sso": actor.is_sso_user,
        "log_type": log_type,
    })
}

/// Writes one entry.
pub(crate) async fn write(
    connection: &mut PgConnection,
    action: Action,
    actor: &User,
    client: &Client,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at, ip_address) \
         VALUES ($1, gen_random_uuid(), $2::json, $3, coalesce($4, ''))",
        Uuid::nil(),
        payload(action, actor),
        now,
        client.ip_text()
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}
