//! Bodies: rows as JSON, CSV, GeoJSON, or as the project's own functions write them.

use super::sql::Sql;
use crate::media::Explain;
use crate::plan::negotiate::BodyFormat;
use crate::schema::{Function, Handler};

/// The expression for the body, over the rows `_postgrest_t`, which come from the expression `shown`.
pub(super) fn body(sql: &mut Sql, format: &BodyFormat, function: Option<&Function>, shown: &'static str) {
    let value = function.is_some_and(|function| function.returns_scalar() || function.returns_scalars());
    let rows = if value { "json_agg(_postgrest_t.pgrst_scalar)" } else { "json_agg(_postgrest_t)" };
    let one = function.is_some_and(|function| function.returns_scalar() || function.returns_row());
    match format {
        BodyFormat::None => sql.push("''::text"),
        BodyFormat::Object { stripped } => json(sql, rows, true, *stripped),
        BodyFormat::Json { stripped } => json(sql, rows, one, *stripped),
        BodyFormat::Csv => csv(sql, shown),
        BodyFormat::Lines => {
            sql.push("coalesce(string_agg(");
            line(sql, function);
            sql.push(" || E'\\n', ''), '')")
        }
        BodyFormat::GeoJson => sql.push(GEO_JSON),
        BodyFormat::Custom(handler) => custom(sql, handler, function.is_some_and(Function::returns_scalar)),
    };
}

fn json<'a>(sql: &'a mut Sql, rows: &'static str, one: bool, stripped: bool) -> &'a mut Sql {
    sql.push(if stripped { "coalesce(json_strip_nulls(" } else { "coalesce(" }).push(rows);
    sql.push(if one { "->0" } else { "" }).push(if stripped { ")" } else { "" });
    sql.push(if one { ", 'null')" } else { ", '[]')" })
}

/// A header of the first row's keys, then each row.
fn csv<'a>(sql: &'a mut Sql, shown: &'static str) -> &'a mut Sql {
    sql.push("(SELECT coalesce(string_agg(a.k, ','), '') FROM (SELECT json_object_keys(r)::text AS k FROM ");
    sql.push("(SELECT row_to_json(hh) AS r FROM ").push(shown).push(" AS hh LIMIT 1) s) a) || E'\\n' || ");
    sql.push("coalesce(string_agg(").push(CSV_LINE).push(", E'\\n'), '')")
}

/// A row as PostgreSQL writes records, without the parentheses.
pub(super) const CSV_LINE: &str = "substring(_postgrest_t::text, 2, length(_postgrest_t::text) - 2)";

/// A row or value as JSON on one line: what PostgreSQL keeps as it was written may have line ends between its parts.
pub(super) fn line(sql: &mut Sql, function: Option<&Function>) {
    let value = function.is_some_and(|function| function.returns_scalar() || function.returns_scalars());
    sql.push(if value {
        "translate(to_json(_postgrest_t.pgrst_scalar)::text"
    } else {
        "translate(row_to_json(_postgrest_t)::text"
    });
    sql.push(", E'\\n\\r', '  ')");
}

/// A feature of each row. The function is PostGIS's, wherever the project has put it in its search path.
const GEO_JSON: &str = "json_build_object('type', 'FeatureCollection', 'features', \
                        coalesce(json_agg(ST_AsGeoJSON(_postgrest_t)::json), '[]'))";

/// What the project's handler makes of the rows, as the bytes of the answer.
fn custom<'a>(sql: &'a mut Sql, handler: &Handler, of_value: bool) -> &'a mut Sql {
    sql.name(&handler.function).push(if of_value { "(_postgrest_t.pgrst_scalar" } else { "(_postgrest_t" });
    if let (false, Some(target)) = (of_value, &handler.target) {
        sql.push("::").name(target);
    }
    sql.push(")::").catalog(&handler.sent_as)
}

/// How PostgreSQL would go about a statement.
pub(super) fn explained(explain: &Explain, statement: Sql) -> Sql {
    let mut sql = Sql::new();
    sql.push(if explain.json { "EXPLAIN (FORMAT JSON" } else { "EXPLAIN (FORMAT TEXT" });
    for option in &explain.options {
        sql.push(", ").push(option.name());
    }
    sql.push(") ").append(statement);
    sql
}
