//! Reads the catalog: eight statements, each one row of JSON text, and the cache they make together.
//!
//! They run in one snapshot with an empty `search_path`, so that PostgreSQL qualifies every name it writes.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;

use super::relationship::{ComputedRelation, ForeignKey, Key, derive};
use super::view::{self, ViewRow};
use super::{CatalogText, Column, ColumnType, Function, Handler, Handlers, Name, Role, SchemaCache, Table};

/// The statements, in the order that [`assemble`] takes their answers. `$1` is the array of exposed schemas.
pub(crate) const STATEMENTS: [&str; 8] =
    [TABLES, FOREIGN_KEYS, KEYS, VIEWS, COMPUTED_RELATIONS, FUNCTIONS, HANDLERS, ROLES];

/// Relations of the exposed schemas with their columns, and the types that these have; partitions stay behind their
/// parent. There are many columns and few types, so that a column names its type by number.
const TABLES: &str = r"
WITH RECURSIVE resolved (oid, base) AS (
    SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT r.oid, t.typbasetype FROM resolved AS r JOIN pg_type AS t ON t.oid = r.base WHERE t.typtype = 'd'
), domain_base AS (
    SELECT r.oid, r.base FROM resolved AS r JOIN pg_type AS t ON t.oid = r.base WHERE t.typtype <> 'd'
), labels AS (
    SELECT enumtypid, json_agg(enumlabel ORDER BY enumsortorder) AS labels FROM pg_enum GROUP BY enumtypid
), identities AS (
    -- not pg_get_serial_sequence, which needs the right to use the schema
    SELECT d.refobjid, d.refobjsubid, format('%I.%I', n.nspname, s.relname) AS sequence
    FROM pg_depend AS d
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_namespace AS n ON n.oid = s.relnamespace
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
), representations AS (
    SELECT CASE WHEN source.typtype = 'd' THEN source.oid ELSE target.oid END AS domain,
        json_object_agg(
            CASE WHEN source.typtype = 'd' THEN 'to_json' ELSE 'from_' || source.typname END,
            json_build_object('schema', n.nspname, 'name', p.proname)) AS functions
    FROM pg_cast AS c
    JOIN pg_type AS source ON source.oid = c.castsource
    JOIN pg_type AS target ON target.oid = c.casttarget
    JOIN pg_proc AS p ON p.oid = c.castfunc
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE c.castcontext = 'i' AND (
        (source.typtype = 'd' AND target.oid = 'json'::regtype)
        OR (target.typtype = 'd' AND source.oid IN ('json'::regtype, 'text'::regtype)))
    GROUP BY 1
), shown AS (
    SELECT c.oid, c.relname, c.relkind, n.nspname
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition AND n.nspname = ANY ($1)
), attributes AS MATERIALIZED (
    SELECT a.attrelid, a.attnum, a.attname, a.attidentity, a.attgenerated, a.atttypid, a.atttypmod, t.typdefault,
        NOT (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)) AS nullable, coalesce(d.base, a.atttypid) AS base,
        -- lengths are the column's own, but for types that are nobody's without them
        CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace THEN -1 ELSE a.atttypmod END AS modifier
    FROM shown AS s
    JOIN pg_attribute AS a ON a.attrelid = s.oid
    JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN domain_base AS d ON d.oid = a.atttypid
    JOIN pg_type AS b ON b.oid = coalesce(d.base, a.atttypid)
    WHERE a.attnum > 0 AND NOT a.attisdropped
), types AS MATERIALIZED (
    SELECT u.atttypid, u.modifier, row_number() OVER () - 1 AS number, json_build_object(
        'shown', CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace THEN format_type(b.oid, NULL)
            ELSE format_type(u.atttypid, u.modifier) END,
        'input', format_type(b.oid, -1),
        'labels', coalesce(l.labels, '[]'),
        'representation', coalesce(r.functions, '{}')
    ) AS type
    FROM (SELECT DISTINCT atttypid, modifier, base FROM attributes) AS u
    JOIN pg_type AS b ON b.oid = u.base
    LEFT JOIN labels AS l ON l.enumtypid = u.base
    LEFT JOIN representations AS r ON r.domain = u.atttypid
), columns AS (
    SELECT a.attrelid, json_agg(json_build_array(
        a.attname,
        t.number,
        a.nullable,
        CASE
            WHEN a.attidentity = 'd' THEN format('nextval(%L)', i.sequence)
            WHEN a.attidentity = '' AND a.attgenerated = '' THEN coalesce(pg_get_expr(f.adbin, f.adrelid), a.typdefault)
        END,
        CASE WHEN a.atttypid IN ('bpchar'::regtype, 'varchar'::regtype) AND a.atttypmod > 4 THEN a.atttypmod - 4 END,
        e.description
    ) ORDER BY a.attnum) AS columns
    FROM attributes AS a
    JOIN types AS t ON t.atttypid = a.atttypid AND t.modifier = a.modifier
    LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    LEFT JOIN identities AS i ON i.refobjid = a.attrelid AND i.refobjsubid = a.attnum
    LEFT JOIN pg_description AS e
        ON e.objoid = a.attrelid AND e.classoid = 'pg_class'::regclass AND e.objsubid = a.attnum
    GROUP BY a.attrelid
), primary_keys AS (
    SELECT p.conrelid, json_agg(a.attname ORDER BY k.position) AS columns
    FROM pg_constraint AS p, unnest(p.conkey) WITH ORDINALITY AS k (attnum, position), pg_attribute AS a
    WHERE p.contype = 'p' AND a.attrelid = p.conrelid AND a.attnum = k.attnum
    GROUP BY p.conrelid
)
SELECT json_build_object(
    'types', (SELECT coalesce(json_agg(type ORDER BY number), '[]') FROM types),
    'tables', coalesce(json_agg(json_build_object(
        'schema', s.nspname,
        'name', s.relname,
        'description', e.description,
        'is_view', s.relkind IN ('v', 'm'),
        'writes', pg_relation_is_updatable(s.oid, true),
        'primary_key', coalesce(p.columns, '[]'),
        'columns', coalesce(c.columns, '[]')
    )), '[]')
)::text
FROM shown AS s
LEFT JOIN columns AS c ON c.attrelid = s.oid
LEFT JOIN primary_keys AS p ON p.conrelid = s.oid
LEFT JOIN pg_description AS e
    ON e.objoid = s.oid AND e.classoid = 'pg_class'::regclass AND e.objsubid = 0";

