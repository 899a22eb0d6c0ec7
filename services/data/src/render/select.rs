//! `SELECT` of a read plan, with embedded relations as lateral joins; and the same rows only counted.

use super::condition::{Scope, condition, exists, join};
use super::sql::Sql;
use super::{field, page};
use crate::plan::ReadPlan;
use crate::plan::condition::Condition;
use crate::plan::page::Page;
use crate::plan::read::{Embed, From};
use crate::plan::spread::Output;
use crate::request::range::Range;
use crate::request::select::{Distinct, Join};
use crate::schema::Name;

/// The rows of a plan.
pub(crate) fn rows(sql: &mut Sql, plan: &ReadPlan) {
    unlimited(sql, plan);
    match &plan.page {
        Some(page) => page::limit(sql, page),
        None => limit(sql, plan.range),
    }
}

fn unlimited(sql: &mut Sql, plan: &ReadPlan) {
    sql.push("SELECT ");
    match &plan.distinct {
        None => {}
        Some(Distinct::Rows) => drop(sql.push("DISTINCT ")),
        Some(Distinct::By(columns)) => {
            sql.push("DISTINCT ON (").list(columns, ", ", |sql, column| {
                sql.column(&plan.qualifier, column);
            });
            sql.push(") ");
        }
    }
    selection(sql, plan);
    if plan.keyed {
        for (number, term) in plan.order.iter().enumerate() {
            sql.push(", ");
            field::ordered_by(sql, &plan.qualifier, term);
            sql.push(" AS ").identifier(&order_key(number));
        }
    }
    if let Some(page) = &plan.page {
        page::place(sql, &plan.qualifier, page);
    }
    from(sql, plan);
    for embed in &plan.embeds {
        lateral(sql, embed);
    }
    filtered(sql, plan);
    sql.push(" ");
    group(sql, plan);
    field::order(sql, &plan.qualifier, &plan.order);
    sql.push(" ");
}

fn selection(sql: &mut Sql, plan: &ReadPlan) {
    // an empty select of a relation without embeds still needs a row type; the answer then has no columns
    if plan.columns.is_empty() && plan.embeds.is_empty() {
        sql.column(&plan.qualifier, "*");
        return;
    }
    let mut first = true;
    for column in &plan.columns {
        separate(sql, &mut first);
        field::column(sql, &plan.qualifier, column);
    }
    for embed in &plan.embeds {
        if embed.spread {
            for output in &embed.outputs {
                separate(sql, &mut first);
                field::output(sql, &Name::bare(&*embed.alias), output);
            }
        } else if !embed.plan.is_empty() {
            separate(sql, &mut first);
            embedded(sql, embed);
        }
    }
}

fn separate(sql: &mut Sql, first: &mut bool) {
    if !std::mem::take(first) {
        sql.push(", ");
    }
}

/// The value of an embedded relation: an object or an array.
fn embedded(sql: &mut Sql, embed: &Embed) {
    if embed.relationship.is_to_one() {
        sql.push("row_to_json(").identifier(&embed.alias).push(".*)::jsonb AS ");
    } else {
        sql.push("COALESCE( ").column(&Name::bare(&*embed.alias), &embed.alias).push(", '[]') AS ");
    }
    sql.identifier(&embed.label);
}

/// The name of what rows are ordered by, where it is selected beside them.
fn order_key(number: usize) -> String {
    format!("pgrst_order_{number}")
}

fn from(sql: &mut Sql, plan: &ReadPlan) {
    sql.push(" FROM ");
    match &plan.from {
        From::Relation { name, alias } => {
            sql.name(name);
            if let Some(alias) = alias {
                sql.push(" AS ").identifier(alias);
            }
        }
        From::Through { name, junction } => {
            sql.name(name).push(", ").name(junction);
        }
        // the cast tells overloads apart where the row comes from a common table expression
        From::Computed { function, row, row_type, alias } => {
            sql.name(function)
                .push("(")
                .identifier(row)
                .push("::")
                .name(row_type)
                .push(") AS ")
                .identifier(alias);
        }
    }
}

