//! The description in OpenAPI 3.1, made of the one in 2.0: what differs is where things stand, not what they say.
//!
//! Source: spec.openapis.org/oas/v3.1.1.html.

use serde_json::{Map, Value, json};

/// The same description in OpenAPI 3.1.
pub(super) fn of(old: &Value) -> Value {
    let schemas: Map<String, Value> =
        entries(&old["definitions"]).map(|(name, definition)| (key(name), schema(definition))).collect();
    let (mut parameters, mut bodies) = (Map::new(), Map::new());
    for (name, given) in entries(&old["parameters"]) {
        match name.strip_prefix(BODY) {
            Some(table) => drop(bodies.insert(key(table), body(given))),
            None => drop(parameters.insert(key(name), parameter(given))),
        }
    }
    let paths: Map<String, Value> = entries(&old["paths"])
        .map(|(path, methods)| {
            let methods: Map<String, Value> = entries(methods)
                .map(|(method, given)| (method.clone(), operation(method, path, given)))
                .collect();
            (path.clone(), Value::Object(methods))
        })
        .collect();
    let mut new = json!({
        "openapi": "3.1.0",
        "info": old["info"],
        "externalDocs": old["externalDocs"],
        "servers": [{"url": server(old)}],
        "paths": paths,
        "components": {"schemas": schemas, "parameters": parameters, "requestBodies": bodies},
    });
    if let Some(security) = old.get("security") {
        new["security"] = security.clone();
        new["components"]["securitySchemes"] =
            json!({"JWT": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}});
    }
    new
}

/// What the parameters that are bodies begin with.
const BODY: &str = "body.";

fn entries(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn server(old: &Value) -> String {
    let path = old["basePath"].as_str().unwrap_or("/").trim_end_matches('/');
    match (old["schemes"][0].as_str(), old["host"].as_str()) {
        (Some(scheme), Some(host)) => format!("{scheme}://{host}{path}"),
        _ => format!("{path}/"),
    }
}

/// A name as a component's key, which has only letters, digits, `.`, `-` and `_`: others stand as `-` and their number.
fn key(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            key.push(c);
        } else {
            key.push_str(&format!("-{:x}", u32::from(c)));
        }
    }
    key
}

/// Where a reference leads now.
fn reference(old: &str) -> Value {
    let new = match (old.strip_prefix("#/definitions/"), old.strip_prefix("#/parameters/")) {
        (Some(name), _) => format!("#/components/schemas/{}", key(name)),
        (_, Some(name)) => match name.strip_prefix(BODY) {
            Some(table) => format!("#/components/requestBodies/{}", key(table)),
            None => format!("#/components/parameters/{}", key(name)),
        },
        _ => old.to_owned(),
    };
    json!({ "$ref": new })
}

/// A schema: what need not be there may be null.
fn schema(old: &Value) -> Value {
    if let Some(target) = old["$ref"].as_str() {
        return reference(target);
    }
    let mut new = old.clone();
    if let Some(items) = old.get("items") {
        new["items"] = schema(items);
    }
    let required: Vec<&str> =
        old["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in entries(&old["properties"]) {
        let mut property = schema(property);
        if !required.contains(&name.as_str()) {
            if let Some(kind) = property.get("type").cloned() {
                property["type"] = json!([kind, "null"]);
            }
            if let Some(labels) = property.get_mut("enum").and_then(Value::as_array_mut) {
                labels.push(Value::Null);
            }
        }
        new["properties"][name] = property;
    }
    new
}

fn parameter(old: &Value) -> Value {
    if let Some(target) = old["$ref"].as_str() {
        return reference(target);
    }
    let (mut new, mut schema) = (Map::new(), Map::new());
    for (name, value) in entries(old) {
        match name.as_str() {
            "in" | "name" | "description" | "required" => drop(new.insert(name.clone(), value.clone())),
            "collectionFormat" => drop(new.insert("explode".to_owned(), json!(true))),
            _ => drop(schema.insert(name.clone(), value.clone())),
        }
    }
    new.insert("schema".to_owned(), Value::Object(schema));
    Value::Object(new)
}

fn body(old: &Value) -> Value {
    json!({
        "required": old["required"],
        "content": {"application/json": {"schema": schema(&old["schema"])}},
    })
}

