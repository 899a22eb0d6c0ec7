//! `OPTIONS`: which methods a resource has.

use base::{Body, Response, Result};
use http::header::ALLOW;
use http::{HeaderValue, StatusCode};

use crate::error::missing;
use crate::plan::call;
use crate::request::{ApiRequest, Resource};
use crate::schema::{Name, SchemaCache, Table, Volatility};

/// The answer.
///
/// Errors: PGRST202, PGRST203, PGRST205.
pub(crate) fn answer(request: &ApiRequest, cache: &SchemaCache) -> Result<Response> {
    let allowed = match &request.target.resource {
        Resource::Root => "OPTIONS,GET,HEAD".to_owned(),
        Resource::Relation(name) => {
            let name = Name::new(&*request.schema, &**name);
            of_table(cache.tables.get(&name).ok_or_else(|| missing::table(cache, &name))?)
        }
        Resource::Function(name) => {
            let function = call::find(request, &Name::new(&*request.schema, &**name), cache)?;
            let reads = function.volatility != Volatility::Volatile;
            if reads { "OPTIONS,GET,HEAD,POST" } else { "OPTIONS,POST" }.to_owned()
        }
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::OK;
    let allowed = HeaderValue::try_from(allowed).expect("method names are header text");
    response.headers_mut().insert(ALLOW, allowed);
    Ok(response)
}

fn of_table(table: &Table) -> String {
    let has_key = !table.primary_key.is_empty();
    let methods = [
        ("OPTIONS,GET,HEAD", true),
        ("POST", table.insertable),
        ("PUT", table.insertable && table.updatable && has_key),
        ("PATCH", table.updatable),
        ("DELETE", table.deletable),
    ];
    let allowed: Vec<&str> = methods.iter().filter(|(_, has)| *has).map(|(method, _)| *method).collect();
    allowed.join(",")
}
