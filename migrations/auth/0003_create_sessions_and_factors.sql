-- Sessions with their refresh tokens, and the second factors and passkeys that raise or start them.

SET LOCAL ROLE supabase_auth_admin;

CREATE TYPE auth.aal_level AS ENUM ('aal1', 'aal2', 'aal3');
CREATE TYPE auth.factor_type AS ENUM ('totp', 'webauthn', 'phone');
CREATE TYPE auth.factor_status AS ENUM ('unverified', 'verified');

CREATE TABLE auth.sessions (
    id                     uuid PRIMARY KEY,
    user_id                uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    created_at             timestamptz,
    updated_at             timestamptz,
    factor_id              uuid,
    aal                    auth.aal_level,
    not_after              timestamptz,
    refreshed_at           timestamp,
    user_agent             text,
    ip                     inet,
    tag                    text,
    oauth_client_id        uuid REFERENCES auth.oauth_clients ON DELETE CASCADE,
    refresh_token_hmac_key text,
    refresh_token_counter  bigint,
    scopes                 text CHECK (char_length(scopes) <= 4096)
);
COMMENT ON COLUMN auth.sessions.refresh_token_counter IS
    'the current refresh token carries this number, authenticated under refresh_token_hmac_key';
CREATE INDEX sessions_user ON auth.sessions (user_id, created_at);
CREATE INDEX sessions_oauth_client ON auth.sessions (oauth_client_id) WHERE oauth_client_id IS NOT NULL;

-- How the session was authenticated: the `amr` claim.
CREATE TABLE auth.mfa_amr_claims (
    session_id            uuid NOT NULL REFERENCES auth.sessions ON DELETE CASCADE,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    authentication_method text NOT NULL,
    id                    uuid PRIMARY KEY,
    CONSTRAINT mfa_amr_claims_session_id_authentication_method_pkey UNIQUE (session_id, authentication_method)
);

-- Refresh tokens of the older form, as dumps bring them; sessions hold what the newer form needs.
CREATE TABLE auth.refresh_tokens (
    instance_id uuid,
    id          bigserial PRIMARY KEY,
    token       varchar(255) UNIQUE,
    user_id     varchar(255),
    revoked     boolean,
    created_at  timestamptz,
    updated_at  timestamptz,
    parent      varchar(255),
    session_id  uuid REFERENCES auth.sessions ON DELETE CASCADE
);
CREATE INDEX refresh_tokens_session ON auth.refresh_tokens (session_id, revoked);

CREATE TABLE auth.mfa_factors (
    id                           uuid PRIMARY KEY,
    user_id                      uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    friendly_name                text,
    factor_type                  auth.factor_type NOT NULL,
    status                       auth.factor_status NOT NULL,
    created_at                   timestamptz NOT NULL,
    updated_at                   timestamptz NOT NULL,
    secret                       text,
    phone                        text,
    last_challenged_at           timestamptz UNIQUE,
    web_authn_credential         jsonb,
    web_authn_aaguid             uuid,
    last_webauthn_challenge_data jsonb
);
CREATE UNIQUE INDEX mfa_factors_user_friendly_name_unique ON auth.mfa_factors (user_id, friendly_name)
    WHERE trim(friendly_name) <> '';
CREATE UNIQUE INDEX unique_phone_factor_per_user ON auth.mfa_factors (user_id, phone);
CREATE INDEX mfa_factors_user ON auth.mfa_factors (user_id, created_at);

CREATE TABLE auth.mfa_challenges (
    id                     uuid PRIMARY KEY,
    factor_id              uuid NOT NULL REFERENCES auth.mfa_factors ON DELETE CASCADE,
    created_at             timestamptz NOT NULL,
    verified_at            timestamptz,
    ip_address             inet NOT NULL,
    otp_code               text,
    web_authn_session_data jsonb
);
CREATE INDEX mfa_challenges_factor ON auth.mfa_challenges (factor_id);
CREATE INDEX mfa_challenges_newest ON auth.mfa_challenges (created_at DESC);

CREATE TABLE auth.webauthn_credentials (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id          uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    credential_id    bytea NOT NULL,
    public_key       bytea NOT NULL,
    attestation_type text NOT NULL DEFAULT '',
    aaguid           uuid,
    sign_count       bigint NOT NULL DEFAULT 0,
    transports       jsonb NOT NULL DEFAULT '[]',
    backup_eligible  boolean NOT NULL DEFAULT false,
    backed_up        boolean NOT NULL DEFAULT false,
    friendly_name    text NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    last_used_at     timestamptz
);
CREATE UNIQUE INDEX webauthn_credentials_credential ON auth.webauthn_credentials (credential_id);
CREATE INDEX webauthn_credentials_user ON auth.webauthn_credentials (user_id);

CREATE TABLE auth.webauthn_challenges (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id        uuid REFERENCES auth.users ON DELETE CASCADE,
    challenge_type text NOT NULL,
    session_data   jsonb NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL
);
CREATE INDEX webauthn_challenges_user ON auth.webauthn_challenges (user_id);
CREATE INDEX webauthn_challenges_expiry ON auth.webauthn_challenges (expires_at);

ALTER TABLE auth.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.mfa_amr_claims ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.mfa_factors ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.mfa_challenges ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.webauthn_credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.webauthn_challenges ENABLE ROW LEVEL SECURITY;

RESET ROLE;