/// The join of an embedded relation; an inner one drops parents without rows.
fn lateral(sql: &mut Sql, embed: &Embed) {
    let inner = embed.join == Join::Inner;
    sql.push(if inner { " INNER JOIN LATERAL ( " } else { " LEFT JOIN LATERAL ( " });
    if embed.relationship.is_to_one() {
        rows(sql, &embed.plan);
        sql.push(" ) AS ").identifier(&embed.alias).push(" ON TRUE");
        return;
    }
    sql.push("SELECT json_agg(").identifier(&embed.alias).push(")::jsonb AS ").identifier(&embed.alias);
    if embed.spread {
        lists(sql, embed);
    }
    sql.push(" FROM (");
    rows(sql, &embed.plan);
    sql.push(" ) AS ").identifier(&embed.alias).push(" ) AS ").identifier(&embed.alias).push(" ON ");
    if inner {
        sql.identifier(&embed.alias).push(" IS NOT NULL");
    } else {
        sql.push("TRUE");
    }
}

/// Each column of a spread relation as a list, all in the order of its rows.
fn lists(sql: &mut Sql, embed: &Embed) {
    let alias = Name::bare(&*embed.alias);
    let keys = embed.plan.order.iter().enumerate().map(|(number, term)| term.by_column(order_key(number)));
    let keys: Vec<_> = keys.collect();
    for Output { name, .. } in &embed.outputs {
        sql.push(", COALESCE(json_agg(").column(&alias, name).push(" ");
        field::order(sql, &alias, &keys);
        sql.push("), '[]')::jsonb AS ").identifier(name);
    }
}

fn filtered(sql: &mut Sql, plan: &ReadPlan) {
    let mut separator = " WHERE ";
    restrictions(sql, plan, true, &mut separator);
    if let Some(Page { keys, beside: Some(beside), .. }) = &plan.page {
        sql.push(separator);
        page::beyond(sql, &plan.qualifier, keys, beside);
    }
}

/// The plan's own conditions, and what ties it to its parent.
fn restrictions(sql: &mut Sql, plan: &ReadPlan, joined: bool, separator: &mut &'static str) {
    let scope = Scope { qualifier: &plan.qualifier, embeds: &plan.embeds, joined };
    for one in &plan.conditions {
        sql.push(std::mem::replace(separator, " AND "));
        condition(sql, scope, one);
    }
    for pair in &plan.joined_by {
        sql.push(std::mem::replace(separator, " AND "));
        join(sql, pair);
    }
}

/// `GROUP BY` everything that is not aggregated, if anything is.
fn group(sql: &mut Sql, plan: &ReadPlan) {
    if !plan.aggregates() {
        return;
    }
    let mut first = true;
    let mut separated = |sql: &mut Sql| {
        sql.push(if std::mem::take(&mut first) { "GROUP BY " } else { ", " });
    };
    for column in plan.columns.iter().filter(|column| column.aggregate.is_none()) {
        separated(sql);
        match &column.alias {
            Some(alias) => drop(sql.identifier(alias)),
            None => field::field(sql, &plan.qualifier, &column.field),
        }
    }
    for embed in &plan.embeds {
        for output in embed.outputs.iter().filter(|output| output.aggregate.is_none()) {
            separated(sql);
            sql.column(&Name::bare(&*embed.alias), &output.name);
        }
        if !embed.spread && !embed.plan.is_empty() {
            separated(sql);
            sql.identifier(&embed.label);
        }
    }
    sql.push(" ");
}

fn limit(sql: &mut Sql, range: Range) {
    if range.is_all() {
        return;
    }
    sql.push("LIMIT ");
    match range.limit() {
        Some(limit) => sql.bind_number(limit),
        None => sql.push("ALL"),
    };
    sql.push(" OFFSET ").bind_number(range.offset());
}

/// One row for each row that the plan has without its limits; an inner embed counts as a condition.
pub(crate) fn counted(sql: &mut Sql, plan: &ReadPlan) {
    if plan.distinct.is_some() {
        sql.push("SELECT 1 FROM (");
        unlimited(sql, plan);
        sql.push(") AS pgrst_distinct");
        return;
    }
    existing(sql, plan, None);
}

/// One row for each row that the plan's conditions leave, of which perhaps another holds too.
pub(super) fn existing(sql: &mut Sql, plan: &ReadPlan, also: Option<&Condition>) {
    sql.push("SELECT 1");
    from(sql, plan);
    let mut separator = " WHERE ";
    restrictions(sql, plan, false, &mut separator);
    if let Some(also) = also {
        sql.push(std::mem::replace(&mut separator, " AND "));
        condition(sql, Scope { qualifier: &plan.qualifier, embeds: &plan.embeds, joined: false }, also);
    }
    for embed in plan.embeds.iter().filter(|embed| embed.join == Join::Inner) {
        sql.push(std::mem::replace(&mut separator, " AND "));
        exists(sql, Some(&embed.plan), None);
    }
}
