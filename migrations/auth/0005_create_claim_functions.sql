-- What policies ask: who is the caller of this transaction? The settings are the REST service's: one per claim
-- (`request.jwt.claim.sub`) in its older form, one JSON object (`request.jwt.claims`) in its newer.
-- Plain SQL without options of their own, so that the planner can inline them.

SET LOCAL ROLE supabase_auth_admin;

CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;
COMMENT ON FUNCTION auth.uid() IS 'the calling user''s id, null for a caller without one';

CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )
$$;
COMMENT ON FUNCTION auth.role() IS 'the caller''s role; policies are better written TO a role';

CREATE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    )
$$;
COMMENT ON FUNCTION auth.email() IS 'the address in the caller''s token; auth.jwt() ->> ''email'' is the same';

CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;
COMMENT ON FUNCTION auth.jwt() IS 'all claims of the caller''s token';

GRANT EXECUTE ON FUNCTION auth.uid(), auth.role(), auth.email(), auth.jwt() TO PUBLIC;

RESET ROLE;