/// Foreign keys everywhere, because a junction need not be exposed; those of partitions are their parent's.
const FOREIGN_KEYS: &str = r"
WITH pairs AS (
    SELECT f.oid, json_agg(json_build_array(k.own, k.theirs) ORDER BY k.position) AS numbers,
        json_agg(json_build_array(a.attname, ta.attname) ORDER BY k.position) AS names
    FROM pg_constraint AS f
    CROSS JOIN unnest(f.conkey, f.confkey) WITH ORDINALITY AS k (own, theirs, position)
    JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = k.own
    JOIN pg_attribute AS ta ON ta.attrelid = f.confrelid AND ta.attnum = k.theirs
    WHERE f.contype = 'f' AND f.conparentid = 0
    GROUP BY f.oid
)
SELECT coalesce(json_agg(json_build_object(
    'constraint', f.conname,
    'table', json_build_object('schema', n.nspname, 'name', c.relname),
    'target', json_build_object('schema', tn.nspname, 'name', tc.relname),
    'oid', c.oid::bigint,
    'target_oid', tc.oid::bigint,
    'numbers', p.numbers,
    'columns', p.names
) ORDER BY n.nspname, c.relname, f.conname), '[]')::text
FROM pairs AS p
JOIN pg_constraint AS f ON f.oid = p.oid
JOIN pg_class AS c ON c.oid = f.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS tc ON tc.oid = f.confrelid
JOIN pg_namespace AS tn ON tn.oid = tc.relnamespace
WHERE $1::text[] IS NOT NULL";

