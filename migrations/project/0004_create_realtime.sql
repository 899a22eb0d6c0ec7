-- What migrations for Supabase Realtime refer to: the publication, the messages table and its topic.

CREATE PUBLICATION supabase_realtime;
ALTER PUBLICATION supabase_realtime OWNER TO postgres;

CREATE TABLE realtime.messages (
    id          uuid NOT NULL DEFAULT gen_random_uuid(),
    topic       text NOT NULL,
    extension   text NOT NULL,
    event       text,
    payload     jsonb,
    private     boolean NOT NULL DEFAULT false,
    inserted_at timestamp NOT NULL DEFAULT now(),
    updated_at  timestamp NOT NULL DEFAULT now(),
    PRIMARY KEY (id, inserted_at)
) PARTITION BY RANGE (inserted_at);
CREATE TABLE realtime.messages_default PARTITION OF realtime.messages DEFAULT;
ALTER TABLE realtime.messages OWNER TO supabase_realtime_admin;
ALTER TABLE realtime.messages_default OWNER TO supabase_realtime_admin;
ALTER TABLE realtime.messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE realtime.messages_default ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON realtime.messages TO anon, authenticated, service_role, postgres;

CREATE FUNCTION realtime.topic() RETURNS text
    LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('realtime.topic', true), '') $$;
ALTER FUNCTION realtime.topic() OWNER TO supabase_realtime_admin;
