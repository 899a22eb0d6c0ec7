//! Relations and their columns.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize, Serializer};

use super::{CatalogText, Name};

/// A table, view, materialised view, foreign or partitioned table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) name: Name,
    pub(crate) description: Option<String>,
    pub(crate) is_view: bool,
    pub(crate) insertable: bool,
    pub(crate) updatable: bool,
    pub(crate) deletable: bool,
    /// In the key's own order; empty without one.
    pub(crate) primary_key: Vec<String>,
    /// By name, in the table's order.
    pub(crate) columns: IndexMap<String, Column>,
}

/// A column.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    #[serde(serialize_with = "shared")]
    pub(crate) r#type: Arc<ColumnType>,
    pub(crate) nullable: bool,
    /// The default's expression, if there is one that an insert may take.
    pub(crate) default: Option<CatalogText>,
    /// The longest text, for types that have a length.
    pub(crate) max_length: Option<i32>,
}

fn shared<S: Serializer>(value: &Arc<ColumnType>, serializer: S) -> Result<S::Ok, S::Error> {
    value.serialize(serializer)
}

/// A type that columns have: one for all of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct ColumnType {
    /// The type as people read it: domains resolved, without lengths.
    pub(crate) shown: String,
    /// The type that a value is read as: domains resolved, lengths left to the column to enforce.
    pub(crate) input: CatalogText,
    /// The labels of an enum, in order.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    #[serde(default)]
    pub(crate) representation: Representation,
}

/// How values of a domain look outside, by the functions of its implicit casts; as its base type where there is none.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Representation {
    /// Writes one as JSON.
    pub(crate) to_json: Option<Name>,
    /// Reads one out of a body.
    pub(crate) from_json: Option<Name>,
    /// Reads one out of a filter.
    pub(crate) from_text: Option<Name>,
}

impl ColumnType {
    /// Whether `->` works on it without a conversion; indexes on such expressions apply only without one.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.input.as_str(), "json" | "jsonb")
    }

    /// Whether full-text search works on it without a conversion.
    pub(crate) fn is_tsvector(&self) -> bool {
        self.input.as_str() == "tsvector"
    }
}
