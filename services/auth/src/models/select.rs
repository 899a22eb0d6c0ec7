//! Reads whole users, and what goes with them, in one statement that is still checked at compile time.

/// `SELECT` of all columns of a [`User`](super::user::User), then `$extra` columns, then the rest of the statement.
///
/// The table's alias is `u`. Turn the row into a user with `user_of!`.
macro_rules! select_user {
    ($extra:tt, $from:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query!(
            r#"SELECT u.id, coalesce(u.aud, '') AS "aud!", coalesce(u.role, '') AS "role!",
                coalesce(u.email, '') AS "email!", u.email_confirmed_at, u.invited_at,
                coalesce(u.phone, '') AS "phone!", u.phone_confirmed_at, u.confirmation_sent_at, u.confirmed_at,
                u.recovery_sent_at, nullif(u.email_change, '') AS new_email, u.email_change_sent_at,
                nullif(u.phone_change, '') AS new_phone, u.phone_change_sent_at, u.reauthentication_sent_at,
                u.last_sign_in_at,
                coalesce(nullif(u.raw_app_meta_data, 'null'), '{}') AS "app_metadata!: crate::models::Metadata",
                coalesce(nullif(u.raw_user_meta_data, 'null'), '{}') AS "user_metadata!: crate::models::Metadata",
                coalesce((SELECT jsonb_agg(to_jsonb(f) ORDER BY f.created_at)
                    FROM auth.mfa_factors AS f WHERE f.user_id = u.id), '[]')
                    AS "factors!: crate::models::Factors",
                coalesce((SELECT jsonb_agg(to_jsonb(i) ORDER BY i.created_at)
                    FROM auth.identities AS i WHERE i.user_id = u.id), '[]')
                    AS "identities!: crate::models::Identities",
                coalesce(u.created_at, 'epoch') AS "created_at!", coalesce(u.updated_at, 'epoch') AS "updated_at!",
                u.banned_until, u.deleted_at, u.is_anonymous, u.encrypted_password, u.is_sso_user"#
                + $extra + " FROM auth.users AS u " + $from
            $(, $argument)*
        )
    };
}

/// The user of a row read with `select_user!`.
macro_rules! user_of {
    ($row:expr) => {
        crate::models::user::User {
            id: $row.id,
            aud: $row.aud,
            role: $row.role,
            email: $row.email,
            email_confirmed_at: $row.email_confirmed_at.map(Into::into),
            invited_at: $row.invited_at.map(Into::into),
            phone: $row.phone,
            phone_confirmed_at: $row.phone_confirmed_at.map(Into::into),
            confirmation_sent_at: $row.confirmation_sent_at.map(Into::into),
            confirmed_at: $row.confirmed_at.map(Into::into),
            recovery_sent_at: $row.recovery_sent_at.map(Into::into),
            new_email: $row.new_email,
            email_change_sent_at: $row.email_change_sent_at.map(Into::into),
            new_phone: $row.new_phone,
            phone_change_sent_at: $row.phone_change_sent_at.map(Into::into),
            reauthentication_sent_at: $row.reauthentication_sent_at.map(Into::into),
            last_sign_in_at: $row.last_sign_in_at.map(Into::into),
            app_metadata: $row.app_metadata,
            user_metadata: $row.user_metadata,
            factors: $row.factors.0,
            identities: $row.identities.0,
            created_at: $row.created_at.into(),
            updated_at: $row.updated_at.into(),
            banned_until: $row.banned_until.map(Into::into),
            deleted_at: $row.deleted_at.map(Into::into),
            is_anonymous: $row.is_anonymous,
            encrypted_password: $row.encrypted_password,
            is_sso_user: $row.is_sso_user,
        }
    };
}
