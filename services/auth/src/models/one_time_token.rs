//! One-time tokens: one open per user and kind, used at most once, whoever comes first.

use base::{Random, Result, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::OrDatabase;
use crate::one_time_code::{self, OneTimeCode};

/// What a token is for; the names are the database's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Confirmation,
    Recovery,
    EmailChangeNew,
    EmailChangeCurrent,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Confirmation => "confirmation_token",
            Kind::Recovery => "recovery_token",
            Kind::EmailChangeNew => "email_change_token_new",
            Kind::EmailChangeCurrent => "email_change_token_current",
        }
    }

    fn parse(name: &str) -> Option<Kind> {
        [Kind::Confirmation, Kind::Recovery, Kind::EmailChangeNew, Kind::EmailChangeCurrent]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

fn names(kinds: &[Kind]) -> Vec<String> {
    kinds.iter().map(|kind| kind.name().to_owned()).collect()
}

/// Makes a token of `digits` digits for `address`; it replaces an open one of its kind.
///
/// The user's row shows the hash and the time too, where tools of existing projects look for them.
pub(crate) async fn issue(
    connection: &mut PgConnection,
    random: &Random,
    user: Uuid,
    kind: Kind,
    address: &str,
    digits: usize,
    now: Timestamp,
) -> Result<OneTimeCode> {
    let made = OneTimeCode::generate(random, address, digits);
    sqlx::query!(
        r#"WITH token AS (
            INSERT INTO auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to, created_at, updated_at)
            VALUES ($1, $2, $3::text::auth.one_time_token_type, $4, $5,
                $6::timestamptz AT TIME ZONE 'UTC', $6 AT TIME ZONE 'UTC')
            ON CONFLICT (user_id, token_type) DO UPDATE SET id = excluded.id, token_hash = excluded.token_hash,
                relates_to = excluded.relates_to, created_at = excluded.created_at, updated_at = excluded.updated_at
        )
        UPDATE auth.users SET updated_at = $6,
            confirmation_token = CASE $3 WHEN 'confirmation_token' THEN $4 ELSE confirmation_token END,
            confirmation_sent_at = CASE $3 WHEN 'confirmation_token' THEN $6 ELSE confirmation_sent_at END,
            recovery_token = CASE $3 WHEN 'recovery_token' THEN $4 ELSE recovery_token END,
            recovery_sent_at = CASE $3 WHEN 'recovery_token' THEN $6 ELSE recovery_sent_at END,
            email_change_token_new =
                CASE $3 WHEN 'email_change_token_new' THEN $4 ELSE email_change_token_new END,
            email_change_token_current =
                CASE $3 WHEN 'email_change_token_current' THEN $4 ELSE email_change_token_current END
        WHERE id = $2"#,
        made.id,
        user,
        kind.name(),
        made.hash,
        address,
        now
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(made)
}

/// The hash of the open token that `code` belongs to, of those for `address` made after `since`.
pub(crate) async fn find(
    connection: &mut PgConnection,
    address: &str,
    code: &str,
    kinds: &[Kind],
    since: Timestamp,
) -> Result<Option<String>> {
    // several users may be changing to one address; each has a code of its own
    let rows = sqlx::query!(
        "SELECT id, token_hash FROM auth.one_time_tokens WHERE relates_to = $1 AND token_type::text = ANY($2) \
         AND created_at > $3::timestamptz AT TIME ZONE 'UTC' ORDER BY created_at DESC LIMIT 20",
        address,
        &names(kinds),
        since
    )
    .fetch_all(connection)
    .await
    .or_database()?;
    let mut fitting =
        rows.into_iter().filter(|row| one_time_code::matches(row.id, address, code, &row.token_hash));
    Ok(fitting.next().map(|row| row.token_hash))
}

/// A token that was just used.
pub(crate) struct Used {
    pub(crate) user: Uuid,
    pub(crate) kind: Kind,
    /// The address it was sent to.
    pub(crate) address: String,
}

/// Uses the token up; `None` if there is none, it has expired, or it was used before.
///
/// One statement decides: of two that come at once, one finds nothing.
pub(crate) async fn redeem(
    connection: &mut PgConnection,
    hash: &str,
    kinds: &[Kind],
    since: Timestamp,
) -> Result<Option<Used>> {
    let row = sqlx::query!(
        r#"DELETE FROM auth.one_time_tokens WHERE token_hash = $1 AND token_type::text = ANY($2)
            AND created_at > $3::timestamptz AT TIME ZONE 'UTC'
        RETURNING user_id, token_type::text AS "token_type!", relates_to"#,
        hash,
        &names(kinds),
        since
    )
    .fetch_optional(connection)
    .await
    .or_database()?;
    Ok(row.and_then(|row| {
        Some(Used { user: row.user_id, kind: Kind::parse(&row.token_type)?, address: row.relates_to })
    }))
}

/// Drops every open token of the user: after a confirmation or a change of password none of them may work.
pub(crate) async fn clear(connection: &mut PgConnection, user: Uuid) -> Result<()> {
    sqlx::query!(
        "WITH dropped AS (DELETE FROM auth.one_time_tokens WHERE user_id = $1) \
         UPDATE auth.users SET confirmation_token = '', recovery_token = '', email_change_token_new = '', \
             email_change_token_current = '', phone_change_token = '', reauthentication_token = '' WHERE id = $1",
        user
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}
