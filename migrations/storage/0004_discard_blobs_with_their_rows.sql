-- Whatever removes an object's row or gives it another version also writes the job that discards the old blob, in
-- the same transaction: the API, a cascade, a user's own SQL. The worker checks that no row refers to the blob.
SET LOCAL ROLE supabase_storage_admin;

CREATE FUNCTION storage.discard_deleted_blobs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO meshbase.jobs (kind, payload)
    SELECT 'storage.discard', pg_catalog.jsonb_build_object('version', d.version)
    FROM deleted AS d WHERE d.version IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER discard_deleted_blobs AFTER DELETE ON storage.objects
    REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION storage.discard_deleted_blobs();

CREATE FUNCTION storage.discard_replaced_blobs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO meshbase.jobs (kind, payload)
    SELECT 'storage.discard', pg_catalog.jsonb_build_object('version', o.version)
    FROM replaced AS o LEFT JOIN replacing AS n ON n.id = o.id
    WHERE o.version IS NOT NULL AND o.version IS DISTINCT FROM n.version;
    RETURN NULL;
END
$$;
CREATE TRIGGER discard_replaced_blobs AFTER UPDATE ON storage.objects
    REFERENCING OLD TABLE AS replaced NEW TABLE AS replacing
    FOR EACH STATEMENT EXECUTE FUNCTION storage.discard_replaced_blobs();

CREATE FUNCTION storage.discard_all_blobs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO meshbase.jobs (kind, payload)
    SELECT 'storage.discard', pg_catalog.jsonb_build_object('version', o.version)
    FROM storage.objects AS o WHERE o.version IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER discard_all_blobs BEFORE TRUNCATE ON storage.objects
    FOR EACH STATEMENT EXECUTE FUNCTION storage.discard_all_blobs();

REVOKE ALL ON FUNCTION storage.discard_deleted_blobs(), storage.discard_replaced_blobs(), storage.discard_all_blobs()
    FROM PUBLIC;

RESET ROLE;
