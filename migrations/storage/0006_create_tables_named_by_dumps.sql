-- Tables that dumps of existing projects name: multipart uploads, analytics buckets and vector buckets.
SET LOCAL ROLE supabase_storage_admin;

CREATE TABLE storage.s3_multipart_uploads (
    id               text PRIMARY KEY,
    in_progress_size bigint NOT NULL DEFAULT 0,
    upload_signature text NOT NULL,
    bucket_id        text NOT NULL REFERENCES storage.buckets,
    key              text NOT NULL COLLATE "C",
    version          text NOT NULL,
    owner_id         text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    user_metadata    jsonb,
    metadata         jsonb
);
CREATE INDEX idx_multipart_uploads_list ON storage.s3_multipart_uploads (bucket_id, key, created_at);

CREATE TABLE storage.s3_multipart_uploads_parts (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    upload_id   text NOT NULL REFERENCES storage.s3_multipart_uploads ON DELETE CASCADE,
    size        bigint NOT NULL DEFAULT 0,
    part_number integer NOT NULL,
    bucket_id   text NOT NULL REFERENCES storage.buckets,
    key         text NOT NULL COLLATE "C",
    etag        text NOT NULL,
    owner_id    text,
    version     text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX s3_multipart_uploads_parts_of_upload ON storage.s3_multipart_uploads_parts (upload_id, part_number);

CREATE TABLE storage.buckets_analytics (
    id         text PRIMARY KEY,
    type       storage.buckettype NOT NULL DEFAULT 'ANALYTICS',
    format     text NOT NULL DEFAULT 'ICEBERG',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE storage.buckets_vectors (
    id         text PRIMARY KEY,
    type       storage.buckettype NOT NULL DEFAULT 'VECTOR',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE storage.vector_indexes (
    id                     text PRIMARY KEY DEFAULT gen_random_uuid(),
    name                   text NOT NULL COLLATE "C",
    bucket_id              text NOT NULL REFERENCES storage.buckets_vectors,
    data_type              text NOT NULL,
    dimension              integer NOT NULL,
    distance_metric        text NOT NULL,
    metadata_configuration jsonb,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX vector_indexes_name_bucket_id_idx ON storage.vector_indexes (name, bucket_id);

ALTER TABLE storage.s3_multipart_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads_parts ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.buckets_analytics ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.buckets_vectors ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.vector_indexes ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts, storage.buckets_analytics,
    storage.buckets_vectors, storage.vector_indexes TO anon, authenticated;
GRANT ALL ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts, storage.buckets_analytics,
    storage.buckets_vectors, storage.vector_indexes TO service_role, postgres;

RESET ROLE;
