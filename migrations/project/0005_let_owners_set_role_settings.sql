-- Supabase projects set the API's options and timeouts as settings of its roles (`ALTER ROLE authenticator SET pgrst.…`).
-- Roles belong to the server, so that no project's owner may alter them; here they may, for their own database and
-- with what any session may set for itself.
CREATE FUNCTION meshbase.set_role_setting(role text, setting text, value text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    named text := lower(setting);
    known text := (SELECT s.context FROM pg_catalog.pg_settings AS s WHERE lower(s.name) = named);
    target text := pg_catalog.format('ALTER ROLE %I IN DATABASE %I', role, pg_catalog.current_database());
BEGIN
    IF NOT pg_catalog.pg_has_role(session_user, (
        SELECT d.datdba FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
    ), 'MEMBER') THEN
        RAISE insufficient_privilege USING MESSAGE = 'only the owner of the database sets what its roles start with';
    END IF;
    IF role NOT IN ('anon', 'authenticated', 'service_role', 'authenticator') THEN
        RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('%L is not a role of the API', role);
    END IF;
    -- other names with a dot may be an extension's, which trusts what a superuser has set: this runs as one
    IF named !~ '^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$' OR named IN ('role', 'session_authorization')
        OR known <> 'user' OR (known IS NULL AND named !~ '^(pgrst|app)\.')
    THEN
        RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('%L is not for the owner to set', setting);
    END IF;
    IF value IS NULL THEN
        EXECUTE target || ' RESET ' || named;
    ELSE
        EXECUTE target || pg_catalog.format(' SET %s = %L', named, value);
    END IF;
    NOTIFY pgrst, 'reload config';
END
$$;
COMMENT ON FUNCTION meshbase.set_role_setting IS
    'what sessions of a role of the API start with in this database; null takes it back';
-- it asks itself who calls
GRANT EXECUTE ON FUNCTION meshbase.set_role_setting TO PUBLIC;

-- A path that does not name pg_temp has it first: a type that a caller made there would stand in for PostgreSQL's own,
-- with the rights of whom a function runs as.
ALTER FUNCTION meshbase.enable_row_level_security() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION meshbase.notify_schema_change() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION meshbase.notify_schema_drop() SET search_path = pg_catalog, pg_temp;
