//! PostgreSQL's types in OpenAPI 2.0's terms. The format is always PostgreSQL's own name.

use serde_json::{Map, Value, json};

use crate::schema::{Column, Function, Parameter, Table};

/// The rows of a table.
pub(super) fn definition(table: &Table) -> Value {
    let required: Vec<&str> = table
        .columns
        .values()
        .filter(|column| !column.nullable && column.default.is_none())
        .map(|column| column.name.as_str())
        .collect();
    let properties: Map<String, Value> =
        table.columns.values().map(|column| (column.name.clone(), property(column))).collect();
    let mut definition = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        definition["required"] = json!(required);
    }
    if let Some(description) = &table.description {
        definition["description"] = json!(description);
    }
    definition
}

fn property(column: &Column) -> Value {
    let mut property = of_type(&column.declared_type);
    if let Some(description) = &column.description {
        property["description"] = json!(description);
    }
    if let Some(default) = &column.default {
        property["default"] = json!(default.as_str());
    }
    if let Some(length) = column.max_length {
        property["maxLength"] = json!(length);
    }
    if !column.labels.is_empty() {
        property["enum"] = json!(column.labels);
    }
    property
}

/// The filter on a column.
pub(super) fn filter(column: &Column) -> Value {
    json!({"in": "query", "name": column.name, "type": "string", "format": column.declared_type, "required": false})
}

/// The arguments of a function, as a body.
pub(super) fn arguments(function: &Function) -> Value {
    let named = || function.parameters.iter().filter(|parameter| !parameter.name.is_empty());
    let required: Vec<&str> =
        named().filter(|parameter| parameter.required).map(|parameter| parameter.name.as_str()).collect();
    let properties: Map<String, Value> =
        named().map(|parameter| (parameter.name.clone(), of_type(&parameter.type_name))).collect();
    let mut arguments = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        arguments["required"] = json!(required);
    }
    arguments
}

/// One argument of a function, in the query string.
pub(super) fn argument(parameter: &Parameter) -> Value {
    json!({
        "in": "query",
        "name": parameter.name,
        "type": "string",
        "format": parameter.type_name,
        "required": parameter.required,
    })
}

fn of_type(declared: &str) -> Value {
    if let Some(element) = declared.strip_suffix("[]") {
        let items = of_type(element);
        return json!({"type": "array", "format": declared, "items": {"type": items["type"]}});
    }
    let kind = match declared.split('(').next().unwrap_or_default().trim() {
        "smallint" | "integer" | "bigint" => "integer",
        "numeric" | "real" | "double precision" => "number",
        "boolean" => "boolean",
        // any JSON value: OpenAPI says so by saying nothing
        "json" | "jsonb" => return json!({"format": declared}),
        _ => "string",
    };
    json!({"type": kind, "format": declared})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_keep_their_names_as_formats() {
        assert_eq!(of_type("bigint"), json!({"type": "integer", "format": "bigint"}));
        assert_eq!(of_type("numeric(5,2)"), json!({"type": "number", "format": "numeric(5,2)"}));
        assert_eq!(
            of_type("text[]"),
            json!({"type": "array", "format": "text[]", "items": {"type": "string"}})
        );
        assert_eq!(of_type("public.mood"), json!({"type": "string", "format": "public.mood"}));
        assert_eq!(of_type("jsonb"), json!({"format": "jsonb"}));
    }
}
