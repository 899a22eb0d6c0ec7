-- A path that does not name pg_temp has it first: a type that a caller made there would stand in for PostgreSQL's own,
-- with the rights of whom a function runs as.
ALTER FUNCTION storage.discard_deleted_blobs() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION storage.discard_replaced_blobs() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION storage.discard_all_blobs() SET search_path = pg_catalog, pg_temp;
