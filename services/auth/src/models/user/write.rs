//! How users are made, changed and deleted.

use base::{Error, Result, Timestamp};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Metadata, User, by_id};
use crate::contact::{Email, Phone};
use crate::error::{CONFLICT, EMAIL_EXISTS, OrDatabase, PHONE_EXISTS, VALIDATION_FAILED, from_database};

/// Most that both kinds of metadata may take, in bytes of JSON: access tokens carry them in a header.
const MAX_METADATA_BYTES: usize = 10 * 1024;

/// A user to be made.
pub(crate) struct NewUser<'a> {
    pub(crate) id: Uuid,
    pub(crate) aud: &'a str,
    pub(crate) role: &'a str,
    pub(crate) email: Option<&'a Email>,
    pub(crate) email_confirmed: bool,
    pub(crate) phone: Option<&'a Phone>,
    pub(crate) phone_confirmed: bool,
    pub(crate) password_hash: Option<&'a str>,
    pub(crate) app_metadata: Metadata,
    pub(crate) user_metadata: Metadata,
    pub(crate) banned_until: Option<Timestamp>,
    pub(crate) is_anonymous: bool,
    pub(crate) now: Timestamp,
}

/// Makes the user; `false` if its id, address or number is taken.
pub(crate) async fn insert(connection: &mut PgConnection, new: &NewUser<'_>) -> Result<bool> {
    check_size(&new.app_metadata, &new.user_metadata)?;
    let done = sqlx::query!(
        r#"INSERT INTO auth.users
            (instance_id, id, aud, role, email, email_confirmed_at, phone, phone_confirmed_at, encrypted_password,
             raw_app_meta_data, raw_user_meta_data, banned_until, is_anonymous, created_at, updated_at,
             confirmation_token, recovery_token, email_change_token_new, email_change)
        VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN $14::timestamptz END, $7, CASE WHEN $8 THEN $14 END, $9,
             $10, $11, $12, $13, $14, $14, '', '', '', '')
        ON CONFLICT DO NOTHING"#,
        Uuid::nil(),
        new.id,
        new.aud,
        new.role,
        new.email.map(Email::as_str),
        new.email_confirmed,
        new.phone.map(Phone::as_str),
        new.phone_confirmed,
        new.password_hash,
        &new.app_metadata as &Metadata,
        &new.user_metadata as &Metadata,
        new.banned_until,
        new.is_anonymous,
        new.now
    )
    .execute(connection)
    .await
    .or_trigger("Database error saving new user")?;
    Ok(done.rows_affected() == 1)
}

/// What changes of a user; what is `None` or `false` stays.
#[derive(Default)]
pub(crate) struct Changes<'a> {
    pub(crate) role: Option<&'a str>,
    pub(crate) email: Option<&'a Email>,
    pub(crate) confirm_email: bool,
    pub(crate) phone: Option<&'a Phone>,
    pub(crate) confirm_phone: bool,
    pub(crate) password_hash: Option<&'a str>,
    /// Merged into what is there; a null deletes its key.
    pub(crate) app_metadata: Option<Map<String, Value>>,
    /// Merged into what is there; a null deletes its key.
    pub(crate) user_metadata: Option<Map<String, Value>>,
    /// `Some(None)` lifts a ban.
    pub(crate) banned_until: Option<Option<Timestamp>>,
    /// An anonymous user becomes a permanent one.
    pub(crate) make_permanent: bool,
}

/// Changes the user and returns it; `None` if there is none.
///
/// Errors: `email_exists`, `phone_exists`; `validation_failed` if the metadata grows too large.
pub(crate) async fn update(
    connection: &mut PgConnection,
    id: Uuid,
    changes: &Changes<'_>,
    now: Timestamp,
) -> Result<Option<User>> {
    let (app_merged, app_deleted) = split_nulls(changes.app_metadata.as_ref());
    let (user_merged, user_deleted) = split_nulls(changes.user_metadata.as_ref());
    sqlx::query!(
        r#"UPDATE auth.users SET
            role = coalesce($2, role),
            email = coalesce($3, email),
            email_confirmed_at = CASE WHEN $4 THEN coalesce(email_confirmed_at, $15) ELSE email_confirmed_at END,
            phone = coalesce($5, phone),
            phone_confirmed_at = CASE WHEN $6 THEN coalesce(phone_confirmed_at, $15) ELSE phone_confirmed_at END,
            encrypted_password = coalesce($7, encrypted_password),
            raw_app_meta_data = (coalesce(nullif(raw_app_meta_data, 'null'), '{}') || $8) - $9::text[],
            raw_user_meta_data = (coalesce(nullif(raw_user_meta_data, 'null'), '{}') || $10) - $11::text[],
            banned_until = CASE WHEN $12 THEN $13 ELSE banned_until END,
            is_anonymous = is_anonymous AND NOT $14,
            updated_at = $15::timestamptz
        WHERE id = $1"#,
        id,
        changes.role,
        changes.email.map(Email::as_str),
        changes.confirm_email,
        changes.phone.map(Phone::as_str),
        changes.confirm_phone,
        changes.password_hash,
        Value::Object(app_merged),
        &app_deleted,
        Value::Object(user_merged),
        &user_deleted,
        changes.banned_until.is_some(),
        changes.banned_until.flatten(),
        changes.make_permanent,
        now
    )
    .execute(&mut *connection)
    .await
    .map_err(|error| taken(&error).unwrap_or_else(|| from_database(error, "Database error updating user")))?;
    let user = by_id(connection, id).await?;
    if let Some(user) = &user
        && (changes.app_metadata.is_some() || changes.user_metadata.is_some())
    {
        check_size(&user.app_metadata, &user.user_metadata)?;
    }
    Ok(user)
}

