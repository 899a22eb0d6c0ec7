-- Deferred work is written in the transaction that causes it; services that own jobs may touch them, nobody else.

CREATE TABLE meshbase.jobs (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    payload    jsonb NOT NULL,
    attempts   integer NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX jobs_due ON meshbase.jobs (kind, due_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON meshbase.jobs TO supabase_auth_admin, supabase_storage_admin;

-- What the event triggers of this database go by.
CREATE TABLE meshbase.settings (
    singleton       boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    default_deny    boolean NOT NULL DEFAULT true
);
COMMENT ON COLUMN meshbase.settings.default_deny IS
    'whether a table gets row-level security as soon as it is created';
INSERT INTO meshbase.settings DEFAULT VALUES;
-- the project's owner decides
GRANT USAGE ON SCHEMA meshbase TO postgres;
GRANT SELECT, UPDATE ON meshbase.settings TO postgres;
