-- Buckets and objects, with the columns that users' SQL, policies and dumps name. The bytes are elsewhere: an
-- object's `version` names its blob, its `name` never does.
SET LOCAL ROLE supabase_storage_admin;

CREATE TYPE storage.buckettype AS ENUM ('STANDARD', 'ANALYTICS', 'VECTOR');

CREATE TABLE storage.buckets (
    id                 text PRIMARY KEY,
    name               text NOT NULL CHECK (length(name) <= 100),
    owner              uuid,
    created_at         timestamptz DEFAULT now(),
    updated_at         timestamptz DEFAULT now(),
    public             boolean DEFAULT false,
    avif_autodetection boolean DEFAULT false,
    file_size_limit    bigint CHECK (file_size_limit >= 0),
    allowed_mime_types text[],
    owner_id           text,
    type               storage.buckettype NOT NULL DEFAULT 'STANDARD',
    versioning_status  text NOT NULL DEFAULT 'DISABLED'
                       CHECK (versioning_status IN ('DISABLED', 'ENABLED', 'SUSPENDED'))
);
CREATE UNIQUE INDEX bname ON storage.buckets (name);
COMMENT ON COLUMN storage.buckets.owner IS 'the creator, if its id is a UUID; policies should use owner_id';

-- Names sort by bytes, so that the unique index is also the one that listings walk.
CREATE TABLE storage.objects (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    bucket_id        text CONSTRAINT "objects_bucketId_fkey" REFERENCES storage.buckets,
    name             text COLLATE "C",
    owner            uuid,
    created_at       timestamptz DEFAULT now(),
    updated_at       timestamptz DEFAULT now(),
    last_accessed_at timestamptz DEFAULT now(),
    metadata         jsonb,
    path_tokens      text[] GENERATED ALWAYS AS (string_to_array(name, '/')) STORED,
    version          text,
    owner_id         text,
    user_metadata    jsonb,
    archived_at      timestamptz,
    is_delete_marker boolean NOT NULL DEFAULT false,
    is_versioned     boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX bucketid_objname ON storage.objects (bucket_id, name);
-- `storage.search` does not tell upper from lower case
CREATE INDEX objects_by_folded_name ON storage.objects (bucket_id, lower(name));
-- a blob is deleted only if no row refers to it
CREATE INDEX objects_by_version ON storage.objects (version);
COMMENT ON COLUMN storage.objects.owner IS 'the uploader, if its id is a UUID; policies should use owner_id';

CREATE FUNCTION storage.update_updated_at_column() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER update_objects_updated_at BEFORE UPDATE ON storage.objects
    FOR EACH ROW EXECUTE FUNCTION storage.update_updated_at_column();
CREATE TRIGGER update_buckets_updated_at BEFORE UPDATE ON storage.buckets
    FOR EACH ROW EXECUTE FUNCTION storage.update_updated_at_column();

-- Row-level security is what protects. TRUNCATE knows none, so the two roles of strangers do not get it.
ALTER TABLE storage.buckets ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON storage.buckets, storage.objects TO anon, authenticated;
GRANT ALL ON storage.buckets, storage.objects TO service_role;
GRANT ALL ON storage.buckets, storage.objects TO postgres WITH GRANT OPTION;

RESET ROLE;
