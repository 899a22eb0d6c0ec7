//! A page of rows beside a row.

use super::field;
use super::sql::Sql;
use crate::plan::ReadPlan;
use crate::plan::page::{Key, Page};
use crate::plan::read::SOURCE;
use crate::schema::Name;

/// The column that holds a row's place.
const PLACE: &str = "pgrst_place";

/// The place of a row, beside its columns.
pub(super) fn place(sql: &mut Sql, qualifier: &Name, page: &Page) {
    sql.push(", json_build_array(").list(&page.keys, ", ", |sql, key| {
        // a path ends with a value, which alone would be what the cast is of
        sql.push("(");
        field::ordered_by(sql, qualifier, &key.term);
        sql.push(")::text");
    });
    sql.push(")::text AS ").identifier(PLACE);
}

/// Whether a row lies beyond the one that the page is beside.
pub(super) fn beyond(sql: &mut Sql, qualifier: &Name, keys: &[Key], beside: &[Option<String>]) {
    let uniform = keys.iter().all(|key| !key.nullable && key.ascending == keys[0].ascending);
    if uniform && beside.iter().all(Option::is_some) {
        // in this form an index over the columns finds the first row
        sql.push("(").list(keys, ", ", |sql, key| field::ordered_by(sql, qualifier, &key.term));
        sql.push(if keys[0].ascending { ") > (" } else { ") < (" });
        sql.list(beside.iter().flatten(), ", ", |sql, value| {
            sql.bind(value.clone());
        });
        sql.push(")");
        return;
    }
    by_turns(sql, qualifier, keys, beside);
}

/// Beyond in the first key, or the same in it and beyond in the others.
fn by_turns(sql: &mut Sql, qualifier: &Name, keys: &[Key], beside: &[Option<String>]) {
    let ([key, keys @ ..], [value, values @ ..]) = (keys, beside) else {
        sql.push("false");
        return;
    };
    sql.push("(");
    after(sql, qualifier, key, value.as_deref());
    sql.push(" OR (");
    field::ordered_by(sql, qualifier, &key.term);
    match value {
        Some(value) => sql.push(" = ").bind(value.clone()),
        None => sql.push(" IS NULL"),
    };
    sql.push(" AND ");
    by_turns(sql, qualifier, keys, values);
    sql.push("))");
}

fn after(sql: &mut Sql, qualifier: &Name, key: &Key, value: Option<&str>) {
    match value {
        Some(value) => {
            field::ordered_by(sql, qualifier, &key.term);
            sql.push(if key.ascending { " > " } else { " < " }).bind(value.to_owned());
            if key.nullable && !key.nulls_first {
                sql.push(" OR ");
                field::ordered_by(sql, qualifier, &key.term);
                sql.push(" IS NULL");
            }
        }
        None if key.nulls_first => {
            field::ordered_by(sql, qualifier, &key.term);
            sql.push(" IS NOT NULL");
        }
        None => drop(sql.push("false")),
    }
}

/// One row more than the page has, to know whether there are more.
pub(super) fn limit(sql: &mut Sql, page: &Page) {
    if let Some(size) = page.size {
        sql.push("LIMIT ").bind_number(size.saturating_add(1));
    }
}

/// The page's rows in their order, without their places.
pub(super) fn rows(sql: &mut Sql, plan: &ReadPlan, page: &Page) {
    sql.push("SELECT ")
        .identifiers(plan.labels())
        .push(" FROM (SELECT *, row_number() OVER () AS pgrst_row FROM ");
    sql.push(SOURCE);
    if let Some(size) = page.size {
        sql.push(" LIMIT ").bind_number(size);
    }
    sql.push(") pgrst_page ORDER BY pgrst_row").push(if page.backwards { " DESC" } else { "" });
}

/// The places of the first and last row as they come, and whether there are more, as JSON.
pub(super) fn ends(sql: &mut Sql, page: &Page) {
    sql.push("(SELECT json_build_array((array_agg(")
        .identifier(PLACE)
        .push("))[1], (array_agg(")
        .identifier(PLACE);
    match page.size {
        Some(size) => {
            sql.push("))[least(count(*), ")
                .bind_number(size)
                .push("::bigint)], count(*) > ")
                .bind_number(size)
                .push("::bigint");
        }
        None => drop(sql.push("))[count(*)], false")),
    }
    sql.push(")::text FROM ").push(SOURCE).push(")");
}