/// Primary keys and unique constraints: what makes a foreign key one-to-one and a relation a junction.
const KEYS: &str = r"
SELECT coalesce(json_agg(json_build_object(
    'table', json_build_object('schema', n.nspname, 'name', c.relname),
    'primary', k.contype = 'p',
    'oid', c.oid::bigint,
    'numbers', to_json(k.conkey),
    'columns', (
        SELECT json_agg(a.attname) FROM pg_attribute AS a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
    )
)), '[]')::text
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype IN ('p', 'u') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND $1::text[] IS NOT NULL";

/// Views everywhere, because one may show another that is not exposed.
const VIEWS: &str = r"
SELECT coalesce(json_agg(json_build_object(
    'oid', c.oid::bigint,
    'name', json_build_object('schema', n.nspname, 'name', c.relname),
    'columns', (
        SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0
    ),
    'definition', r.ev_action::text
) ORDER BY n.nspname, c.relname), '[]')::text
FROM pg_rewrite AS r
JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE r.rulename = '_RETURN' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND $1::text[] IS NOT NULL";

/// Functions from one row to rows of another relation.
const COMPUTED_RELATIONS: &str = r"
SELECT coalesce(json_agg(json_build_object(
    'function', json_build_object('schema', n.nspname, 'name', p.proname),
    'source', json_build_object('schema', sn.nspname, 'name', sc.relname),
    'target', json_build_object('schema', tn.nspname, 'name', tc.relname),
    'to_one', NOT p.proretset OR p.prorows = 1
) ORDER BY n.nspname, p.proname), '[]')::text
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_type AS st ON st.oid = p.proargtypes[0]
JOIN pg_class AS sc ON sc.oid = st.typrelid AND sc.relkind IN ('r', 'v', 'm', 'f', 'p')
JOIN pg_namespace AS sn ON sn.oid = sc.relnamespace
JOIN pg_type AS tt ON tt.oid = p.prorettype
JOIN pg_class AS tc ON tc.oid = tt.typrelid AND tc.relkind IN ('r', 'v', 'm', 'f', 'p')
JOIN pg_namespace AS tn ON tn.oid = tc.relnamespace
WHERE p.pronargs = 1 AND p.prokind = 'f' AND n.nspname = ANY ($1)";

/// Functions whose arguments all have names, or that take one nameless document.
const FUNCTIONS: &str = r"
WITH RECURSIVE resolved (oid, base) AS (
    SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT r.oid, t.typbasetype FROM resolved AS r JOIN pg_type AS t ON t.oid = r.base WHERE t.typtype = 'd'
), domain_base AS (
    SELECT r.oid, r.base FROM resolved AS r JOIN pg_type AS t ON t.oid = r.base WHERE t.typtype <> 'd'
), inputs AS (
    SELECT p.oid, p.pronargs - p.pronargdefaults AS required, a.type, coalesce(a.name, '') AS name,
           coalesce(a.mode, 'i') = 'v' AS takes_rest, row_number() OVER (PARTITION BY p.oid ORDER BY a.position) AS n
    FROM pg_proc AS p, unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, p.proargmodes)
        WITH ORDINALITY AS a (type, name, mode, position)
    WHERE coalesce(a.mode, 'i') IN ('i', 'b', 'v')
), parameters AS (
    SELECT oid, count(*) FILTER (WHERE name = '') AS nameless,
        bool_and(type IN ('json'::regtype, 'jsonb'::regtype, 'text'::regtype, 'xml'::regtype, 'bytea'::regtype)) AS documents,
        count(*) AS number,
        json_agg(json_build_object('name', name, 'type_name', format_type(type, NULL), 'cast', format_type(type, -1),
            'required', n <= required, 'variadic', takes_rest) ORDER BY n) AS parameters
    FROM inputs GROUP BY oid
)
SELECT coalesce(json_agg(json_build_object(
    'name', json_build_object('schema', n.nspname, 'name', p.proname),
    'description', obj_description(p.oid, 'pg_proc'),
    'parameters', coalesce(a.parameters, '[]'),
    'returns', json_build_object(
        'type_name', json_build_object('schema', tn.nspname, 'name', coalesce(tc.relname, t.typname)),
        'set', p.proretset,
        'composite', t.typtype = 'c' OR coalesce(p.proargmodes::text[] && '{t,b,o}', false)),
    'volatility', p.provolatile,
    'settings', (
        SELECT coalesce(json_agg(json_build_array(split_part(s, '=', 1), substr(s, strpos(s, '=') + 1))), '[]')
        FROM unnest(p.proconfig) AS s)
) ORDER BY n.nspname, p.proname, p.pronargs, p.oid), '[]')::text
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
LEFT JOIN parameters AS a ON a.oid = p.oid
LEFT JOIN domain_base AS d ON d.oid = p.prorettype
JOIN pg_type AS t ON t.oid = coalesce(d.base, p.prorettype)
JOIN pg_namespace AS tn ON tn.oid = t.typnamespace
LEFT JOIN pg_class AS tc ON tc.oid = t.typrelid
WHERE p.prokind = 'f' AND n.nspname = ANY ($1)
  AND t.oid NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
  AND (a.oid IS NULL OR a.nameless = 0 OR (a.number = 1 AND a.documents))";

