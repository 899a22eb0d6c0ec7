-- Who verifies tokens and does not hear of ended sessions asks the database; what is noted is taken away by the one who
-- reads it, not by whoever signs out, so that no sign-out waits for another.

CREATE INDEX ended_sessions_id ON meshbase.ended_sessions (id);
-- rows are locked before they are taken away
GRANT UPDATE ON meshbase.ended_sessions TO supabase_auth_admin;

SET LOCAL ROLE supabase_auth_admin;

CREATE OR REPLACE FUNCTION auth.note_ended_sessions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO meshbase.ended_sessions (id) SELECT s.id FROM auth.sessions AS s;
    ELSE
        INSERT INTO meshbase.ended_sessions (id) SELECT d.id FROM deleted AS d;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_truncated_sessions BEFORE TRUNCATE ON auth.sessions
    FOR EACH STATEMENT EXECUTE FUNCTION auth.note_ended_sessions();

CREATE FUNCTION auth.session_has_ended(session uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
SELECT EXISTS (SELECT FROM meshbase.ended_sessions AS e WHERE e.id = session)
$$;
REVOKE ALL ON FUNCTION auth.session_has_ended(uuid) FROM PUBLIC;
-- both logins become a caller's role for a transaction; nothing but this answer is to be had from here
GRANT EXECUTE ON FUNCTION auth.session_has_ended(uuid) TO authenticated;

RESET ROLE;
