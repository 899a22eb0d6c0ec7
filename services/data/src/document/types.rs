//! PostgreSQL's types in OpenAPI 2.0's terms. The format is PostgreSQL's own name, except for whole numbers.

use serde_json::{Map, Value, json};

use crate::schema::{Cardinality, Column, Function, Name, Parameter, SchemaCache, Table};

/// The rows of a table.
pub(super) fn definition(table: &Table, cache: &SchemaCache) -> Value {
    let required: Vec<&str> =
        table.columns.values().filter(|column| !column.nullable).map(|column| column.name.as_str()).collect();
    let properties: Map<String, Value> = table
        .columns
        .values()
        .map(|column| (column.name.clone(), property(column, described(table, column, cache))))
        .collect();
    object(properties, &required, table.description.as_deref())
}

/// An object with these properties.
fn object(properties: Map<String, Value>, required: &[&str], description: Option<&str>) -> Value {
    let mut object = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    if let Some(description) = description {
        object["description"] = json!(description);
    }
    object
}

fn property(column: &Column, description: Option<String>) -> Value {
    let mut property = of_type(&column.r#type.shown);
    if let Some(description) = description {
        property["description"] = json!(description);
    }
    if let Some(default) =
        column.default.as_ref().and_then(|text| default(&column.r#type.shown, text.as_str()))
    {
        property["default"] = default;
    }
    if let Some(length) = column.max_length {
        property["maxLength"] = json!(length);
    }
    if !column.r#type.labels.is_empty() {
        property["enum"] = json!(column.r#type.labels);
    }
    property
}

/// A column's comment, and which keys it is part of: in the notation that generators of clients look for.
fn described(table: &Table, column: &Column, cache: &SchemaCache) -> Option<String> {
    let mut notes = Vec::new();
    if table.primary_key.contains(&column.name) {
        notes.push("This is a Primary Key.<pk/>".to_owned());
    }
    if let Some((target, key)) = referenced(&table.name, &column.name, cache) {
        notes
            .push(format!("This is a Foreign Key to `{target}.{key}`.<fk table='{target}' column='{key}'/>"));
    }
    if notes.is_empty() {
        return column.description.clone();
    }
    let comment = column.description.as_ref().map(|comment| format!("{comment}\n\n")).unwrap_or_default();
    Some(format!("{comment}Note:\n{}", notes.join("\n")))
}

/// What a column refers to by itself: tables before views that show them.
fn referenced<'a>(table: &Name, column: &str, cache: &'a SchemaCache) -> Option<(&'a str, &'a str)> {
    let mut found: Vec<(bool, &str, &str)> = cache
        .relationships_of(table)
        .filter_map(|relationship| match &relationship.cardinality {
            Cardinality::ManyToOne { columns, .. } | Cardinality::OneToOne { columns, held: true, .. } => {
                let [(own, theirs)] = columns.as_slice() else { return None };
                let is_view = cache.tables.get(&relationship.target).is_some_and(|target| target.is_view);
                (own == column).then_some((is_view, relationship.target.name.as_str(), theirs.as_str()))
            }
            _ => None,
        })
        .collect();
    found.sort_by_key(|(is_view, ..)| *is_view);
    found.first().map(|(_, target, key)| (*target, *key))
}

/// A default that is a constant; for text, whatever the expression says.
fn default(shown_type: &str, expression: &str) -> Option<Value> {
    match kind(shown_type) {
        Some("string") => {
            let constant = expression.strip_suffix(&format!("::{shown_type}"));
            Some(json!(constant.map_or(expression, |quoted| quoted.trim_matches('\''))))
        }
        _ => serde_json::from_str(expression).ok(),
    }
}

/// The arguments of a function, as a body.
pub(super) fn arguments(function: &Function) -> Value {
    let named = || function.parameters.iter().filter(|parameter| !parameter.name.is_empty());
    let required: Vec<&str> =
        named().filter(|parameter| parameter.required).map(|parameter| parameter.name.as_str()).collect();
    let properties: Map<String, Value> =
        named().map(|parameter| (parameter.name.clone(), of_type(type_name(function, parameter)))).collect();
    object(properties, &required, function.description.as_deref())
}

/// One argument of a function, in the query string.
pub(super) fn argument(function: &Function, parameter: &Parameter) -> Value {
    let Parameter { name, required, .. } = parameter;
    let type_name = type_name(function, parameter);
    if parameter.variadic {
        let element = type_name.strip_suffix("[]").unwrap_or(type_name);
        let items = json!({"type": kind(element).unwrap_or("string"), "format": format(element)});
        return json!({
            "in": "query", "name": name, "required": required,
            "type": "array", "collectionFormat": "multi", "items": items,
        });
    }
    // an array is written `{1,2}`, and a query parameter must have a type
    let kind = kind(type_name).filter(|kind| *kind != "array").unwrap_or("string");
    json!({"in": "query", "name": name, "required": required, "type": kind, "format": format(type_name)})
}

/// A type of the function's own schema stands without it, as in the function's declaration.
fn type_name<'a>(function: &Function, parameter: &'a Parameter) -> &'a str {
    let name = parameter.type_name.as_str();
    let local = name.strip_prefix(function.name.schema.as_str()).and_then(|rest| rest.strip_prefix('.'));
    local.unwrap_or(name)
}

fn of_type(name: &str) -> Value {
    let mut schema = json!({"format": format(name)});
    // any JSON value: OpenAPI says so by saying nothing
    if let Some(kind) = kind(name) {
        schema["type"] = json!(kind);
    }
    if let Some(element) = name.strip_suffix("[]") {
        schema["items"] = kind(element).map_or_else(|| json!({}), |kind| json!({ "type": kind }));
    }
    schema
}

fn kind(name: &str) -> Option<&'static str> {
    match name {
        "smallint" | "integer" | "bigint" => Some("integer"),
        "numeric" | "real" | "double precision" => Some("number"),
        "boolean" => Some("boolean"),
        "json" | "jsonb" => None,
        array if array.ends_with("[]") => Some("array"),
        _ => Some("string"),
    }
}

fn format(name: &str) -> &str {
    match name {
        "smallint" | "integer" => "int32",
        "bigint" => "int64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_keep_their_names_as_formats() {
        for (name, expected) in [
            ("bigint", json!({"type": "integer", "format": "int64"})),
            ("numeric", json!({"type": "number", "format": "numeric"})),
            ("text[]", json!({"type": "array", "format": "text[]", "items": {"type": "string"}})),
            ("jsonb[]", json!({"type": "array", "format": "jsonb[]", "items": {}})),
            ("public.mood", json!({"type": "string", "format": "public.mood"})),
            ("jsonb", json!({"format": "jsonb"})),
        ] {
            assert_eq!(of_type(name), expected, "{name}");
        }
    }

    #[test]
    fn defaults_are_constants_of_their_type() {
        for (name, expression, expected) in [
            ("text", "'draft'::text", Some(json!("draft"))),
            ("date", "'1900-01-01'::date", Some(json!("1900-01-01"))),
            ("uuid", "gen_random_uuid()", Some(json!("gen_random_uuid()"))),
            ("integer", "42", Some(json!(42))),
            ("boolean", "false", Some(json!(false))),
            ("integer", "nextval('s'::regclass)", None),
        ] {
            assert_eq!(default(name, expression), expected, "{expression}");
        }
    }
}
