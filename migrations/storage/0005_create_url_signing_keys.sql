-- What signs a project's object URLs where the project has no shared secret to derive a key from. The service makes
-- the key at first use and not here: a database made from a template must not share it.
SET LOCAL ROLE supabase_storage_admin;

CREATE TABLE storage.url_signing_keys (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    secret     bytea NOT NULL CHECK (length(secret) >= 32),
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE storage.url_signing_keys ENABLE ROW LEVEL SECURITY;

RESET ROLE;
