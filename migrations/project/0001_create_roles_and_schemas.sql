-- The names that users' SQL, dumps and policies expect: roles and schemas as a Supabase project has them.
-- Roles belong to the whole server, so each is created only where it is missing; logins and passwords are the
-- provisioner's, because they differ by placement.

DO $$
DECLARE
    wanted text[][] := ARRAY[
        ['anon',                    'NOLOGIN NOINHERIT'],
        ['authenticated',           'NOLOGIN NOINHERIT'],
        ['service_role',            'NOLOGIN NOINHERIT BYPASSRLS'],
        ['authenticator',           'NOLOGIN NOINHERIT'],
        ['postgres',                'NOLOGIN BYPASSRLS'],
        ['supabase_admin',          'NOLOGIN'],
        ['supabase_auth_admin',     'NOLOGIN NOINHERIT'],
        ['supabase_storage_admin',  'NOLOGIN NOINHERIT'],
        ['supabase_realtime_admin', 'NOLOGIN NOINHERIT'],
        ['dashboard_user',          'NOLOGIN']
    ];
    role text[];
BEGIN
    FOREACH role SLICE 1 IN ARRAY wanted LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role[1]) THEN
            EXECUTE format('CREATE ROLE %I %s', role[1], role[2]);
        END IF;
    END LOOP;
END
$$;

-- authenticator and the storage login become the caller's role for one transaction; they inherit nothing
GRANT anon, authenticated, service_role TO authenticator, supabase_storage_admin, postgres;
-- existing migrations create policies on storage.objects, triggers on auth.users and policies on realtime.messages
GRANT supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin TO postgres;

CREATE SCHEMA IF NOT EXISTS extensions AUTHORIZATION postgres;
CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION supabase_auth_admin;
CREATE SCHEMA IF NOT EXISTS storage AUTHORIZATION supabase_storage_admin;
CREATE SCHEMA IF NOT EXISTS realtime AUTHORIZATION supabase_realtime_admin;
CREATE SCHEMA IF NOT EXISTS graphql_public;
CREATE SCHEMA IF NOT EXISTS meshbase;

CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA extensions;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA extensions;

GRANT ALL ON SCHEMA public TO postgres;
GRANT USAGE ON SCHEMA public, extensions, auth, storage, realtime, graphql_public
    TO anon, authenticated, service_role, postgres;
GRANT ALL ON SCHEMA auth, storage, realtime TO postgres, dashboard_user;
GRANT USAGE ON SCHEMA meshbase TO supabase_auth_admin, supabase_storage_admin;

-- Settings of roles and databases belong to this database alone, not to the server. A function, because a database
-- made from a template does not take them over.
CREATE FUNCTION meshbase.apply_settings() RETURNS void LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    db text := pg_catalog.quote_ident(pg_catalog.current_database());
BEGIN
    EXECUTE 'ALTER DATABASE ' || db || ' SET search_path = "$user", public, extensions';
    EXECUTE 'ALTER ROLE anon IN DATABASE ' || db || ' SET statement_timeout = ''3s''';
    EXECUTE 'ALTER ROLE authenticated IN DATABASE ' || db || ' SET statement_timeout = ''8s''';
    EXECUTE 'ALTER ROLE supabase_auth_admin IN DATABASE ' || db || ' SET search_path = auth';
    EXECUTE 'ALTER ROLE supabase_storage_admin IN DATABASE ' || db || ' SET search_path = storage';
END
$$;
REVOKE ALL ON FUNCTION meshbase.apply_settings() FROM PUBLIC;
SELECT meshbase.apply_settings();

-- What migrations create is granted to the API's roles, as existing ones expect; row-level security is what
-- keeps it closed (0003).
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
    GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
    GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
    GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO postgres, anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO postgres, anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO postgres, anon, authenticated, service_role;
