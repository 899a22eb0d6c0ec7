//! Relational inserts: which keys of a row are columns, and which are rows of a relation that belongs to it.

use base::Result;
use bytes::Bytes;

use super::embed::find;
use super::read::ReadPlan;
use super::write::{Insert, Rows, WriteKind, WritePlan};
use super::{Format, Operation, Plan};
use crate::error::{NESTED, NO_RELATIONSHIP, missing};
use crate::media::MediaType;
use crate::plan::negotiate::BodyFormat;
use crate::request::ApiRequest;
use crate::schema::{Cardinality, Relationship, SchemaCache, Table};

/// The relation that `key` names in a row of `table`, as `relation` or `relation!hint`; `None` if it is a column.
///
/// Errors: PGRST204 for neither, PGRST201 for a relation that several keys lead to, MB101 for a computed one.
pub(crate) fn relation<'a>(
    cache: &'a SchemaCache,
    table: &Table,
    key: &str,
) -> Result<Option<&'a Relationship>> {
    if table.columns.contains_key(key) {
        return Ok(None);
    }
    let (target, hint) = match key.split_once('!') {
        Some((target, hint)) => (target, Some(hint)),
        None => (key, None),
    };
    match find(cache, &table.name, target, hint) {
        Ok(found) if matches!(found.cardinality, Cardinality::Computed { .. }) => {
            Err(NESTED.error(format!("'{key}' is computed: no rows can be inserted through it")))
        }
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code == NO_RELATIONSHIP => Err(missing::column(&table.name.name, key)),
        Err(error) => Err(error),
    }
}

/// What finds the inserted rows again – the columns of their primary key –, if the body holds rows of other relations.
///
/// Errors: what [`relation`] says; MB101 for an upsert, and for a representation of rows without a primary key.
pub(super) fn keys(request: &ApiRequest, table: &Table, cache: &SchemaCache) -> Result<Option<Rows>> {
    let mut is_nested = false;
    for key in &request.body.columns {
        is_nested |= relation(cache, table, key)?.is_some();
    }
    if !is_nested {
        return Ok(None);
    }
    if request.preferences.resolution.is_some() {
        return Err(NESTED.error("an insert with rows of other relations cannot resolve duplicates"));
    }
    if table.primary_key.is_empty() && request.preferences.wants_representation() {
        return Err(NESTED.error(format!("'{}' has no primary key to find the new rows by", table.name.name)));
    }
    let columns = table.primary_key.iter().filter_map(|name| table.columns.get(name).cloned()).collect();
    Ok(Some(Rows { json: Bytes::new(), columns, defaults: false }))
}

/// The insert of rows into one relation of several, which returns some columns as a list of objects.
pub(crate) fn insertion(table: &Table, payload: Rows, returning: Vec<String>) -> Plan {
    let read = ReadPlan::of_written(table, &returning);
    let insert = Insert {
        payload,
        conflict: None,
        conditions: Vec::new(),
        primary_key: table.primary_key.clone(),
        wants_location: false,
    };
    let body = if returning.is_empty() { BodyFormat::None } else { BodyFormat::Json { stripped: false } };
    let write = WritePlan { table: table.name.clone(), kind: WriteKind::Insert(insert), returning };
    Plan {
        operation: Operation::Write(write),
        read,
        format: Format { media_type: MediaType::Json, body },
        read_only: false,
    }
}
