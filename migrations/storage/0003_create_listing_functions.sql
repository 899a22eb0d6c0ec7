-- Listings that walk an index and step over each folder with one look-up, however many objects are in it.
-- A folder's name is given without its closing delimiter and with a null id.
SET LOCAL ROLE supabase_storage_admin;

-- The part of a key up to the first delimiter after the prefix; null for a key without one.
CREATE FUNCTION storage.get_common_prefix(p_key text, p_prefix text, p_delimiter text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
SELECT left(p_key, length(p_prefix) + at + length(p_delimiter) - 1)
FROM position(p_delimiter IN substring(p_key FROM length(p_prefix) + 1)) AS at
WHERE at > 0
$$;

-- Folders and objects under `prefix_param`, in the order of the bytes of their names, after `start_after` (or
-- `next_token`, which wins). A page that ended with a folder goes on from its name with the closing delimiter.
CREATE FUNCTION storage.list_objects_with_delimiter(
    _bucket_id text, prefix_param text, delimiter_param text, max_keys integer DEFAULT 100,
    start_after text DEFAULT '', next_token text DEFAULT '', sort_order text DEFAULT 'asc'
) RETURNS TABLE (
    name text, id uuid, metadata jsonb,
    updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz
)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    last_char CONSTANT text := U&'\+10FFFF';
    prefix    CONSTANT text COLLATE "C" := coalesce(prefix_param, '');
    after     CONSTANT text COLLATE "C" := coalesce(nullif(next_token, ''), start_after, '');
    ascending CONSTANT boolean := lower(coalesce(sort_order, 'asc')) <> 'desc';
    low       text COLLATE "C" := prefix;
    high      text COLLATE "C" := prefix || last_char;
    left_over integer := max_keys;
    stepped   boolean := true;
    entries   refcursor;
    entry     record;
    folder    text;
BEGIN
    IF after <> '' AND ascending AND after >= low THEN
        low := after || CASE WHEN right(after, length(delimiter_param)) = delimiter_param
                             THEN last_char ELSE chr(1) END;
    ELSIF after <> '' AND NOT ascending AND after < high THEN
        high := after;
    END IF;
    WHILE stepped AND left_over > 0 LOOP
        stepped := false;
        IF ascending THEN
            OPEN entries FOR
                SELECT o.name, o.id, o.metadata, o.updated_at, o.created_at, o.last_accessed_at
                FROM storage.objects AS o
                WHERE o.bucket_id = _bucket_id AND o.name >= low AND o.name < high ORDER BY o.name LIMIT left_over;
        ELSE
            OPEN entries FOR
                SELECT o.name, o.id, o.metadata, o.updated_at, o.created_at, o.last_accessed_at
                FROM storage.objects AS o
                WHERE o.bucket_id = _bucket_id AND o.name >= low AND o.name < high ORDER BY o.name DESC
                LIMIT left_over;
        END IF;
        LOOP
            FETCH entries INTO entry;
            EXIT WHEN NOT FOUND;
            left_over := left_over - 1;
            folder := storage.get_common_prefix(entry.name, prefix, delimiter_param);
            IF folder IS NOT NULL THEN
                name := left(folder, -length(delimiter_param));
                id := NULL; metadata := NULL; updated_at := NULL; created_at := NULL; last_accessed_at := NULL;
                RETURN NEXT;
                IF ascending THEN low := folder || last_char; ELSE high := folder; END IF;
                stepped := true;
                EXIT;
            END IF;
            name := entry.name; id := entry.id; metadata := entry.metadata; updated_at := entry.updated_at;
            created_at := entry.created_at; last_accessed_at := entry.last_accessed_at;
            RETURN NEXT;
        END LOOP;
        CLOSE entries;
    END LOOP;
END
$$;

-- Pages by cursor. Sorted by time a page costs a look at every object under the prefix; a folder is as old as the
-- oldest object in it. `key` is the last part of the name.
CREATE FUNCTION storage.search_v2(
    prefix text, bucket_name text, limits integer DEFAULT 100, levels integer DEFAULT 1,
    start_after text DEFAULT '', sort_order text DEFAULT 'asc', sort_column text DEFAULT 'name',
    sort_column_after text DEFAULT ''
) RETURNS TABLE (
    key text, name text, id uuid,
    updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb
)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    under     CONSTANT text COLLATE "C" := coalesce(prefix, '');
    after     CONSTANT text COLLATE "C" := coalesce(start_after, '');
    after_at  CONSTANT timestamptz := nullif(sort_column_after, '')::timestamptz;
    ascending CONSTANT boolean := lower(coalesce(sort_order, 'asc')) <> 'desc';
    by_column CONSTANT text := lower(coalesce(sort_column, 'name'));
    at_most   CONSTANT integer := least(coalesce(limits, 100), 1500);
BEGIN
    IF by_column NOT IN ('created_at', 'updated_at') THEN
        RETURN QUERY
            SELECT storage.filename(l.name), l.name, l.id, l.updated_at, l.created_at, l.last_accessed_at, l.metadata
            FROM storage.list_objects_with_delimiter(bucket_name, under, '/', at_most, after, '', sort_order) AS l;
        RETURN;
    END IF;
    RETURN QUERY
        WITH seen AS (
            SELECT o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata,
                   storage.get_common_prefix(o.name, under, '/') AS folder
            FROM storage.objects AS o
            WHERE o.bucket_id = bucket_name AND o.name >= under AND o.name < under || U&'\+10FFFF'
        ), entries AS (
            SELECT s.folder AS place, left(s.folder, -1) AS name, NULL::uuid AS id,
                   min(s.created_at) AS updated_at, min(s.created_at) AS created_at,
                   NULL::timestamptz AS last_accessed_at, NULL::jsonb AS metadata
            FROM seen AS s WHERE s.folder IS NOT NULL GROUP BY s.folder
            UNION ALL
            SELECT s.name, s.name, s.id, s.updated_at, s.created_at, s.last_accessed_at, s.metadata
            FROM seen AS s WHERE s.folder IS NULL
        ), timed AS (
            SELECT e.*, CASE by_column WHEN 'created_at' THEN e.created_at ELSE e.updated_at END AS at
            FROM entries AS e
        )
        SELECT storage.filename(t.name), t.name, t.id, t.updated_at, t.created_at, t.last_accessed_at, t.metadata
        FROM timed AS t
        WHERE after_at IS NULL
           OR (ascending AND (t.at, t.place) > (after_at, after))
           OR (NOT ascending AND (t.at, t.place) < (after_at, after))
        ORDER BY CASE WHEN ascending THEN t.at END, CASE WHEN ascending THEN t.place END,
                 CASE WHEN NOT ascending THEN t.at END DESC, CASE WHEN NOT ascending THEN t.place END DESC
        LIMIT at_most;
END
$$;

-- Pages by offset. Names are relative to `prefix` and those that start with `prefix || search` are found, in any
-- case (of ASCII letters). `levels` is what older callers pass; the prefix says the same.
CREATE FUNCTION storage.search(
    prefix text, bucketname text, limits integer DEFAULT 100, levels integer DEFAULT 1, offsets integer DEFAULT 0,
    search text DEFAULT '', sortcolumn text DEFAULT 'name', sortorder text DEFAULT 'asc'
) RETURNS TABLE (
    name text, id uuid,
    updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb
)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    last_char CONSTANT text := U&'\+10FFFF';
    cut       CONSTANT integer := length(coalesce(prefix, ''));
    wanted    CONSTANT text COLLATE "C" := lower((coalesce(prefix, '') || coalesce(search, '')) COLLATE "C");
    ascending CONSTANT boolean := lower(coalesce(sortorder, 'asc')) <> 'desc';
    by_column CONSTANT text := lower(coalesce(sortcolumn, 'name'));
    low       text COLLATE "C" := wanted;
    high      text COLLATE "C" := wanted || last_char;
    left_over integer := least(coalesce(limits, 100), 1500);
    to_skip   integer := greatest(coalesce(offsets, 0), 0);
    stepped   boolean := true;
    entries   refcursor;
    entry     record;
    folder    text;
BEGIN
    IF by_column IN ('created_at', 'updated_at', 'last_accessed_at') THEN
        RETURN QUERY
            WITH seen AS (
                SELECT o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata,
                       length(storage.get_common_prefix(o.name, wanted, '/')) AS folder_length
                FROM storage.objects AS o
                WHERE o.bucket_id = bucketname AND lower(o.name) >= low AND lower(o.name) < high
            ), found AS (
                SELECT DISTINCT substring(s.name FROM cut + 1 FOR s.folder_length - cut - 1) AS name,
                       NULL::uuid AS id, NULL::timestamptz AS updated_at, NULL::timestamptz AS created_at,
                       NULL::timestamptz AS last_accessed_at, NULL::jsonb AS metadata
                FROM seen AS s WHERE s.folder_length IS NOT NULL
                UNION ALL
                SELECT substring(s.name FROM cut + 1), s.id, s.updated_at, s.created_at, s.last_accessed_at, s.metadata
                FROM seen AS s WHERE s.folder_length IS NULL
            ), timed AS (
                SELECT f.*, CASE by_column WHEN 'created_at' THEN f.created_at
                                           WHEN 'updated_at' THEN f.updated_at ELSE f.last_accessed_at END AS at
                FROM found AS f
            )
            SELECT t.name, t.id, t.updated_at, t.created_at, t.last_accessed_at, t.metadata
            FROM timed AS t
            ORDER BY t.id IS NOT NULL,
                     CASE WHEN ascending THEN t.at END, CASE WHEN ascending THEN t.name END,
                     CASE WHEN NOT ascending THEN t.at END DESC, CASE WHEN NOT ascending THEN t.name END DESC
            LIMIT left_over OFFSET to_skip;
        RETURN;
    END IF;
    WHILE stepped AND left_over > 0 LOOP
        stepped := false;
        IF ascending THEN
            OPEN entries FOR
                SELECT o.name, o.id, o.metadata, o.updated_at, o.created_at, o.last_accessed_at
                FROM storage.objects AS o
                WHERE o.bucket_id = bucketname AND lower(o.name) >= low AND lower(o.name) < high
                ORDER BY lower(o.name), o.name LIMIT to_skip + left_over;
        ELSE
            OPEN entries FOR
                SELECT o.name, o.id, o.metadata, o.updated_at, o.created_at, o.last_accessed_at
                FROM storage.objects AS o
                WHERE o.bucket_id = bucketname AND lower(o.name) >= low AND lower(o.name) < high
                ORDER BY lower(o.name) DESC, o.name DESC LIMIT to_skip + left_over;
        END IF;
        LOOP
            FETCH entries INTO entry;
            EXIT WHEN NOT FOUND;
            folder := storage.get_common_prefix(entry.name, wanted, '/');
            IF to_skip > 0 THEN
                to_skip := to_skip - 1;
            ELSIF folder IS NOT NULL THEN
                name := substring(folder FROM cut + 1 FOR length(folder) - cut - 1);
                id := NULL; metadata := NULL; updated_at := NULL; created_at := NULL; last_accessed_at := NULL;
                RETURN NEXT;
                left_over := left_over - 1;
            ELSE
                name := substring(entry.name FROM cut + 1); id := entry.id; metadata := entry.metadata;
                updated_at := entry.updated_at; created_at := entry.created_at;
                last_accessed_at := entry.last_accessed_at;
                RETURN NEXT;
                left_over := left_over - 1;
            END IF;
            IF folder IS NOT NULL THEN
                folder := lower(folder COLLATE "C");
                IF ascending THEN low := folder || last_char; ELSE high := folder; END IF;
                stepped := true;
                EXIT;
            END IF;
        END LOOP;
        CLOSE entries;
    END LOOP;
END
$$;

RESET ROLE;
