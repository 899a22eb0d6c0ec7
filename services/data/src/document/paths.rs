//! What can be done with a relation, a function, and the root.

use serde_json::{Map, Value, json};

use super::parameters::{filters, reference};
use super::{PRODUCED, types};
use crate::schema::{Function, Table, Volatility};

/// The root.
pub(super) fn root() -> Value {
    json!({"get": {
        "tags": ["Introspection"],
        "summary": "OpenAPI description (this document)",
        "produces": ["application/openapi+json", "application/json"],
        "responses": {"200": {"description": "OK"}},
    }})
}

/// A relation: what may be done with it as it is.
pub(super) fn of_table(table: &Table) -> Value {
    let name = &table.name.name;
    let operation = |parameters: Vec<Value>, status: &str, outcome: &str| {
        let mut operation = described(name.clone(), table.description.as_deref());
        operation["parameters"] = Value::Array(parameters);
        operation["responses"] = json!({status: {"description": outcome}});
        operation
    };
    let body = || reference(format_args!("body.{name}"));
    let mut methods = Map::new();
    let reading = ["select", "order", "range", "rangeUnit", "offset", "limit", "preferCount"];
    let mut get = operation(filters(table).chain(reading.map(reference)).collect(), "200", "OK");
    get["responses"]["200"]["schema"] =
        json!({"type": "array", "items": {"$ref": format!("#/definitions/{name}")}});
    get["responses"]["206"] = json!({"description": "Partial Content"});
    methods.insert("get".to_owned(), get);
    if table.insertable {
        let parameters = vec![body(), reference("select"), reference("preferPost")];
        methods.insert("post".to_owned(), operation(parameters, "201", "Created"));
    }
    if table.updatable {
        let parameters = filters(table).chain([body(), reference("preferReturn")]).collect();
        methods.insert("patch".to_owned(), operation(parameters, "204", "No Content"));
    }
    if table.deletable {
        let parameters = filters(table).chain([reference("preferReturn")]).collect();
        methods.insert("delete".to_owned(), operation(parameters, "204", "No Content"));
    }
    Value::Object(methods)
}

/// A function: called with arguments in the body, and in the query string if it only reads.
pub(super) fn of_function(function: &Function) -> Value {
    let operation = |parameters: Vec<Value>| {
        let mut operation =
            described(format!("(rpc) {}", function.name.name), function.description.as_deref());
        operation["parameters"] = Value::Array(parameters);
        operation["produces"] = json!(PRODUCED[..3]);
        operation["responses"] = json!({"200": {"description": "OK"}});
        operation
    };
    let body = json!({"in": "body", "name": "args", "required": true, "schema": types::arguments(function)});
    let mut methods = Map::new();
    if function.volatility != Volatility::Volatile {
        methods.insert(
            "get".to_owned(),
            operation(function.parameters.iter().map(|one| types::argument(function, one)).collect()),
        );
    }
    methods.insert("post".to_owned(), operation(vec![body, reference("preferParams")]));
    Value::Object(methods)
}

/// An operation's tag; its comment's first line sums it up, what follows describes it.
fn described(tag: String, comment: Option<&str>) -> Value {
    let mut operation = json!({"tags": [tag]});
    let (summary, description) = super::titled(comment);
    if let Some(summary) = summary {
        operation["summary"] = json!(summary);
    }
    if let Some(description) = description {
        operation["description"] = json!(description);
    }
    operation
}
