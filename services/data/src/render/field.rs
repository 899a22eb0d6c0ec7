//! Columns, JSON paths, casts and orders.

use super::sql::Sql;
use crate::plan::field::{PlannedColumn, PlannedField, PlannedOrder};
use crate::plan::spread::Output;
use crate::request::field::{JsonOperand, JsonStep};
use crate::request::order::{Direction, Nulls};
use crate::request::select::{Aggregate, Cast};
use crate::schema::Name;

/// Types whose SQL names are keywords: in quotes they would be other types or none.
const KEYWORD_TYPES: [&str; 30] = [
    "bigint",
    "bit",
    "bit varying",
    "boolean",
    "char",
    "char varying",
    "character",
    "character varying",
    "dec",
    "decimal",
    "double precision",
    "float",
    "int",
    "integer",
    "interval",
    "national char",
    "national char varying",
    "national character",
    "national character varying",
    "nchar",
    "numeric",
    "real",
    "smallint",
    "time",
    "time with time zone",
    "time without time zone",
    "timestamp",
    "timestamp with time zone",
    "timestamp without time zone",
    "varchar",
];

/// A field: column, path, conversions.
pub(crate) fn field(sql: &mut Sql, qualifier: &Name, field: &PlannedField) {
    if let Some(language) = &field.to_tsvector {
        sql.push("to_tsvector(");
        if let Some(language) = language {
            sql.bind(language.clone()).push(", ");
        }
        path(sql, qualifier, field);
        sql.push(")");
    } else {
        path(sql, qualifier, field);
    }
}

fn path(sql: &mut Sql, qualifier: &Name, field: &PlannedField) {
    if field.whole_row {
        sql.name(qualifier);
    } else if field.to_jsonb {
        sql.push("to_jsonb(").column(qualifier, &field.column).push(")");
    } else {
        sql.column(qualifier, &field.column);
    }
    for JsonStep { as_text, operand } in &field.path {
        sql.push(if *as_text { "->>" } else { "->" });
        match operand {
            JsonOperand::Key(key) => sql.bind(key.clone()),
            JsonOperand::Index(index) => sql.bind(index.clone()).push("::int"),
        };
    }
}

/// A selected column: aggregate, casts and alias around its field.
pub(crate) fn column(sql: &mut Sql, qualifier: &Name, column: &PlannedColumn) {
    let inner = |sql: &mut Sql| {
        cast(sql, column.cast.as_ref(), |sql| match &column.shown_by {
            Some(function) => {
                sql.name(function).push("(");
                field(sql, qualifier, &column.field);
                sql.push(")");
            }
            None => field(sql, qualifier, &column.field),
        });
    };
    aggregated(sql, column.aggregate, column.aggregate_cast.as_ref(), inner);
    // what a function makes of a column keeps its name
    let name = column.alias.as_ref().or(column.shown_by.as_ref().map(|_| &column.field.column));
    if let Some(name) = name {
        sql.push(" AS ").identifier(name);
    }
}

/// A column of a spread relation.
pub(crate) fn output(sql: &mut Sql, relation: &Name, output: &Output) {
    let Output { name, alias, aggregate, aggregate_cast } = output;
    aggregated(sql, *aggregate, aggregate_cast.as_ref(), |sql| {
        sql.column(relation, name);
    });
    if let Some(alias) = alias {
        sql.push(" AS ").identifier(alias);
    }
}

/// What `inner` writes, aggregated if asked.
fn aggregated(
    sql: &mut Sql,
    aggregate: Option<Aggregate>,
    aggregate_cast: Option<&Cast>,
    inner: impl FnOnce(&mut Sql),
) {
    let Some(aggregate) = aggregate else { return inner(sql) };
    cast(sql, aggregate_cast, |sql| {
        sql.push(function(aggregate)).push("(");
        inner(sql);
        sql.push(")");
    });
}

fn function(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Sum => "SUM",
        Aggregate::Avg => "AVG",
        Aggregate::Count => "COUNT",
        Aggregate::Max => "MAX",
        Aggregate::Min => "MIN",
    }
}

/// What `inner` writes, cast if asked.
fn cast(sql: &mut Sql, cast: Option<&Cast>, inner: impl FnOnce(&mut Sql)) {
    let Some(cast) = cast else { return inner(sql) };
    sql.push("CAST( ");
    inner(sql);
    sql.push(" AS ");
    match KEYWORD_TYPES.into_iter().find(|keyword| *keyword == cast.as_str()) {
        Some(keyword) => sql.push(keyword),
        None => sql.identifier(cast.as_str()),
    };
    sql.push(" )");
}

/// What a term orders by.
pub(crate) fn ordered_by(sql: &mut Sql, qualifier: &Name, term: &PlannedOrder) {
    match &term.relation {
        Some(alias) => field(sql, &Name::bare(&**alias), &term.field),
        None => field(sql, qualifier, &term.field),
    }
}

/// `ORDER BY …`, or nothing.
pub(crate) fn order(sql: &mut Sql, qualifier: &Name, terms: &[PlannedOrder]) {
    if terms.is_empty() {
        return;
    }
    sql.push("ORDER BY ").list(terms, ", ", |sql, term| {
        ordered_by(sql, qualifier, term);
        sql.push(match term.direction {
            Some(Direction::Ascending) => " ASC",
            Some(Direction::Descending) => " DESC",
            None => "",
        });
        sql.push(match term.nulls {
            Some(Nulls::First) => " NULLS FIRST",
            Some(Nulls::Last) => " NULLS LAST",
            None => "",
        });
    });
}