fn operation(method: &str, path: &str, old: &Value) -> Value {
    let is_body = |given: &&Value| {
        given["in"] == "body"
            || given["$ref"].as_str().is_some_and(|target| target.starts_with("#/parameters/body."))
    };
    let given: Vec<&Value> = old["parameters"].as_array().into_iter().flatten().collect();
    let mut new = json!({
        "operationId": key(&format!("{method}{}", path.replace('/', "_"))),
        "tags": old["tags"],
        "parameters": given.iter().filter(|one| !is_body(one)).map(|one| parameter(one)).collect::<Vec<_>>(),
    });
    for name in ["summary", "description"] {
        if let Some(text) = old.get(name) {
            new[name] = text.clone();
        }
    }
    if let Some(given) = given.into_iter().find(is_body) {
        new["requestBody"] = match given["$ref"].as_str() {
            Some(target) => reference(target),
            None => body(given),
        };
    }
    for (status, response) in entries(&old["responses"]) {
        let mut answer = json!({"description": response["description"]});
        if let Some(rows) = response.get("schema") {
            answer["content"] = json!({"application/json": {"schema": schema(rows)}});
        }
        new["responses"][status] = answer;
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value) -> Vec<&str> {
        match value {
            Value::Array(all) => all.iter().flat_map(references).collect(),
            Value::Object(all) => {
                let own = all.get("$ref").and_then(Value::as_str);
                own.into_iter().chain(all.values().flat_map(references)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn old() -> Value {
        json!({
            "swagger": "2.0",
            "info": {"title": "Shops", "description": "", "version": "1"},
            "externalDocs": {"url": "https://example.com"},
            "schemes": ["https"], "host": "api.example.com", "basePath": "/v1",
            "security": [{"JWT": []}],
            "definitions": {"my shop": {"type": "object", "required": ["id"], "properties": {
                "id": {"type": "integer", "format": "int32"},
                "size": {"type": "string", "format": "size", "enum": ["small"]},
                "tags": {"type": "array", "format": "text[]", "items": {"type": "string"}},
                "any": {"format": "json"},
            }}},
            "parameters": {
                "select": {"in": "query", "name": "select", "required": false, "type": "string"},
                "body.my shop": {"in": "body", "name": "my shop", "required": false,
                    "schema": {"$ref": "#/definitions/my shop"}},
            },
            "paths": {
                "/my shop": {
                    "get": {"tags": ["my shop"], "parameters": [{"$ref": "#/parameters/select"}], "responses": {
                        "200": {"description": "OK",
                            "schema": {"type": "array", "items": {"$ref": "#/definitions/my shop"}}}}},
                    "post": {"tags": ["my shop"], "summary": "Shops", "parameters": [
                        {"$ref": "#/parameters/body.my shop"}, {"$ref": "#/parameters/select"}],
                        "responses": {"201": {"description": "Created"}}},
                },
                "/rpc/f": {"post": {"tags": ["(rpc) f"], "parameters": [
                    {"in": "body", "name": "args", "required": true, "schema": {"type": "object", "properties": {}}}],
                    "responses": {"200": {"description": "OK"}}}},
            },
        })
    }

    #[test]
    fn everything_stands_where_it_belongs_now() {
        let new = of(&old());
        let references = references(&new);

        assert_eq!(references.len(), 5);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap_or_default();
            assert!(new.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        assert_eq!(new["servers"], json!([{"url": "https://api.example.com/v1"}]));
        let shop = "#/components/schemas/my-20shop";
        for (pointer, expected) in [
            ("/paths/~1my shop/get/parameters/0/$ref", json!("#/components/parameters/select")),
            ("/paths/~1my shop/get/responses/200/content/application~1json/schema/items/$ref", json!(shop)),
            ("/paths/~1my shop/post/requestBody/$ref", json!("#/components/requestBodies/my-20shop")),
            ("/paths/~1my shop/post/parameters", json!([{"$ref": "#/components/parameters/select"}])),
            ("/paths/~1rpc~1f/post/requestBody/required", json!(true)),
            ("/paths/~1rpc~1f/post/operationId", json!("post_rpc_f")),
            ("/components/parameters/select/schema", json!({"type": "string"})),
            ("/components/requestBodies/my-20shop/content/application~1json/schema/$ref", json!(shop)),
            ("/components/schemas/my-20shop/properties/id/type", json!("integer")),
            ("/components/schemas/my-20shop/properties/size/type", json!(["string", "null"])),
            ("/components/schemas/my-20shop/properties/size/enum", json!(["small", null])),
            ("/components/schemas/my-20shop/properties/any", json!({"format": "json"})),
            ("/components/securitySchemes/JWT/scheme", json!("bearer")),
        ] {
            assert_eq!(new.pointer(pointer), Some(&expected), "{pointer}");
        }
    }
}
