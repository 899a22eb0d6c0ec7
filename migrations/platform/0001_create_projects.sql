-- The platform database: every project, where its database is, its keys, its settings. Only the platform service
-- reads and writes it; what is secret is sealed under the master key.

CREATE SCHEMA platform;

-- One counter over all documents: "changes since N" is a range scan, and a watcher keeps one number.
CREATE SEQUENCE platform.versions;

CREATE TABLE platform.projects (
    id         uuid PRIMARY KEY,
    reference  text NOT NULL UNIQUE CHECK (reference ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    name       text NOT NULL,
    placement  text NOT NULL CHECK (placement IN ('server', 'database', 'external')),
    version    bigint NOT NULL DEFAULT nextval('platform.versions') UNIQUE,
    created_at timestamptz NOT NULL
);

-- One row per login: the services' own, and the owner's (`postgres`) that people connect with.
CREATE TABLE platform.logins (
    project_id      uuid NOT NULL REFERENCES platform.projects ON DELETE CASCADE,
    service         text NOT NULL CHECK (service IN ('auth', 'data', 'storage', 'owner', 'admin')),
    host            text NOT NULL,
    port            integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    database        text NOT NULL,
    tls             boolean NOT NULL DEFAULT false,
    role            text NOT NULL,
    sealed_password text NOT NULL,
    PRIMARY KEY (project_id, service)
);

CREATE TABLE platform.token_keys (
    project_id uuid NOT NULL REFERENCES platform.projects ON DELETE CASCADE,
    id         text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('signing', 'shared')),
    public     jsonb,
    sealed     text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, id)
);

-- Keys are shown once and kept as hashes; `prefix` tells people which one it is. Legacy keys are derived, not kept.
CREATE TABLE platform.api_keys (
    id         uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES platform.projects ON DELETE CASCADE,
    name       text NOT NULL,
    role       text NOT NULL CHECK (role IN ('anon', 'service_role')),
    hash       text NOT NULL UNIQUE,
    prefix     text NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE platform.settings (
    project_id uuid NOT NULL REFERENCES platform.projects ON DELETE CASCADE,
    service    text NOT NULL CHECK (service IN ('auth', 'data', 'storage', 'gateway')),
    document   jsonb NOT NULL,
    PRIMARY KEY (project_id, service)
);

-- Keys of the installation itself: the gateway's, for role tokens.
CREATE TABLE platform.installation_keys (
    id         text PRIMARY KEY,
    purpose    text NOT NULL UNIQUE,
    public     jsonb NOT NULL,
    sealed     text NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE FUNCTION platform.announce_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('platform_changes', NEW.version::text);
    RETURN NEW;
END
$$;
CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OF version ON platform.projects
    FOR EACH ROW EXECUTE FUNCTION platform.announce_change();
