-- What a project needs to be an OAuth 2.1 server for others: clients, authorizations, consents.
-- Before sessions, because a session may belong to a client.

SET LOCAL ROLE supabase_auth_admin;

CREATE TYPE auth.code_challenge_method AS ENUM ('s256', 'plain');
CREATE TYPE auth.oauth_authorization_status AS ENUM ('pending', 'approved', 'denied', 'expired');
CREATE TYPE auth.oauth_client_type AS ENUM ('public', 'confidential');
CREATE TYPE auth.oauth_registration_type AS ENUM ('dynamic', 'manual');
CREATE TYPE auth.oauth_response_type AS ENUM ('code');

CREATE TABLE auth.oauth_clients (
    id                         uuid PRIMARY KEY,
    client_secret_hash         text,
    registration_type          auth.oauth_registration_type NOT NULL,
    redirect_uris              text NOT NULL,
    grant_types                text NOT NULL,
    client_name                text CHECK (char_length(client_name) <= 1024),
    client_uri                 text CHECK (char_length(client_uri) <= 2048),
    logo_uri                   text CHECK (char_length(logo_uri) <= 2048),
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    deleted_at                 timestamptz,
    client_type                auth.oauth_client_type NOT NULL DEFAULT 'confidential',
    token_endpoint_auth_method text NOT NULL
        CHECK (token_endpoint_auth_method IN ('client_secret_basic', 'client_secret_post', 'none'))
);

CREATE TABLE auth.oauth_authorizations (
    id                    uuid PRIMARY KEY,
    authorization_id      text NOT NULL UNIQUE,
    client_id             uuid NOT NULL REFERENCES auth.oauth_clients ON DELETE CASCADE,
    user_id               uuid REFERENCES auth.users ON DELETE CASCADE,
    redirect_uri          text NOT NULL,
    scope                 text NOT NULL,
    state                 text,
    resource              text,
    code_challenge        text,
    code_challenge_method auth.code_challenge_method,
    response_type         auth.oauth_response_type NOT NULL DEFAULT 'code',
    status                auth.oauth_authorization_status NOT NULL DEFAULT 'pending',
    authorization_code    text UNIQUE,
    created_at            timestamptz NOT NULL DEFAULT now(),
    expires_at            timestamptz NOT NULL DEFAULT now() + interval '3 minutes',
    approved_at           timestamptz,
    nonce                 text,
    CHECK (expires_at > created_at)
);
CREATE INDEX oauth_authorizations_client ON auth.oauth_authorizations (client_id);
CREATE INDEX oauth_authorizations_user ON auth.oauth_authorizations (user_id);
CREATE INDEX oauth_authorizations_pending ON auth.oauth_authorizations (expires_at) WHERE status = 'pending';

CREATE TABLE auth.oauth_consents (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    client_id  uuid NOT NULL REFERENCES auth.oauth_clients ON DELETE CASCADE,
    scopes     text NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz CHECK (revoked_at >= granted_at),
    UNIQUE (user_id, client_id)
);
CREATE INDEX oauth_consents_client ON auth.oauth_consents (client_id) WHERE revoked_at IS NULL;

ALTER TABLE auth.oauth_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.oauth_authorizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.oauth_consents ENABLE ROW LEVEL SECURITY;

RESET ROLE;
