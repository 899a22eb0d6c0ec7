//! Sessions: made at sign-in, moved on at each refresh, deleted at sign-out.

use base::{Random, Result, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::audit::{self, Action};
use super::user::User;
use crate::context::Client;
use crate::error::OrDatabase;
use crate::refresh_token;

/// One way the session was authenticated: an element of the `amr` claim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Authentication {
    method: String,
    /// Seconds since 1970.
    timestamp: i64,
}

/// A session as tokens need it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    /// `aal1`, or higher with a second factor.
    pub(crate) aal: String,
    /// Newest first.
    pub(crate) amr: Vec<Authentication>,
    /// The number of the newest refresh token.
    pub(crate) counter: i64,
    /// What refresh tokens are authenticated with; sessions from elsewhere may have none.
    pub(crate) key: Option<String>,
    pub(crate) refreshed_at: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
}

impl Session {
    /// The newest refresh token.
    pub(crate) fn refresh_token(&self) -> Option<String> {
        refresh_token::issue(self.id, self.counter, self.key.as_deref()?)
    }
}

/// A session to be begun.
pub(crate) struct NewSession<'a> {
    pub(crate) user: &'a User,
    /// The `amr` method, such as `password` or `otp`.
    pub(crate) method: &'static str,
    /// What the password was verified against: if it is another by now, there is no session.
    pub(crate) verified_hash: Option<&'a str>,
    pub(crate) client: &'a Client,
    pub(crate) now: Timestamp,
}

/// Begins a session and notes the sign-in; `None` if the user is gone, banned, or has another password by now.
///
/// One statement: the user's row is locked by its update, so that a change of password either comes first and is
/// seen, or comes after and finds this session to end.
pub(crate) async fn begin(
    connection: &mut PgConnection,
    random: &Random,
    new: &NewSession<'_>,
) -> Result<Option<Session>> {
    let (id, key) = (random.uuid(), refresh_token::generate_key(random));
    let done = sqlx::query!(
        r#"WITH signed_in AS (
            UPDATE auth.users SET last_sign_in_at = $4, updated_at = $4
            WHERE id = $1 AND deleted_at IS NULL AND (banned_until IS NULL OR banned_until <= $4)
                AND ($2::text IS NULL OR encrypted_password = $2)
            RETURNING id
        ), session AS (
            INSERT INTO auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip,
                refresh_token_hmac_key, refresh_token_counter)
            SELECT $3, id, $4, $4, 'aal1', $5, ($6::text)::inet, $7, 0 FROM signed_in
            RETURNING id
        ), authenticated AS (
            INSERT INTO auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
            SELECT gen_random_uuid(), id, $4, $4, $8 FROM session
        )
        INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
        SELECT $9, gen_random_uuid(), $10::json, $4::timestamptz, coalesce($6, '') FROM session"#,
        new.user.id,
        new.verified_hash,
        id,
        new.now,
        new.client.user_agent,
        new.client.ip_text(),
        key,
        new.method,
        Uuid::nil(),
        audit::payload(Action::Login, new.user)
    )
    .execute(connection)
    .await
    .or_database()?;
    let method = Authentication { method: new.method.to_owned(), timestamp: new.now.unix_timestamp() };
    Ok((done.rows_affected() == 1).then(|| Session {
        id,
        aal: "aal1".to_owned(),
        amr: vec![method],
        counter: 0,
        key: Some(key),
        refreshed_at: None,
        not_after: None,
    }))
}

