//! Which function a call means, and with which arguments.

use std::collections::BTreeSet;

use base::Result;
use bytes::Bytes;

use super::read::ReadPlan;
use crate::error::missing;
use crate::media::MediaType;
use crate::request::{Action, ApiRequest, Payload};
use crate::schema::{Function, Name, Parameter, SchemaCache};

/// A call of a function.
#[derive(Debug)]
pub(crate) struct CallPlan {
    pub(crate) function: Function,
    pub(crate) arguments: Arguments,
    /// The columns that are taken of the returned rows; `*` for all.
    pub(crate) columns: Vec<String>,
}

/// Where the arguments come from.
#[derive(Debug)]
pub(crate) enum Arguments {
    /// There are none.
    None,
    /// Values of the query string or of a form.
    Values(Vec<(Parameter, Argument)>),
    /// Keys of a JSON document.
    Json { document: Bytes, parameters: Vec<Parameter> },
    /// The body itself, as the one argument.
    Document { body: Bytes, parameter: Parameter },
}

/// A value from a query string or form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    One(String),
    /// Each time that the argument which takes the rest was given.
    Rest(Vec<String>),
}

/// The function that a request names by its arguments.
///
/// Errors: PGRST202 for none, PGRST203 for several.
pub(crate) fn find<'a>(request: &ApiRequest, name: &Name, cache: &'a SchemaCache) -> Result<&'a Function> {
    let given = given_names(request);
    let posted = (request.target.action == Action::Call).then_some(&request.content_type);
    let overloads = cache.overloads(name);
    let named: Vec<&Function> = overloads.iter().filter(|function| takes(function, &given, posted)).collect();
    let by_document: Vec<&Function> =
        overloads.iter().filter(|function| takes_document(function, posted)).collect();
    let candidates = if named.is_empty() { by_document } else { named };
    match candidates.as_slice() {
        [one] => Ok(one),
        [] => Err(missing::function(cache, name, &given.iter().copied().collect::<Vec<_>>(), posted)),
        several => Err(missing::ambiguous_function(several)),
    }
}

fn given_names(request: &ApiRequest) -> BTreeSet<&str> {
    match request.target.action {
        Action::Call => request.body.columns.iter().map(String::as_str).collect(),
        _ => request.query.arguments.iter().map(|(name, _)| name.as_str()).collect(),
    }
}

/// Whether exactly the required parameters, and any of the others, were given.
fn takes(function: &Function, given: &BTreeSet<&str>, posted: Option<&MediaType>) -> bool {
    if function.parameters.is_empty() {
        let is_document = matches!(posted, Some(MediaType::OctetStream | MediaType::Text | MediaType::Xml));
        return given.is_empty() && !is_document;
    }
    let mut required = function.parameters.iter().filter(|parameter| parameter.required);
    let known = |name: &&&str| function.parameters.iter().any(|parameter| parameter.name == ***name);
    required.all(|parameter| given.contains(parameter.name.as_str())) && given.iter().all(|name| known(&name))
}

/// Whether the body itself is the one argument, which has no name.
fn takes_document(function: &Function, posted: Option<&MediaType>) -> bool {
    let [parameter] = function.parameters.as_slice() else { return false };
    parameter.name.is_empty()
        && matches!(
            (posted, parameter.type_name.as_str()),
            (Some(MediaType::Json), "json" | "jsonb")
                | (Some(MediaType::Text), "text")
                | (Some(MediaType::Xml), "xml")
                | (Some(MediaType::OctetStream), "bytea")
        )
}

/// Plans the call.
pub(crate) fn plan(request: &ApiRequest, function: &Function, read: &ReadPlan) -> CallPlan {
    let filtered = read.conditions.iter().flat_map(super::condition::Condition::columns);
    CallPlan {
        function: function.clone(),
        arguments: arguments(request, function),
        columns: read.needed_columns(filtered).into_iter().map(str::to_owned).collect(),
    }
}

fn arguments(request: &ApiRequest, function: &Function) -> Arguments {
    if let [parameter] = function.parameters.as_slice()
        && parameter.name.is_empty()
    {
        let body = match &request.body.payload {
            Payload::Json(body) | Payload::Raw(body) => body.clone(),
            Payload::None | Payload::Form(_) => Bytes::from_static(b"{}"),
        };
        return Arguments::Document { body, parameter: parameter.clone() };
    }
    let given = given_names(request);
    let parameters: Vec<Parameter> = function
        .parameters
        .iter()
        .filter(|parameter| given.contains(parameter.name.as_str()))
        .cloned()
        .collect();
    if parameters.is_empty() {
        return Arguments::None;
    }
    match &request.body.payload {
        Payload::Json(document) => Arguments::Json { document: document.clone(), parameters },
        Payload::Form(fields) => Arguments::Values(values(parameters, fields)),
        Payload::None | Payload::Raw(_) => Arguments::Values(values(parameters, &request.query.arguments)),
    }
}

/// Each parameter's value: the last one given, or all of them for the parameter that takes the rest.
fn values(parameters: Vec<Parameter>, given: &[(String, String)]) -> Vec<(Parameter, Argument)> {
    parameters
        .into_iter()
        .map(|parameter| {
            let mut all =
                given.iter().filter(|(name, _)| *name == parameter.name).map(|(_, value)| value.clone());
            let argument = if parameter.variadic {
                Argument::Rest(all.collect())
            } else {
                Argument::One(all.next_back().unwrap_or_default())
            };
            (parameter, argument)
        })
        .collect()
}
