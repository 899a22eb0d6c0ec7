//! The description of a project's own schema: OpenAPI 2.0, as PostgREST gives it, of what the caller may use.

mod types;

use std::collections::HashSet;

use base::{Body, Response, Result};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::envelope::{VARIES_BY, internal};
use crate::error::media_type;
use crate::request::{Action, ApiRequest, MediaType};
use crate::respond::headless;
use crate::schema::{Function, SchemaCache, Table, Volatility};

/// What the caller may see, by name.
#[derive(Deserialize)]
struct Visible {
    description: Option<String>,
    tables: HashSet<String>,
    functions: HashSet<String>,
}

/// The answer; `visible` is what the database says of the caller's rights.
///
/// Errors: PGRST107 if the caller takes no JSON.
pub(crate) fn answer(
    headers: &HeaderMap,
    request: &ApiRequest,
    cache: &SchemaCache,
    visible: &[u8],
) -> Result<Response> {
    let takes =
        |accepted: &MediaType| matches!(accepted, MediaType::Any | MediaType::Json | MediaType::OpenApi);
    if !request.accept.iter().any(takes) {
        let accepted: Vec<String> =
            request.accept.iter().map(|accepted| accepted.name().to_owned()).collect();
        return Err(media_type(&accepted));
    }
    let visible: Visible = serde_json::from_slice(visible).map_err(internal)?;
    let body = match request.target.action {
        Action::Inspect { head: true } => headless(),
        _ => Body::from(of_schema(headers, &request.schema, cache, &visible).to_string()),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/openapi+json; charset=utf-8"));
    headers.insert(VARY, VARIES_BY);
    if request.names_schema
        && let Ok(schema) = HeaderValue::from_bytes(request.schema.as_bytes())
    {
        headers.insert("content-profile", schema);
    }
    Ok(response)
}

fn of_schema(headers: &HeaderMap, schema: &str, cache: &SchemaCache, visible: &Visible) -> Value {
    let mut tables: Vec<&Table> = cache
        .tables
        .values()
        .filter(|table| table.name.schema == schema && visible.tables.contains(&table.name.name))
        .collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let mut functions: Vec<&Function> = cache
        .functions
        .values()
        .filter_map(|overloads| overloads.first())
        .filter(|function| function.name.schema == schema && visible.functions.contains(&function.name.name))
        .collect();
    functions.sort_by(|a, b| a.name.cmp(&b.name));

    let mut paths = Map::new();
    paths.insert("/".to_owned(), json!({"get": operation("Introspection", "This document", &[], "OK")}));
    for table in &tables {
        paths.insert(format!("/{}", table.name.name), of_table(table));
    }
    for function in &functions {
        paths.insert(format!("/rpc/{}", function.name.name), of_function(function));
    }
    let definitions: Map<String, Value> =
        tables.iter().map(|table| (table.name.name.clone(), types::definition(table))).collect();
    let (title, description) = titled(visible.description.as_deref());
    let mut document = json!({
        "swagger": "2.0",
        "info": {"title": title, "description": description, "version": env!("CARGO_PKG_VERSION")},
        "basePath": "/",
        "consumes": ["application/json", "application/vnd.pgrst.object+json"],
        "produces": ["application/json", "application/vnd.pgrst.object+json", "text/csv"],
        "paths": paths,
        "definitions": definitions,
    });
    if let Some((scheme, host)) = origin(headers) {
        document["schemes"] = json!([scheme]);
        document["host"] = json!(host);
    }
    document
}

/// The schema's comment: its first line is the title, what follows the description.
fn titled(comment: Option<&str>) -> (&str, &str) {
    let comment = comment.unwrap_or_default().trim();
    let (title, description) = comment.split_once('\n').unwrap_or((comment, ""));
    let title = if title.is_empty() { "Data API" } else { title };
    (title, description.trim())
}

fn origin(headers: &HeaderMap) -> Option<(&str, &str)> {
    headers.get(base::header::ORIGIN)?.to_str().ok()?.split_once("://")
}

fn of_table(table: &Table) -> Value {
    let name = &table.name.name;
    let description = table.description.as_deref().unwrap_or_default();
    let row = json!({"$ref": format!("#/definitions/{name}")});
    let filters: Vec<Value> = table.columns.values().map(types::filter).collect();
    let body = json!({"in": "body", "name": name, "schema": row});
    let mut methods = Map::new();
    let mut reading = filters.clone();
    reading.extend(["select", "order", "limit", "offset"].map(query));
    let mut read = operation(name, description, &reading, "OK");
    read["responses"]["200"]["schema"] = json!({"type": "array", "items": row});
    methods.insert("get".to_owned(), read);
    if table.insertable {
        let parameters = [body.clone(), query("select"), query("columns"), query("on_conflict")];
        methods.insert("post".to_owned(), operation(name, description, &parameters, "Created"));
    }
    if table.updatable {
        let mut parameters = filters.clone();
        parameters.push(body);
        methods.insert("patch".to_owned(), operation(name, description, &parameters, "No Content"));
    }
    if table.deletable {
        methods.insert("delete".to_owned(), operation(name, description, &filters, "No Content"));
    }
    Value::Object(methods)
}

fn of_function(function: &Function) -> Value {
    let tag = format!("(rpc) {}", function.name.name);
    let description = function.description.as_deref().unwrap_or_default();
    let body = json!({"in": "body", "name": "args", "required": true, "schema": types::arguments(function)});
    let mut methods = Map::new();
    methods.insert("post".to_owned(), operation(&tag, description, &[body], "OK"));
    if function.volatility != Volatility::Volatile {
        let arguments: Vec<Value> = function.parameters.iter().map(types::argument).collect();
        methods.insert("get".to_owned(), operation(&tag, description, &arguments, "OK"));
    }
    Value::Object(methods)
}

fn operation(tag: &str, description: &str, parameters: &[Value], outcome: &str) -> Value {
    let status = match outcome {
        "Created" => "201",
        "No Content" => "204",
        _ => "200",
    };
    json!({
        "tags": [tag],
        "summary": description,
        "parameters": parameters,
        "responses": {status: {"description": outcome}},
    })
}

fn query(name: &str) -> Value {
    json!({"in": "query", "name": name, "type": "string"})
}
