//! Columns as a statement needs them: with the conversions that their types ask for.

use crate::request::field::{Field, JsonOperand, JsonStep};
use crate::request::order::{Direction, Nulls, OrderTerm};
use crate::request::select::{Aggregate, Cast, SelectColumn};
use crate::schema::{Name, Table};

/// A column, or a way into it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlannedField {
    /// The column; `*` for all.
    pub(crate) column: String,
    pub(crate) path: Vec<JsonStep>,
    /// Whether the column must be turned into `jsonb` before the path applies.
    pub(crate) to_jsonb: bool,
    /// Whether it must be turned into a `tsvector`, and in which language.
    pub(crate) to_tsvector: Option<Option<String>>,
    /// Whether it is the row itself as one value.
    pub(crate) whole_row: bool,
    /// What reads the values that it is compared with.
    pub(crate) read_by: Option<Name>,
}

/// A column to select.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlannedColumn {
    pub(crate) field: PlannedField,
    pub(crate) alias: Option<String>,
    pub(crate) cast: Option<Cast>,
    pub(crate) aggregate: Option<Aggregate>,
    pub(crate) aggregate_cast: Option<Cast>,
    /// What writes its values for the answer.
    pub(crate) shown_by: Option<Name>,
}

impl PlannedColumn {
    /// Its name in the answer.
    pub(crate) fn name(&self) -> &str {
        self.alias.as_ref().unwrap_or(&self.field.column)
    }
}

/// Something to order by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlannedOrder {
    /// The embedded relation's alias in the statement, if the column is not the own.
    pub(crate) relation: Option<String>,
    pub(crate) field: PlannedField,
    pub(crate) direction: Option<Direction>,
    pub(crate) nulls: Option<Nulls>,
}

impl PlannedOrder {
    /// By a column.
    pub(crate) fn by(column: String) -> PlannedOrder {
        let field = PlannedField {
            column,
            path: Vec::new(),
            to_jsonb: false,
            to_tsvector: None,
            whole_row: false,
            read_by: None,
        };
        PlannedOrder { relation: None, field, direction: None, nulls: None }
    }

    /// The same order by a column that holds what it orders by.
    pub(crate) fn by_column(&self, column: String) -> PlannedOrder {
        PlannedOrder { direction: self.direction, nulls: self.nulls, ..PlannedOrder::by(column) }
    }
}

/// Plans a field of `table`; one that the cache does not know is left for PostgreSQL to judge, because it may be a
/// computed column.
pub(crate) fn field(field: &Field, table: Option<&Table>) -> PlannedField {
    let column = table.and_then(|table| table.columns.get(&field.name));
    PlannedField {
        column: field.name.clone(),
        path: field.path.clone(),
        to_jsonb: !field.path.is_empty() && !column.is_some_and(|column| column.r#type.is_json()),
        to_tsvector: None,
        whole_row: false,
        read_by: column
            .filter(|_| field.path.is_empty())
            .and_then(|c| c.r#type.representation.from_text.clone()),
    }
}

/// Plans a column to select; a path without an alias is named by its last key.
pub(crate) fn column(column: &SelectColumn, table: Option<&Table>) -> PlannedColumn {
    let alias = column.alias.clone().or_else(|| match column.aggregate {
        Some(_) => None,
        None => last_key(&column.field),
    });
    PlannedColumn {
        field: field(&column.field, table),
        alias,
        cast: column.cast.clone(),
        aggregate: column.aggregate,
        aggregate_cast: column.aggregate_cast.clone(),
        shown_by: shown_by(column, table),
    }
}

/// What writes the values of a column that is selected as it is.
fn shown_by(column: &SelectColumn, table: Option<&Table>) -> Option<Name> {
    let is_plain = column.field.path.is_empty() && column.aggregate.is_none();
    let known = table?.columns.get(&column.field.name).filter(|_| is_plain)?;
    known.r#type.representation.to_json.clone()
}

/// The last key of a path; the column's name if the path has indexes alone.
fn last_key(field: &Field) -> Option<String> {
    if field.path.is_empty() {
        return None;
    }
    let key = field.path.iter().rev().find_map(|step| match &step.operand {
        JsonOperand::Key(key) => Some(key.clone()),
        JsonOperand::Index(_) => None,
    });
    Some(key.unwrap_or_else(|| field.name.clone()))
}

/// Plans an order; a related one keeps the name that the request gave until the relation is known.
pub(crate) fn order(term: &OrderTerm, table: Option<&Table>) -> PlannedOrder {
    let table = table.filter(|_| term.relation.is_none());
    PlannedOrder {
        relation: term.relation.clone(),
        field: field(&term.field, table),
        direction: term.direction,
        nulls: term.nulls,
    }
}
