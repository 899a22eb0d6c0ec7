-- What policies on storage.objects call: the parts of a name, and the operation that asks.
SET LOCAL ROLE supabase_storage_admin;

-- 'a/b/c.txt' → {a,b}
CREATE FUNCTION storage.foldername(name text) RETURNS text[]
    LANGUAGE sql IMMUTABLE AS $$
SELECT parts[1:cardinality(parts) - 1] FROM string_to_array(name, '/') AS parts
$$;

-- 'a/b/c.txt' → 'c.txt'
CREATE FUNCTION storage.filename(name text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
SELECT parts[cardinality(parts)] FROM string_to_array(name, '/') AS parts
$$;

-- 'a/b/c.tar.gz' → 'gz'; a file name without a dot is its own extension, as callers have come to expect
CREATE FUNCTION storage.extension(name text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
SELECT reverse(split_part(reverse(storage.filename(name)), '.', 1))
$$;

-- The operation of the storage API that runs this statement, such as 'storage.object.upload'; null outside of it.
CREATE FUNCTION storage.operation() RETURNS text
    LANGUAGE sql STABLE AS $$
SELECT current_setting('storage.operation', true)
$$;

-- Both take names with and without the leading 'storage.'.
CREATE FUNCTION storage.allow_any_operation(expected_operations text[]) RETURNS boolean
    LANGUAGE sql STABLE AS $$
SELECT coalesce(bool_or(
    expected <> ''
    AND regexp_replace(expected, '^storage\.', '') = regexp_replace(storage.operation(), '^storage\.', '')
), false)
FROM unnest(expected_operations) AS expected
$$;

CREATE FUNCTION storage.allow_only_operation(expected_operation text) RETURNS boolean
    LANGUAGE sql STABLE AS $$
SELECT storage.allow_any_operation(ARRAY[expected_operation])
$$;

-- Whether the caller could insert such an object: tries it and always rolls back, by raising PT200.
CREATE FUNCTION storage.can_insert_object(bucketid text, name text, owner uuid, metadata jsonb) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO storage.objects (bucket_id, name, owner, metadata) VALUES (bucketid, name, owner, metadata);
    RAISE SQLSTATE 'PT200' USING MESSAGE = 'ROLLBACK', DETAIL = 'rollback successful insert';
END
$$;

-- Bytes per bucket, of the objects that the caller may see.
CREATE FUNCTION storage.get_size_by_bucket() RETURNS TABLE (size bigint, bucket_id text)
    LANGUAGE sql STABLE AS $$
SELECT sum((o.metadata ->> 'size')::bigint)::bigint, o.bucket_id FROM storage.objects AS o GROUP BY o.bucket_id
$$;

RESET ROLE;
