-- Access tokens outlive the session that they are of. Whatever ends a session – the API, a cascade, a user's own SQL –
-- also notes it here, in the same transaction: who verifies tokens is told, and refuses them from then on.

CREATE TABLE meshbase.ended_sessions (
    id          uuid NOT NULL,
    ended_at    timestamptz NOT NULL DEFAULT now(),
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON COLUMN meshbase.ended_sessions.transaction IS
    'rows are read from the oldest transaction that was open when they were read before: numbers and times are no order in which transactions commit';
CREATE INDEX ended_sessions_transaction ON meshbase.ended_sessions (transaction);
CREATE INDEX ended_sessions_ended_at ON meshbase.ended_sessions (ended_at);
GRANT USAGE ON SCHEMA meshbase TO supabase_auth_admin;
GRANT SELECT, INSERT, DELETE ON meshbase.ended_sessions TO supabase_auth_admin;

SET LOCAL ROLE supabase_auth_admin;

-- no token lives for longer than a week
CREATE FUNCTION auth.note_ended_sessions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO meshbase.ended_sessions (id) SELECT d.id FROM deleted AS d;
    DELETE FROM meshbase.ended_sessions WHERE ended_at < pg_catalog.now() - interval '8 days';
    RETURN NULL;
END
$$;
CREATE TRIGGER note_ended_sessions AFTER DELETE ON auth.sessions
    REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION auth.note_ended_sessions();
REVOKE ALL ON FUNCTION auth.note_ended_sessions() FROM PUBLIC;

RESET ROLE;
