//! Rows as they came: each value is the text that the caller or PostgreSQL wrote, so that no number loses a digit.

use std::fmt;

use base::{Error, Result};
use bytes::Bytes;
use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::envelope::internal;
use crate::error::{self, NESTED};

/// Rows of all relations of one insert: each takes some memory of its own.
pub(super) const MAX_ROWS: usize = 10_000;
const TOO_MANY: &str = "too many rows";

/// A row: its keys in order, with the text of each value.
pub(super) type Row = IndexMap<String, Box<RawValue>>;

/// The rows of a body: of a list, or the one that an object is.
///
/// Errors: PGRST102 for anything else.
pub(super) fn of_body(json: &[u8]) -> Result<Vec<Row>> {
    let document: &RawValue =
        serde_json::from_slice(json).map_err(|_| error::body("Empty or invalid json"))?;
    if document.get().starts_with('[') {
        list(document, "the body")
    } else {
        object(document, "the body").map(|row| vec![row])
    }
}

/// The rows of a relation inside a row: a list, or nothing.
pub(super) fn list(value: &RawValue, what: &str) -> Result<Vec<Row>> {
    if value.get() == "null" {
        return Ok(Vec::new());
    }
    let rows: Bounded = serde_json::from_str(value.get()).map_err(|error| match error.to_string() {
        message if message.starts_with(TOO_MANY) => too_many(),
        _ => malformed(what, "a list of objects"),
    })?;
    Ok(rows.0)
}

/// More rows than a relational insert may have.
pub(super) fn too_many() -> Error {
    NESTED.error(format!("an insert with rows of other relations has {MAX_ROWS} rows at most"))
}

/// Rows, as long as they are not too many to hold.
struct Bounded(Vec<Row>);

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bounded, D::Error> {
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Bounded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Bounded, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = elements.next_element()? {
            if rows.len() == MAX_ROWS {
                return Err(A::Error::custom(TOO_MANY));
            }
            rows.push(row);
        }
        Ok(Bounded(rows))
    }
}

/// The row of a relation to-one inside a row: an object, or nothing.
pub(super) fn optional(value: &RawValue, what: &str) -> Result<Option<Row>> {
    if value.get() == "null" { Ok(None) } else { object(value, what).map(Some) }
}

fn object(value: &RawValue, what: &str) -> Result<Row> {
    serde_json::from_str(value.get()).map_err(|_| malformed(what, "an object"))
}

fn malformed(what: &str, wanted: &str) -> Error {
    error::body(format!("{what} must be {wanted}"))
}

/// The rows that PostgreSQL returned.
pub(super) fn returned(json: &[u8]) -> Result<Vec<Row>> {
    serde_json::from_slice(json).map_err(internal)
}

/// A row as JSON of texts: what of each value stands in a filter.
pub(super) fn texts(row: &Row) -> Result<String> {
    let text = |value: &RawValue| match serde_json::from_str(value.get()) {
        Ok(Value::Null) => Value::Null,
        Ok(Value::String(text)) => Value::String(text),
        _ => Value::String(value.get().to_owned()),
    };
    let texts: Map<String, Value> = row.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    serde_json::to_string(&texts).map_err(internal)
}

/// The document of some rows.
pub(super) fn document(rows: &[Row]) -> Result<Bytes> {
    serde_json::to_vec(rows).map(Bytes::from).map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were_written() {
        let rows = of_body(br#" {"a": 1.10, "b": 12345678901234567890.5, "c": {"x" : []}}"#).unwrap();

        assert_eq!(
            &document(&rows).unwrap()[..],
            br#"[{"a":1.10,"b":12345678901234567890.5,"c":{"x" : []}}]"#
        );
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();

        for body in ["5", "[5]", "nope", "[[]]"] {
            assert_eq!(of_body(body.as_bytes()).unwrap_err().code.name(), "PGRST102", "{body}");
        }
        assert_eq!(list(&raw("{}"), "'items'").unwrap_err().message, "'items' must be a list of objects");
        assert_eq!(optional(&raw("[]"), "'items'").unwrap_err().message, "'items' must be an object");
        assert!(list(&raw("null"), "").unwrap().is_empty() && optional(&raw("null"), "").unwrap().is_none());
    }
}