/// Aggregates over rows that return a domain named like a media type, and functions that return one.
const HANDLERS: &str = r"
WITH written AS (
    SELECT t.oid, json_build_object('schema', n.nspname, 'name', t.typname) AS name, lower(t.typname) AS accepted,
        CASE t.typname WHEN '*/*' THEN 'application/octet-stream' ELSE t.typname END AS written,
        CASE WHEN t.typbasetype IN ('bytea'::regtype, 'json'::regtype, 'xml'::regtype) THEN format_type(t.typbasetype, NULL)
            ELSE 'text' END AS sent_as
    FROM pg_type AS t
    JOIN pg_namespace AS n ON n.oid = t.typnamespace
    WHERE t.typtype = 'd' AND (t.typname = '*/*' OR t.typname ~ '^[A-Za-z0-9.-]+/[A-Za-z0-9.+-]+$')
), handlers AS (
    SELECT json_build_object('schema', n.nspname, 'name', p.proname) AS function,
        CASE WHEN taken.oid <> 'anyelement'::regtype THEN json_build_object('schema', tn.nspname, 'name', c.relname) END AS target,
        w.accepted, w.written, w.sent_as
    FROM written AS w
    JOIN pg_proc AS p ON p.prorettype = w.oid AND p.prokind = 'a' AND p.pronargs = 1
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_type AS taken ON taken.oid = p.proargtypes[0]
    LEFT JOIN pg_class AS c ON c.oid = taken.typrelid
    LEFT JOIN pg_namespace AS tn ON tn.oid = c.relnamespace
    WHERE n.nspname = ANY ($1)
      AND (taken.oid = 'anyelement'::regtype OR c.relkind IN ('r', 'v', 'm', 'f', 'p'))
    UNION ALL
    SELECT w.name, json_build_object('schema', n.nspname, 'name', p.proname), w.accepted, w.written, w.sent_as
    FROM written AS w
    JOIN pg_proc AS p ON p.prorettype = w.oid AND p.prokind = 'f' AND NOT p.proretset
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY ($1)
)
SELECT coalesce(json_agg(handlers), '[]')::text FROM handlers";

/// `ALTER ROLE … SET …`, as far as this login may set it too; those of this database come last and so win.
const ROLES: &str = r"
SELECT coalesce(json_agg(json_build_object('role', own.role, 'settings', own.settings)), '[]')::text
FROM (
    SELECT r.rolname AS role,
        json_agg(json_build_array(known.name, substr(c.setting, strpos(c.setting, '=') + 1)) ORDER BY s.setdatabase) AS settings
    FROM pg_db_role_setting AS s
    JOIN pg_roles AS r ON r.oid = s.setrole
    CROSS JOIN unnest(s.setconfig) AS c (setting)
    JOIN pg_settings AS known ON lower(known.name) = lower(split_part(c.setting, '=', 1))
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND known.name NOT IN ('role', 'session_authorization', 'search_path')
      AND (known.context = 'user' OR has_parameter_privilege(current_user, known.name, 'set'))
      AND $1::text[] IS NOT NULL
    GROUP BY r.rolname
) AS own";