fn check_size(app: &Metadata, user: &Metadata) -> Result<()> {
    let bytes = |metadata: &Metadata| serde_json::to_string(metadata).map_or(usize::MAX, |json| json.len());
    if bytes(app).saturating_add(bytes(user)) > MAX_METADATA_BYTES {
        let message = format!(
            "user_metadata and app_metadata together must not exceed {MAX_METADATA_BYTES} bytes of JSON"
        );
        return Err(VALIDATION_FAILED.error(message));
    }
    Ok(())
}

/// The entries to merge, and the keys to delete.
fn split_nulls(map: Option<&Map<String, Value>>) -> (Map<String, Value>, Vec<String>) {
    let (mut merged, mut deleted) = (Map::new(), Vec::new());
    for (key, value) in map.into_iter().flatten() {
        if value.is_null() {
            deleted.push(key.clone());
        } else {
            merged.insert(key.clone(), value.clone());
        }
    }
    (merged, deleted)
}

/// The error for a unique address or number that somebody else has.
fn taken(error: &sqlx::Error) -> Option<Error> {
    let database = error.as_database_error().filter(|error| error.is_unique_violation())?;
    match (database.table(), database.constraint()) {
        (Some("users"), Some("users_phone_key")) => Some(phone_exists()),
        (Some("users"), Some(_)) => Some(email_exists()),
        _ => None,
    }
}

pub(crate) fn email_exists() -> Error {
    EMAIL_EXISTS.error("A user with this email address has already been registered")
}

pub(crate) fn phone_exists() -> Error {
    PHONE_EXISTS.error("A user with this phone number has already been registered")
}

/// Stores the password in a newer form, unless it was changed meanwhile.
pub(crate) async fn rehash(connection: &mut PgConnection, id: Uuid, old: &str, new: &str) -> Result<()> {
    sqlx::query!(
        "UPDATE auth.users SET encrypted_password = $3 WHERE id = $1 AND encrypted_password = $2",
        id,
        old,
        new
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}

/// Begins a change of address that is yet to be confirmed.
pub(crate) async fn begin_email_change(
    connection: &mut PgConnection,
    id: Uuid,
    new: &Email,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        "UPDATE auth.users SET email_change = $2, email_change_sent_at = $3, email_change_confirm_status = 0, \
         email_change_token_current = '', updated_at = $3 WHERE id = $1",
        id,
        new.as_str(),
        now
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}

/// Notes that one of two addresses has confirmed the change; `false` if the other one had already.
pub(crate) async fn confirm_half_of_email_change(connection: &mut PgConnection, id: Uuid) -> Result<bool> {
    let done = sqlx::query!(
        "UPDATE auth.users SET email_change_confirm_status = 1 WHERE id = $1 AND email_change_confirm_status = 0",
        id
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(done.rows_affected() == 1)
}

/// Ends a change of address, confirmed or overtaken.
pub(crate) async fn end_email_change(connection: &mut PgConnection, id: Uuid) -> Result<()> {
    sqlx::query!(
        "UPDATE auth.users SET email_change = '', email_change_confirm_status = 0 WHERE id = $1",
        id
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}

/// Deletes the user and everything that hangs on it.
///
/// Errors: `conflict` (409) if a table of the project refers to the user and does not cascade.
pub(crate) async fn delete(connection: &mut PgConnection, id: Uuid) -> Result<()> {
    let deleted = sqlx::query!("DELETE FROM auth.users WHERE id = $1", id).execute(connection).await;
    match deleted {
        Ok(_) => Ok(()),
        Err(error) => Err(referring_table(&error)
            .map(|table| {
                CONFLICT.error(format!("Database error deleting user: table {table:?} still refers to it"))
            })
            .unwrap_or_else(|| from_database(error, "Database error deleting user"))),
    }
}

/// The table whose foreign key forbids a deletion.
fn referring_table(error: &sqlx::Error) -> Option<String> {
    let database = error.as_database_error().filter(|error| error.is_foreign_key_violation())?;
    database.table().map(str::to_owned)
}

/// Keeps the row for those who refer to it, and forgets who it was.
///
/// Addresses become hashes that hold the id too: they are free again, and cannot be tried out one by one.
pub(crate) async fn soft_delete(connection: &mut PgConnection, id: Uuid, now: Timestamp) -> Result<()> {
    sqlx::query!(
        r#"WITH sessions AS (DELETE FROM auth.sessions WHERE user_id = $1),
            codes AS (DELETE FROM auth.one_time_tokens WHERE user_id = $1),
            factors AS (DELETE FROM auth.mfa_factors WHERE user_id = $1),
            passkeys AS (DELETE FROM auth.webauthn_credentials WHERE user_id = $1),
            identities AS (
                UPDATE auth.identities SET identity_data = '{}', updated_at = $2,
                    provider_id = encode(sha256(convert_to(id::text || provider_id, 'UTF8')), 'hex')
                WHERE user_id = $1)
        UPDATE auth.users SET
            email = encode(sha256(convert_to(id::text || email, 'UTF8')), 'hex'),
            phone = left(encode(sha256(convert_to(id::text || phone, 'UTF8')), 'hex'), 15),
            encrypted_password = '', raw_app_meta_data = '{}', raw_user_meta_data = '{}',
            email_change = '', phone_change = '', confirmation_token = '', recovery_token = '',
            email_change_token_new = '', email_change_token_current = '', phone_change_token = '',
            reauthentication_token = '', deleted_at = $2, updated_at = $2
        WHERE id = $1"#,
        id,
        now
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}
