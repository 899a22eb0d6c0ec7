//! PostgREST's options where a database holds them: as settings of the login, or set by a function.
//!
//! Source: docs.postgrest.org/en/v14/references/configuration.html, "In-Database Configuration".

/// `ALTER ROLE … SET pgrst.…`: `[[name, value], …]`, of which a later one counts. On a server that databases share,
/// the login is one of many, and the settings are those of `authenticator` in this database alone.
pub(crate) const OF_LOGIN: &str = r"
SELECT coalesce(json_agg(json_build_array(
    substr(c.setting, 7, strpos(c.setting, '=') - 7), substr(c.setting, strpos(c.setting, '=') + 1)
) ORDER BY s.setdatabase, r.rolname = current_user), '[]')::text
FROM pg_db_role_setting AS s
JOIN pg_roles AS r ON r.oid = s.setrole
CROSS JOIN unnest(s.setconfig) AS c (setting)
WHERE c.setting LIKE 'pgrst.%' AND (
    (r.rolname = current_user AND s.setdatabase = 0)
    OR (r.rolname IN (current_user, 'authenticator')
        AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())))";

/// What a function has set: `[[name, value], …]`. `$1` is the array of names.
pub(crate) const OF_FUNCTION: &str = r"
SELECT coalesce(json_agg(json_build_array(name, current_setting('pgrst.' || name, true))), '[]')::text
FROM unnest($1::text[]) AS known (name) WHERE current_setting('pgrst.' || name, true) IS NOT NULL";
