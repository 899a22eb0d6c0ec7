//! `INSERT`, `UPDATE`, `DELETE`.

use super::condition::conditions;
use super::rows::{Field, Source, from};
use super::sql::Sql;
use crate::plan::condition::Condition;
use crate::plan::write::{Conflict, Insert, Rows, WriteKind, WritePlan};
use crate::request::preferences::Resolution;
use crate::schema::Name;

/// The alias of the body's rows.
const BODY: &str = "pgrst_body";

/// The write itself, returning what the plan needs.
pub(crate) fn write(sql: &mut Sql, plan: &WritePlan) {
    match &plan.kind {
        WriteKind::Insert(insert) => self::insert(sql, plan, insert),
        WriteKind::Update { payload, conditions } => update(sql, plan, payload, conditions),
        WriteKind::Nested(keys) => again(sql, plan, keys),
        WriteKind::Delete { conditions } => {
            sql.push("DELETE FROM ").name(&plan.table);
            filtered(sql, &plan.table, conditions);
            returning(sql, plan);
        }
    }
}

fn insert(sql: &mut Sql, plan: &WritePlan, insert: &Insert) {
    let columns = || insert.payload.columns.iter().map(|column| column.name.as_str());
    sql.push("INSERT INTO ").name(&plan.table);
    if !insert.payload.columns.is_empty() {
        sql.push("(").identifiers(columns()).push(")");
    }
    sql.push(" SELECT ").list(columns(), ", ", |sql, column| {
        sql.column(&Name::bare(BODY), column);
    });
    sql.push(" ");
    from(sql, &source(&insert.payload));
    if insert.counts_inserted() {
        sql.push("WHERE ");
        count_inserted(sql, true);
        if !insert.conditions.is_empty() {
            sql.push(" AND ");
            conditions(sql, &Name::bare(BODY), &insert.conditions);
        }
    }
    if let Some(conflict) = &insert.conflict {
        on_conflict(sql, insert, conflict);
    }
    returning(sql, plan);
}

fn on_conflict(sql: &mut Sql, insert: &Insert, conflict: &Conflict) {
    sql.push(" ON CONFLICT(").identifiers(conflict.columns.iter().map(String::as_str)).push(") ");
    if conflict.resolution == Resolution::Ignore || insert.payload.columns.is_empty() {
        sql.push("DO NOTHING");
        return;
    }
    sql.push("DO UPDATE SET ").list(&insert.payload.columns, ", ", |sql, column| {
        sql.identifier(&column.name).push(" = EXCLUDED.").identifier(&column.name);
    });
    sql.push(" WHERE ");
    count_inserted(sql, false);
}

/// Counts rows on their way in, and those that met one already there off again: what remains was inserted.
fn count_inserted(sql: &mut Sql, up: bool) {
    sql.push("set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) ");
    sql.push(if up { "+ 1)::text, true) <> '0'" } else { "- 1)::text, true) <> '-1'" });
}

fn update(sql: &mut Sql, plan: &WritePlan, payload: &Rows, conditions: &[Condition]) {
    if payload.columns.is_empty() {
        return nothing(sql, plan);
    }
    sql.push("UPDATE ").name(&plan.table).push(" SET ").list(&payload.columns, ", ", |sql, column| {
        sql.identifier(&column.name).push(" = ").column(&Name::bare(BODY), &column.name);
    });
    sql.push(" ");
    from(sql, &source(payload));
    filtered(sql, &plan.table, conditions);
    returning(sql, plan);
}

/// The rows with these keys, in the order of the keys.
fn again(sql: &mut Sql, plan: &WritePlan, keys: &Rows) {
    let columns = || keys.columns.iter().map(|column| &*column.name);
    sql.push("SELECT ");
    if plan.returning.is_empty() {
        sql.push("1");
    }
    sql.list(&plan.returning, ", ", |sql, column| {
        sql.column(&plan.table, column);
    });
    sql.push(" FROM (SELECT pgrst_body.*, row_number() OVER () AS pgrst_row ");
    from(sql, &source(keys));
    sql.push(") pgrst_keys JOIN ").name(&plan.table).push(" ON ");
    sql.list(columns(), " AND ", |sql, column| {
        sql.column(&plan.table, column).push(" = ").column(&Name::bare("pgrst_keys"), column);
    });
    sql.push(" ORDER BY pgrst_keys.pgrst_row");
}

/// An update of no columns: no rows, but with the columns that the answer selects.
fn nothing(sql: &mut Sql, plan: &WritePlan) {
    sql.push("SELECT ");
    if plan.returning.is_empty() {
        sql.push("NULL");
    }
    sql.list(&plan.returning, ", ", |sql, column| {
        sql.column(&Name::bare(&*plan.table.name), column);
    });
    sql.push(" FROM ").name(&plan.table).push(" WHERE false");
}

fn filtered(sql: &mut Sql, table: &Name, all: &[Condition]) {
    if !all.is_empty() {
        sql.push(" WHERE ");
        conditions(sql, table, all);
    }
}

fn returning(sql: &mut Sql, plan: &WritePlan) {
    sql.push(" RETURNING ");
    if plan.returning.is_empty() {
        sql.push("1");
    }
    sql.list(&plan.returning, ", ", |sql, column| {
        sql.column(&plan.table, column);
    });
}

fn source(rows: &Rows) -> Source<'_> {
    Source {
        json: &rows.json,
        is_object: rows.is_object(),
        fields: rows
            .columns
            .iter()
            .map(|column| Field {
                name: &column.name,
                type_name: Some(&column.r#type.input)
                    .filter(|_| column.r#type.representation.from_json.is_none()),
                read_by: column.r#type.representation.from_json.as_ref(),
                default: column.default.as_ref(),
            })
            .collect(),
        defaults: rows.defaults,
        one: false,
    }
}
