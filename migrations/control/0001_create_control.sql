-- The control plane's store: what is in force, who may join, who is there. Times are the database's own, so that no
-- replica's clock decides who is alive.

CREATE SCHEMA control;

-- Every change is a revision that holds everything; the last one is in force. To go back is to add an old one again.
CREATE TABLE control.revisions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    author     text NOT NULL,
    reason     text NOT NULL,
    resources  jsonb NOT NULL
);

-- Who is found by others. A process that is started again is another instance.
CREATE TABLE control.endpoints (
    service     text NOT NULL,
    instance    text NOT NULL,
    address     text NOT NULL,
    zone        text,
    weight      integer NOT NULL CHECK (weight >= 0),
    replica     uuid NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (service, instance)
);

-- Replicas of the control plane, and what the proxies on their streams say.
CREATE TABLE control.replicas (
    id      uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL,
    status  jsonb NOT NULL
);

-- Roots of the trust domain. The newest one that is active signs; all that are not retired are trusted.
CREATE TABLE control.roots (
    id          uuid PRIMARY KEY,
    certificate text NOT NULL,
    sealed_key  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    active_at   timestamptz NOT NULL,
    retired_at  timestamptz
);

-- Each lets one identity in, as often as it likes, until it is taken back. The secret itself is nowhere.
CREATE TABLE control.tokens (
    id         uuid PRIMARY KEY,
    sha256     text NOT NULL UNIQUE,
    identity   text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- One row for each key that was certified: a request that is sent again is refused.
CREATE TABLE control.certificates (
    key_sha256 text PRIMARY KEY,
    identity   text NOT NULL,
    issued_at  timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX certificates_expires_at ON control.certificates (expires_at);

-- Who nobody talks to any more.
CREATE TABLE control.denied (
    identity  text PRIMARY KEY,
    reason    text NOT NULL,
    denied_at timestamptz NOT NULL DEFAULT now()
);