/// The session of a refresh token with its user.
pub(crate) async fn with_user(connection: &mut PgConnection, id: Uuid) -> Result<Option<(Session, User)>> {
    let row = select_user!(
        r#", s.id AS session_id, coalesce(s.aal::text, 'aal1') AS "aal!", s.refresh_token_hmac_key,
            coalesce(s.refresh_token_counter, 0) AS "counter!", s.refreshed_at AT TIME ZONE 'UTC' AS refreshed_at,
            s.not_after,
            coalesce((SELECT jsonb_agg(jsonb_build_object('method', a.authentication_method, 'timestamp',
                    floor(extract(epoch FROM a.created_at))::bigint) ORDER BY a.created_at DESC)
                FROM auth.mfa_amr_claims AS a WHERE a.session_id = s.id), '[]')
                AS "amr!: crate::models::Authentications""#,
        "JOIN auth.sessions AS s ON s.user_id = u.id WHERE s.id = $1 AND s.oauth_client_id IS NULL",
        id
    )
    .fetch_optional(connection)
    .await
    .or_database()?;
    Ok(row.map(|row| {
        let session = Session {
            id: row.session_id,
            aal: row.aal,
            amr: row.amr.0,
            counter: row.counter,
            key: row.refresh_token_hmac_key,
            refreshed_at: row.refreshed_at,
            not_after: row.not_after,
        };
        (session, user_of!(row))
    }))
}

/// The user with this id, and of its sessions the one with `session`'s.
pub(crate) async fn of_user(
    connection: &mut PgConnection,
    user: Uuid,
    session: Option<Uuid>,
) -> Result<Option<(User, Option<SignedInSession>)>> {
    let row = select_user!(
        r#", s.id AS "session_id?", s.aal::text AS "aal?""#,
        "LEFT JOIN auth.sessions AS s ON s.user_id = u.id AND s.id = $2 WHERE u.id = $1",
        user,
        session
    )
    .fetch_optional(connection)
    .await
    .or_database()?;
    Ok(row.map(|row| {
        let session = row.session_id.map(|id| SignedInSession { id, aal: row.aal.unwrap_or_default() });
        (user_of!(row), session)
    }))
}

/// The session behind an access token.
pub(crate) struct SignedInSession {
    pub(crate) id: Uuid,
    pub(crate) aal: String,
}

/// Moves the session on from `counter`; `false` if another request did so first.
///
/// The one statement that makes a refresh token usable once; it notes the refresh too.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    session: &Session,
    user: &User,
    client: &Client,
    now: Timestamp,
) -> Result<bool> {
    let done = sqlx::query!(
        r#"WITH advanced AS (
            UPDATE auth.sessions SET refresh_token_counter = $2 + 1, refreshed_at = $3::timestamptz AT TIME ZONE 'UTC',
                updated_at = $3, user_agent = coalesce($4, user_agent), ip = coalesce(($5::text)::inet, ip)
            WHERE id = $1 AND refresh_token_counter = $2
            RETURNING id
        )
        INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
        SELECT $6, gen_random_uuid(), $7::json, $3, coalesce($5, '') FROM advanced"#,
        session.id,
        session.counter,
        now,
        client.user_agent,
        client.ip_text(),
        Uuid::nil(),
        audit::payload(Action::TokenRefreshed, user)
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(done.rows_affected() == 1)
}

/// Ends a session whose refresh token was used by two parties. A transaction of its own: it stands although the
/// request fails.
pub(crate) async fn revoke(
    connection: &mut PgConnection,
    session: Uuid,
    user: &User,
    client: &Client,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        r#"WITH revoked AS (DELETE FROM auth.sessions WHERE id = $1 RETURNING id)
        INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
        SELECT $2, gen_random_uuid(), $3::json, $4, coalesce($5, '') FROM revoked"#,
        session,
        Uuid::nil(),
        audit::payload(Action::TokenRevoked, user),
        now,
        client.ip_text()
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}

/// Which of a user's sessions.
pub(crate) enum Scope {
    All,
    Only(Uuid),
    AllBut(Uuid),
}

/// Ends sessions of a user.
pub(crate) async fn end(connection: &mut PgConnection, user: Uuid, scope: &Scope) -> Result<()> {
    let (only, but) = match scope {
        Scope::All => (None, None),
        Scope::Only(session) => (Some(*session), None),
        Scope::AllBut(session) => (None, Some(*session)),
    };
    sqlx::query!(
        "DELETE FROM auth.sessions WHERE user_id = $1 AND ($2::uuid IS NULL OR id = $2) AND id IS DISTINCT FROM $3",
        user,
        only,
        but
    )
    .execute(connection)
    .await
    .or_database()?;
    Ok(())
}
