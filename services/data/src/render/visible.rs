//! What the caller may see of a schema, for its description.

use super::sql::{Sql, Value};

/// The same row as every statement gives; its body is `{description, tables, functions}` as JSON.
const VISIBLE: &str = r"
SELECT NULL::bigint, 1::bigint, json_build_object(
    'description', obj_description(n.oid, 'pg_namespace'),
    'tables', (
        SELECT coalesce(json_agg(c.relname ORDER BY c.relname), '[]') FROM pg_class AS c
        WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition
          AND (pg_has_role(c.relowner, 'USAGE')
               OR has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
               OR has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))),
    'functions', (
        SELECT coalesce(json_agg(DISTINCT p.proname ORDER BY p.proname), '[]') FROM pg_proc AS p
        WHERE p.pronamespace = n.oid AND has_function_privilege(p.oid, 'EXECUTE'))
)::text, NULL::text, NULL::text, NULL::text, NULL::bigint
FROM (SELECT $1::name AS name) AS asked LEFT JOIN pg_namespace AS n ON n.nspname = asked.name";

/// The statement for a schema.
pub(crate) fn visible(schema: &str) -> Sql {
    Sql::fixed(VISIBLE, vec![Value::Text(schema.to_owned().into())])
}
