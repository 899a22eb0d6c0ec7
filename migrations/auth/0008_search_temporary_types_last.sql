-- A path that does not name pg_temp has it first: a type that a caller made there would stand in for PostgreSQL's own,
-- with the rights of whom a function runs as.
ALTER FUNCTION auth.note_ended_sessions() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION auth.session_has_ended(uuid) SET search_path = pg_catalog, pg_temp;