/// Bits of `pg_relation_is_updatable`: 1 shifted by PostgreSQL's `CmdType`.
const UPDATE: u32 = 1 << 2;
const INSERT: u32 = 1 << 3;
const DELETE: u32 = 1 << 4;

#[derive(Deserialize)]
struct Tables {
    types: Vec<ColumnType>,
    tables: Vec<TableRow>,
}

/// As an array: name, number of the type, nullable, default, longest text, description.
#[derive(Deserialize)]
struct ColumnRow(String, usize, bool, Option<CatalogText>, Option<i32>, Option<String>);

#[derive(Deserialize)]
struct TableRow {
    schema: String,
    name: String,
    description: Option<String>,
    is_view: bool,
    writes: u32,
    primary_key: Vec<String>,
    columns: Vec<ColumnRow>,
}

#[derive(Deserialize)]
struct RoleRow {
    role: String,
    settings: Vec<(String, String)>,
}

/// What a database says of itself, as it says it.
#[derive(Debug, PartialEq)]
pub(crate) struct Catalog {
    /// PostgREST's options that it holds: name and value, of which a later one counts.
    pub(crate) options: Vec<(String, String)>,
    /// The answers to [`STATEMENTS`].
    pub(crate) answers: [String; 8],
}

/// The cache that a catalog makes.
///
/// Errors: an answer that is not the JSON its statement writes.
pub(crate) fn assemble(generation: u64, catalog: &Catalog) -> Result<SchemaCache, serde_json::Error> {
    let [tables, foreign_keys, keys, views, computed, functions, handlers, roles] = &catalog.answers;
    let Tables { types, tables } = serde_json::from_str(tables)?;
    let types: Vec<_> = types.into_iter().map(Arc::new).collect();
    let foreign_keys: Vec<ForeignKey> = serde_json::from_str(foreign_keys)?;
    let mut keys: Vec<Key> = serde_json::from_str(keys)?;
    let views = view::resolve(&serde_json::from_str::<Vec<ViewRow>>(views)?);
    let computed: Vec<ComputedRelation> = serde_json::from_str(computed)?;
    let overloads: Vec<Function> = serde_json::from_str(functions)?;
    let handlers: Vec<Handler> = serde_json::from_str(handlers)?;
    let roles: Vec<RoleRow> = serde_json::from_str(roles)?;

    let mut functions: HashMap<Name, Vec<Function>> = HashMap::new();
    for function in overloads {
        functions.entry(function.name.clone()).or_default().push(function);
    }
    let mut tables: HashMap<Name, Table> = tables.into_iter().map(|row| row.named(&types)).collect();
    for key in view::primary_keys(&views, &keys) {
        if let Some(view) = tables.get_mut(&key.table) {
            view.primary_key.clone_from(&key.columns);
        }
        keys.push(key);
    }
    Ok(SchemaCache {
        generation,
        relationships: derive(&foreign_keys, &keys, &views, computed, |name| tables.contains_key(name)),
        tables,
        functions,
        handlers: Handlers::of(handlers),
        roles: roles.into_iter().map(|row| (row.role, Role::of(row.settings))).collect(),
    })
}

impl TableRow {
    fn named(self, types: &[Arc<ColumnType>]) -> (Name, Table) {
        let name = Name::new(self.schema, self.name);
        let column = |row: ColumnRow| {
            let ColumnRow(name, number, nullable, default, max_length, description) = row;
            // the statement numbers the types it lists
            let r#type = types.get(number)?.clone();
            Some((name.clone(), Column { name, description, r#type, nullable, default, max_length }))
        };
        let columns: IndexMap<_, _> = self.columns.into_iter().filter_map(column).collect();
        let table = Table {
            name: name.clone(),
            description: self.description,
            is_view: self.is_view,
            insertable: self.writes & INSERT != 0,
            updatable: self.writes & UPDATE != 0,
            deletable: self.writes & DELETE != 0,
            primary_key: self.primary_key,
            columns,
        };
        (name, table)
    }
}
