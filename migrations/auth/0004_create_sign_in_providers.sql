-- Sign-in through others: OAuth and OIDC providers, single sign-on with SAML, and the flows under way with them.

SET LOCAL ROLE supabase_auth_admin;

CREATE TABLE auth.flow_state (
    id                     uuid PRIMARY KEY,
    user_id                uuid,
    auth_code              text,
    code_challenge_method  auth.code_challenge_method,
    code_challenge         text,
    provider_type          text NOT NULL,
    provider_access_token  text,
    provider_refresh_token text,
    created_at             timestamptz,
    updated_at             timestamptz,
    authentication_method  text NOT NULL,
    auth_code_issued_at    timestamptz,
    invite_token           text,
    referrer               text,
    oauth_client_state_id  uuid,
    linking_target_id      uuid,
    email_optional         boolean NOT NULL DEFAULT false
);
CREATE INDEX flow_state_code ON auth.flow_state (auth_code);
CREATE INDEX flow_state_user ON auth.flow_state (user_id, authentication_method);
CREATE INDEX flow_state_newest ON auth.flow_state (created_at DESC);

CREATE TABLE auth.oauth_client_states (
    id            uuid PRIMARY KEY,
    provider_type text NOT NULL,
    code_verifier text,
    created_at    timestamptz NOT NULL
);
CREATE INDEX oauth_client_states_age ON auth.oauth_client_states (created_at);

CREATE TABLE auth.custom_oauth_providers (
    id                      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider_type           text NOT NULL CHECK (provider_type IN ('oauth2', 'oidc')),
    identifier              text NOT NULL UNIQUE,
    name                    text NOT NULL,
    client_id               text NOT NULL,
    client_secret           text NOT NULL,
    acceptable_client_ids   text[] NOT NULL DEFAULT '{}',
    scopes                  text[] NOT NULL DEFAULT '{}',
    pkce_enabled            boolean NOT NULL DEFAULT true,
    attribute_mapping       jsonb NOT NULL DEFAULT '{}',
    authorization_params    jsonb NOT NULL DEFAULT '{}',
    enabled                 boolean NOT NULL DEFAULT true,
    email_optional          boolean NOT NULL DEFAULT false,
    issuer                  text,
    discovery_url           text,
    skip_nonce_check        boolean NOT NULL DEFAULT false,
    cached_discovery        jsonb,
    discovery_cached_at     timestamptz,
    authorization_url       text,
    token_url               text,
    userinfo_url            text,
    jwks_uri                text,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    custom_claims_allowlist text[] NOT NULL DEFAULT '{}'
);

CREATE TABLE auth.sso_providers (
    id          uuid PRIMARY KEY,
    resource_id text CHECK (resource_id IS NULL OR resource_id <> ''),
    created_at  timestamptz,
    updated_at  timestamptz,
    disabled    boolean
);
CREATE UNIQUE INDEX sso_providers_resource ON auth.sso_providers (lower(resource_id));

CREATE TABLE auth.sso_domains (
    id              uuid PRIMARY KEY,
    sso_provider_id uuid NOT NULL REFERENCES auth.sso_providers ON DELETE CASCADE,
    domain          text NOT NULL CHECK (domain <> ''),
    created_at      timestamptz,
    updated_at      timestamptz
);
CREATE UNIQUE INDEX sso_domains_domain ON auth.sso_domains (lower(domain));
CREATE INDEX sso_domains_provider ON auth.sso_domains (sso_provider_id);

CREATE TABLE auth.saml_providers (
    id                uuid PRIMARY KEY,
    sso_provider_id   uuid NOT NULL REFERENCES auth.sso_providers ON DELETE CASCADE,
    entity_id         text NOT NULL UNIQUE CHECK (entity_id <> ''),
    metadata_xml      text NOT NULL CHECK (metadata_xml <> ''),
    metadata_url      text CHECK (metadata_url <> ''),
    attribute_mapping jsonb,
    created_at        timestamptz,
    updated_at        timestamptz,
    name_id_format    text
);
CREATE INDEX saml_providers_provider ON auth.saml_providers (sso_provider_id);

CREATE TABLE auth.saml_relay_states (
    id              uuid PRIMARY KEY,
    sso_provider_id uuid NOT NULL REFERENCES auth.sso_providers ON DELETE CASCADE,
    request_id      text NOT NULL CHECK (request_id <> ''),
    for_email       text,
    redirect_to     text,
    created_at      timestamptz,
    updated_at      timestamptz,
    flow_state_id   uuid REFERENCES auth.flow_state ON DELETE CASCADE
);
CREATE INDEX saml_relay_states_provider ON auth.saml_relay_states (sso_provider_id);
CREATE INDEX saml_relay_states_newest ON auth.saml_relay_states (created_at DESC);

ALTER TABLE auth.flow_state ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.oauth_client_states ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.custom_oauth_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.sso_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.sso_domains ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.saml_providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.saml_relay_states ENABLE ROW LEVEL SECURITY;

RESET ROLE;
