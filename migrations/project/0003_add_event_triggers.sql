-- Default deny, and a schema cache that follows every change of the schema.

-- Every schema but the system's and ours: which ones the data API shows can change later, and a table must not
-- become open by that. Its owner passes row-level security by anyway.
CREATE FUNCTION meshbase.enable_row_level_security() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    created record;
BEGIN
    FOR created IN
        SELECT c.object_identity
        FROM pg_catalog.pg_event_trigger_ddl_commands() AS c, meshbase.settings AS s
        WHERE c.object_type = 'table' AND s.default_deny
          AND c.schema_name NOT LIKE 'pg\_%'
          AND c.schema_name NOT IN
              ('information_schema', 'auth', 'storage', 'realtime', 'extensions', 'meshbase', 'supabase_migrations')
    LOOP
        EXECUTE 'ALTER TABLE ' || created.object_identity || ' ENABLE ROW LEVEL SECURITY';
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION meshbase.enable_row_level_security() FROM PUBLIC;

CREATE EVENT TRIGGER meshbase_default_deny ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
    EXECUTE FUNCTION meshbase.enable_row_level_security();

-- PostgREST's channel and payload: tools that send it by hand keep working.
CREATE FUNCTION meshbase.notify_schema_change() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_event_trigger_ddl_commands() AS c
        WHERE c.schema_name IS DISTINCT FROM 'pg_temp'
    ) THEN
        NOTIFY pgrst, 'reload schema';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION meshbase.notify_schema_change() FROM PUBLIC;

CREATE EVENT TRIGGER meshbase_schema_changed ON ddl_command_end
    EXECUTE FUNCTION meshbase.notify_schema_change();

CREATE FUNCTION meshbase.notify_schema_drop() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_event_trigger_dropped_objects() AS d WHERE NOT d.is_temporary) THEN
        NOTIFY pgrst, 'reload schema';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION meshbase.notify_schema_drop() FROM PUBLIC;

CREATE EVENT TRIGGER meshbase_schema_dropped ON sql_drop
    EXECUTE FUNCTION meshbase.notify_schema_drop();
