//! What a write does: which columns of which rows, and what it returns.

use base::Result;
use bytes::Bytes;

use super::condition::{self, Condition};
use super::nested;
use super::read::ReadPlan;
use crate::error::{NOT_EMBEDDED, PUT_FILTERS, missing};
use crate::request::filter::{Operation, Quantifiable};
use crate::request::logic::Logic;
use crate::request::preferences::{Missing, Resolution, Return};
use crate::request::{Action, ApiRequest, Payload};
use crate::schema::{Column, Name, SchemaCache, Table};

/// A write to one relation.
#[derive(Debug)]
pub(crate) struct WritePlan {
    pub(crate) table: Name,
    pub(crate) kind: WriteKind,
    /// What is returned of the written rows; nothing but their number if empty.
    pub(crate) returning: Vec<String>,
}

/// What is done.
#[derive(Debug)]
pub(crate) enum WriteKind {
    Insert(Insert),
    Update {
        payload: Rows,
        conditions: Vec<Condition>,
    },
    Delete {
        conditions: Vec<Condition>,
    },
    /// New rows of several relations. They were inserted one after the other; these are the first level's, by key.
    Nested(Rows),
}

/// New rows.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) payload: Rows,
    pub(crate) conflict: Option<Conflict>,
    /// PUT: what the row in the body must fulfil.
    pub(crate) conditions: Vec<Condition>,
    /// The primary key, for `Location`.
    pub(crate) primary_key: Vec<String>,
    /// Whether `Location` is wanted.
    pub(crate) wants_location: bool,
}

/// What becomes of rows that are already there.
#[derive(Debug)]
pub(crate) struct Conflict {
    pub(crate) resolution: Resolution,
    /// The columns of the unique constraint.
    pub(crate) columns: Vec<String>,
}

/// The rows of a body, and the columns that are taken of them.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) json: Bytes,
    pub(crate) columns: Vec<Column>,
    /// Whether the columns' defaults stand for missing keys.
    pub(crate) defaults: bool,
}

impl Insert {
    /// Whether it is an upsert, whose inserted rows are counted apart.
    pub(crate) fn counts_inserted(&self) -> bool {
        !self.conditions.is_empty()
            || self.conflict.as_ref().is_some_and(|conflict| conflict.resolution == Resolution::Merge)
    }
}

impl WritePlan {
    /// Whether it is an upsert, whose inserted rows are counted apart.
    pub(crate) fn counts_inserted(&self) -> bool {
        matches!(&self.kind, WriteKind::Insert(insert) if insert.counts_inserted())
    }

    /// Whether rows of several relations are inserted.
    pub(crate) fn is_nested(&self) -> bool {
        matches!(self.kind, WriteKind::Nested(_))
    }

    /// Whether it inserts into a relation with a primary key.
    pub(crate) fn has_key(&self) -> bool {
        match &self.kind {
            WriteKind::Insert(insert) => !insert.primary_key.is_empty(),
            WriteKind::Nested(keys) => !keys.columns.is_empty(),
            WriteKind::Update { .. } | WriteKind::Delete { .. } => false,
        }
    }
}

impl Rows {
    /// Whether the body is one object instead of an array of them.
    pub(crate) fn is_object(&self) -> bool {
        self.json.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) == Some(&b'{')
    }
}

/// Plans a write.
///
/// Errors: PGRST204 for a column that is not there, PGRST105 for PUT without a filter on exactly the primary key.
pub(crate) fn plan(
    request: &ApiRequest,
    table: &Table,
    read: &ReadPlan,
    cache: &SchemaCache,
) -> Result<WritePlan> {
    let conditions = conditions(request, table, cache)?;
    let kind = match request.target.action {
        Action::Create => match nested::keys(request, table, cache)? {
            Some(keys) => WriteKind::Nested(keys),
            None => WriteKind::Insert(insert(request, table)?),
        },
        Action::Update => WriteKind::Update { payload: rows(request, table)?, conditions },
        Action::Upsert => WriteKind::Insert(put(request, table, conditions)?),
        _ => WriteKind::Delete { conditions },
    };
    let returning = match request.preferences.returns {
        Some(Return::Representation | Return::HeadersOnly) => {
            let primary_key = table.primary_key.iter().map(String::as_str);
            read.needed_columns(primary_key).into_iter().map(str::to_owned).collect()
        }
        Some(Return::Minimal) | None => Vec::new(),
    };
    Ok(WritePlan { table: table.name.clone(), kind, returning })
}

fn conditions(request: &ApiRequest, table: &Table, cache: &SchemaCache) -> Result<Vec<Condition>> {
    if let Some(relation) = request.query.root_logic().find_map(Logic::relation) {
        return Err(NOT_EMBEDDED
            .error(format!("what is written cannot depend on '{relation}', only on its own columns")));
    }
    let trees = request.query.root_logic().map(|logic| condition::logic(logic, Some(table), &[], cache));
    let filters = request.query.root_filters().map(|filter| Ok(condition::filter(filter, Some(table))));
    trees.chain(filters).collect()
}

fn rows(request: &ApiRequest, table: &Table) -> Result<Rows> {
    let json = match &request.body.payload {
        Payload::Json(json) => json.clone(),
        Payload::None | Payload::Form(_) | Payload::Raw(_) => Bytes::new(),
    };
    let columns = request
        .body
        .columns
        .iter()
        .map(|name| table.columns.get(name).cloned().ok_or_else(|| missing::column(&table.name.name, name)))
        .collect::<Result<_>>()?;
    Ok(Rows { json, columns, defaults: request.preferences.missing == Some(Missing::Default) })
}

fn insert(request: &ApiRequest, table: &Table) -> Result<Insert> {
    let columns = request.query.on_conflict.clone().unwrap_or_else(|| table.primary_key.clone());
    let conflict = request
        .preferences
        .resolution
        .filter(|_| !columns.is_empty())
        .map(|resolution| Conflict { resolution, columns });
    Ok(Insert {
        payload: rows(request, table)?,
        conflict,
        conditions: Vec::new(),
        primary_key: table.primary_key.clone(),
        wants_location: request.preferences.returns == Some(Return::HeadersOnly),
    })
}

fn put(request: &ApiRequest, table: &Table, conditions: Vec<Condition>) -> Result<Insert> {
    let names_key = request.query.root_logic().next().is_none()
        && !table.primary_key.is_empty()
        && request.query.filter_keys == table.primary_key.iter().cloned().collect()
        && request.query.root_filters().all(|filter| {
            !filter.negated && matches!(filter.operation, Operation::Quantified(Quantifiable::Equal, None, _))
        });
    if !names_key {
        return Err(
            PUT_FILTERS.error("Filters must include all and only primary key columns with 'eq' operators")
        );
    }
    let payload = Rows { defaults: false, ..rows(request, table)? };
    let conflict = Conflict { resolution: Resolution::Merge, columns: table.primary_key.clone() };
    Ok(Insert {
        payload,
        conflict: Some(conflict),
        conditions,
        primary_key: table.primary_key.clone(),
        wants_location: false,
    })
}
