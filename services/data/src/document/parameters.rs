//! The parameters that operations share, by the names they refer to them with.

use serde_json::{Map, Value, json};

use crate::schema::Table;

/// `(key, in, name, description)` of those that every relation has.
const SHARED: [(&str, &str, &str, &str); 7] = [
    ("select", "query", "select", "Filtering Columns"),
    ("on_conflict", "query", "on_conflict", "On Conflict"),
    ("order", "query", "order", "Ordering"),
    ("range", "header", "Range", "Limiting and Pagination"),
    ("rangeUnit", "header", "Range-Unit", "Limiting and Pagination"),
    ("offset", "query", "offset", "Limiting and Pagination"),
    ("limit", "query", "limit", "Limiting and Pagination"),
];

/// Values of `Prefer` by the key of its parameter.
const PREFERENCES: [(&str, &[&str]); 4] = [
    ("preferParams", &[]),
    ("preferReturn", &["return=representation", "return=minimal", "return=none"]),
    ("preferCount", &["count=none"]),
    (
        "preferPost",
        &[
            "return=representation",
            "return=minimal",
            "return=none",
            "resolution=ignore-duplicates",
            "resolution=merge-duplicates",
        ],
    ),
];

/// All of them, for these tables.
pub(super) fn all(tables: &[&Table]) -> Value {
    let mut all = Map::new();
    for (key, values) in PREFERENCES {
        let mut prefer = json!({"in": "header", "name": "Prefer", "description": "Preference", "required": false, "type": "string"});
        if !values.is_empty() {
            prefer["enum"] = json!(values);
        }
        all.insert(key.to_owned(), prefer);
    }
    for (key, place, name, description) in SHARED {
        let mut shared = json!({"in": place, "name": name, "description": description, "required": false, "type": "string"});
        if key == "rangeUnit" {
            shared["default"] = json!("items");
        }
        all.insert(key.to_owned(), shared);
    }
    for table in tables {
        let name = &table.name.name;
        let row = json!({"$ref": format!("#/definitions/{name}")});
        let body = json!({"in": "body", "name": name, "description": name, "required": false, "schema": row});
        all.insert(format!("body.{name}"), body);
        for column in table.columns.values() {
            let mut filter = json!({"in": "query", "name": column.name, "required": false, "type": "string"});
            if let Some(description) = &column.description {
                filter["description"] = json!(description);
            }
            all.insert(format!("rowFilter.{name}.{}", column.name), filter);
        }
    }
    Value::Object(all)
}

/// A reference to one.
pub(super) fn reference(key: impl std::fmt::Display) -> Value {
    json!({"$ref": format!("#/parameters/{key}")})
}

/// References to the filters of a table's columns.
pub(super) fn filters(table: &Table) -> impl Iterator<Item = Value> {
    let name = &table.name.name;
    table.columns.keys().map(move |column| reference(format_args!("rowFilter.{name}.{column}")))
}
