//! A page of rows beside a row: the order that makes every row's place its own, and the place that the page is beside.

use base::{Error, Result};

use super::field::PlannedOrder;
use super::read::ReadPlan;
use crate::error::CURSOR;
use crate::request::cursor::{Cursor, Position, Side};
use crate::request::order::{Direction, Nulls};
use crate::request::range;
use crate::schema::Table;

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    /// What rows are ordered by; in the opposite direction for a page before a row, so that its nearest come first.
    pub(crate) keys: Vec<Key>,
    /// The keys of the row beside it.
    pub(crate) beside: Option<Vec<Option<String>>>,
    /// Whether the rows come in the opposite of their order.
    pub(crate) backwards: bool,
    /// Most rows of it.
    pub(crate) size: Option<i64>,
    /// The order as a cursor has it.
    pub(crate) order: String,
}

/// One of the things that rows are ordered by.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) term: PlannedOrder,
    pub(crate) ascending: bool,
    pub(crate) nulls_first: bool,
    pub(crate) nullable: bool,
}

/// Makes a plan that of a page.
///
/// Errors: MB102 for rows that have no place of their own or are asked for in another way too, and for a cursor of
/// another order.
pub(crate) fn turn(plan: &mut ReadPlan, table: &Table, cursor: &Cursor) -> Result<()> {
    // the keys of its tables need not tell the rows of a view apart
    if table.primary_key.is_empty() || table.is_view {
        return Err(CURSOR.error(format!(
            "'{}' has no primary key of its own to tell its rows apart by",
            table.name.name
        )));
    }
    if plan.aggregates() || plan.distinct.is_some() {
        return Err(CURSOR.error("rows that are aggregated or distinct have no cursors"));
    }
    if plan.range.offset() != 0 {
        return Err(CURSOR.error("a cursor stands in the place of an offset"));
    }
    let backwards = cursor.side == Side::Before;
    let mut keys = plan.order.iter().map(|term| Key::of(term, table)).collect::<Result<Vec<_>>>()?;
    // one direction for all lets an index find the page
    let ascending = keys.last().is_none_or(|key| key.ascending);
    for column in &table.primary_key {
        if !keys.iter().any(|key| key.term.field.column == *column && key.term.field.path.is_empty()) {
            let term = PlannedOrder::by(column.clone());
            keys.push(Key { ascending, nulls_first: !ascending, ..Key::of(&term, table)? });
        }
    }
    let order = keys.iter().map(Key::text).collect::<Vec<_>>().join(",");
    let beside = cursor.position.as_ref().map(|position| place(position, &order, keys.len())).transpose()?;
    if backwards {
        keys.iter_mut().for_each(Key::turn);
    }
    plan.order = keys.iter().map(Key::explicit).collect();
    let size = plan.range.limit();
    plan.range = range::ALL;
    plan.page = Some(Page { keys, beside, backwards, size, order });
    Ok(())
}

fn place(position: &Position, order: &str, keys: usize) -> Result<Vec<Option<String>>> {
    if position.order != order || position.keys.len() != keys {
        return Err(CURSOR.error("the cursor is of rows in another order"));
    }
    Ok(position.keys.clone())
}

impl Page {
    /// Whether nobody knows how many rows come before it.
    pub(crate) fn is_somewhere(&self) -> bool {
        self.backwards || self.beside.is_some()
    }
}

impl Key {
    fn of(term: &PlannedOrder, table: &Table) -> Result<Key> {
        if term.relation.is_some() {
            return Err(related());
        }
        let ascending = term.direction != Some(Direction::Descending);
        let nulls_first = term.nulls.map_or(!ascending, |nulls| nulls == Nulls::First);
        let column = table.columns.get(&term.field.column).filter(|_| term.field.path.is_empty());
        let nullable = column.is_none_or(|column| column.nullable);
        Ok(Key { term: term.clone(), ascending, nulls_first, nullable })
    }

    fn turn(&mut self) {
        self.ascending = !self.ascending;
        self.nulls_first = !self.nulls_first;
    }

    fn explicit(&self) -> PlannedOrder {
        let direction = if self.ascending { Direction::Ascending } else { Direction::Descending };
        let nulls = if self.nulls_first { Nulls::First } else { Nulls::Last };
        PlannedOrder { direction: Some(direction), nulls: Some(nulls), ..self.term.clone() }
    }

    /// As a cursor has it.
    fn text(&self) -> String {
        let path: String = self.term.field.path.iter().map(|step| format!("{:?}", step.operand)).collect();
        let column = &self.term.field.column;
        format!("{column}{path}.{}.{}", if self.ascending { "asc" } else { "desc" }, self.nulls_first)
    }
}

fn related() -> Error {
    CURSOR.error("rows that are ordered by another relation's column have no cursors")
}
