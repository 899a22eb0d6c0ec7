-- Supabase projects set the API's options and timeouts as settings of its roles (`ALTER ROLE authenticator SET pgrst.…`).
-- Roles belong to the server, so that no project's owner may alter them; here they may, for their own database and
-- with what any session may set for itself.
CREATE FUNCTION meshbase.set_role_setting(role text, setting text, value text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    named text := lower(setting);
    known text := (SELECT s.context FROM pg_catalog.pg_settings AS s WHERE s.name = named);
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
    -- a name with a dot is the project's own invention; the others are PostgreSQL's
    IF named !~ '^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$' OR named IN ('role', 'session_authorization')
        OR known <> 'user' OR (known IS NULL AND named NOT LIKE '%.%')
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
