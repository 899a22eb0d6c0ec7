//! The description of a project's own schema: OpenAPI 2.0, as PostgREST gives it, of what the caller may use.

mod modern;
mod parameters;
mod paths;
mod types;

use std::collections::HashSet;

use base::header::ORIGIN;
use base::{Body, Response, Result};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::envelope::{VARIES_BY, internal};
use crate::error::media_type;
use crate::media::MediaType;
use crate::request::{Action, ApiRequest};
use crate::respond::headless;
use crate::schema::{Function, Table};
use crate::settings::{OpenApiMode, Settings};
use crate::snapshot::Snapshot;

/// What answers are written as, and bodies read.
const PRODUCED: [&str; 4] = [
    "application/json",
    "application/vnd.pgrst.object+json;nulls=stripped",
    "application/vnd.pgrst.object+json",
    "text/csv",
];
/// Where the gateway has this API.
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// Where the protocol is explained.
const PROTOCOL: &str = "https://postgrest.org/en/v16/references/api.html";

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
    snapshot: &Snapshot,
    visible: &[u8],
) -> Result<Response> {
    let taken = request.accept.iter().find_map(|accepted| match accepted {
        MediaType::Any | MediaType::Json => Some(MediaType::OpenApi { modern: false }),
        MediaType::OpenApi { .. } => Some(accepted.clone()),
        _ => None,
    });
    let Some(taken) = taken else {
        return Err(media_type(&request.accept.iter().map(MediaType::to_string).collect::<Vec<_>>()));
    };
    let visible: Visible = serde_json::from_slice(visible).map_err(internal)?;
    let body = match request.target.action {
        Action::Inspect { head: true } => headless(),
        _ => {
            let document = of_schema(headers, &request.schema, snapshot, &visible);
            let document = if is_modern(&taken) { modern::of(&document) } else { document };
            Body::from(document.to_string())
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::try_from(taken.content_type()).map_err(internal)?);
    headers.insert(VARY, VARIES_BY);
    if request.names_schema
        && let Ok(schema) = HeaderValue::from_bytes(request.schema.as_bytes())
    {
        headers.insert("content-profile", schema);
    }
    Ok(response)
}

fn is_modern(media_type: &MediaType) -> bool {
    matches!(media_type, MediaType::OpenApi { modern: true })
}

fn of_schema(headers: &HeaderMap, schema: &str, snapshot: &Snapshot, visible: &Visible) -> Value {
    let Snapshot { schema: cache, settings, .. } = snapshot;
    let all = settings.openapi_mode == OpenApiMode::IgnorePrivileges;
    let mut tables: Vec<&Table> = cache
        .tables
        .values()
        .filter(|table| table.name.schema == schema && (all || visible.tables.contains(&table.name.name)))
        .collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let mut functions: Vec<&Function> = cache
        .functions
        .values()
        .filter_map(|overloads| overloads.first())
        .filter(|function| function.name.schema == schema)
        .filter(|function| all || visible.functions.contains(&function.name.name))
        .collect();
    functions.sort_by(|a, b| a.name.cmp(&b.name));

    let mut paths = Map::new();
    paths.insert("/".to_owned(), paths::root());
    for table in &tables {
        paths.insert(format!("/{}", table.name.name), paths::of_table(table));
    }
    for function in &functions {
        paths.insert(format!("/rpc/{}", function.name.name), paths::of_function(function));
    }
    let definitions: Map<String, Value> =
        tables.iter().map(|table| (table.name.name.clone(), types::definition(table, cache))).collect();
    let (title, description) = titled(visible.description.as_deref());
    let mut document = json!({
        "swagger": "2.0",
        "info": {
            "title": title.unwrap_or("Data API"),
            "description": description.unwrap_or("The tables and functions of this database"),
            "version": env!("CARGO_PKG_VERSION"),
        },
        "externalDocs": {"description": "The protocol's documentation", "url": PROTOCOL},
        "basePath": "/",
        "consumes": PRODUCED,
        "produces": PRODUCED,
        "paths": paths,
        "definitions": definitions,
        "parameters": parameters::all(&tables),
    });
    place(&mut document, headers, settings);
    if settings.openapi_security_active {
        document["security"] = json!([{"JWT": []}]);
        document["securityDefinitions"] = json!({"JWT": {
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "Add the token prepending \"Bearer \" (without quotes) to it",
        }});
    }
    document
}

/// A comment's first line, and what follows it.
fn titled(comment: Option<&str>) -> (Option<&str>, Option<&str>) {
    let Some(comment) = comment else { return (None, None) };
    let (title, rest) = comment.split_once('\n').unwrap_or((comment, ""));
    let rest = rest.trim_start_matches('\n');
    (Some(title), (!rest.is_empty()).then_some(rest))
}

/// Where the API is: as the settings say, else where the gateway was asked.
fn place(document: &mut Value, headers: &HeaderMap, settings: &Settings) {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = || Some(format!("{}{}", text(ORIGIN)?, text(FORWARDED_PREFIX).unwrap_or_default()));
    let Some(url) = settings.openapi_url.clone().or_else(asked) else { return };
    let Some((scheme, rest)) = url.split_once("://") else { return };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    document["schemes"] = json!([scheme]);
    document["host"] = json!(host);
    document["basePath"] = json!(format!("/{path}"));
}
