//! What is not in the schema cache, with the nearest name that is.
//!
//! These are the errors that one reload of the cache may cure.

use base::Error;
use serde_json::{Value, json};

use super::{AMBIGUOUS_FUNCTION, AMBIGUOUS_RELATIONSHIP, NO_COLUMN, NO_FUNCTION, NO_RELATIONSHIP, NO_TABLE};
use crate::media::MediaType;
use crate::schema::{Cardinality, Function, Name, Relationship, SchemaCache};

/// Beyond this many names a schema gets no suggestions: the search would cost more than it helps.
const MAX_SUGGESTED_FROM: usize = 500;

/// How alike a table's or function's name must be to be suggested: little more than a typo apart, so that guessing
/// does not list a schema.
const ALIKE_NAME: f64 = 0.75;
/// How alike arguments and related names must be: what they belong to is known already.
const ALIKE_PART: f64 = 0.34;

/// Whether a newer schema cache might know better.
pub(crate) fn may_be_stale(error: &Error) -> bool {
    [NO_RELATIONSHIP, NO_FUNCTION, NO_COLUMN, NO_TABLE].contains(&error.code)
}

/// No such table or view.
pub(crate) fn table(cache: &SchemaCache, name: &Name) -> Error {
    let error = NO_TABLE.error(format!("Could not find the table '{name}' in the schema cache"));
    match suggestion(cache.tables.keys(), name) {
        Some(near) => error.with_hint(format!("Perhaps you meant the table '{}.{near}'", name.schema)),
        None => error,
    }
}

/// No such column to write.
pub(crate) fn column(table: &str, column: &str) -> Error {
    NO_COLUMN.error(format!("Could not find the '{column}' column of '{table}' in the schema cache"))
}

/// No relationship between two relations.
pub(crate) fn relationship(cache: &SchemaCache, parent: &Name, child: &str, hint: Option<&str>) -> Error {
    let using = hint.map(|hint| format!("' using the hint '{hint}")).unwrap_or_default();
    let error = NO_RELATIONSHIP
        .error(format!(
            "Could not find a relationship between '{}' and '{child}' in the schema cache",
            parent.name
        ))
        .with_details(Value::String(format!(
            "Searched for a foreign key relationship between '{}' and '{child}{using}' in the schema '{}', but no \
             matches were found.",
            parent.name, parent.schema
        )));
    match relationship_suggestion(cache, parent, child) {
        Some((near, wrong)) => error.with_hint(format!("Perhaps you meant '{near}' instead of '{wrong}'.")),
        None => error,
    }
}

/// The nearest name for the one of the two that is unknown: (near, wrong).
fn relationship_suggestion<'a>(
    cache: &'a SchemaCache,
    parent: &'a Name,
    child: &'a str,
) -> Option<(&'a str, &'a str)> {
    if cache.relationships.contains_key(parent) {
        let children = cache.relationships_of(parent).map(|relationship| relationship.target.name.as_str());
        return nearest(child, children, ALIKE_PART).filter(|near| *near != child).map(|near| (near, child));
    }
    suggestion(cache.relationships.keys(), parent).map(|near| (near, parent.name.as_str()))
}

/// More than one relationship between two relations.
pub(crate) fn ambiguous_relationship(parent: &str, child: &str, found: &[&Relationship]) -> Error {
    let hints: Vec<String> = found
        .iter()
        .map(|relationship| format!("'{}!{}'", relationship.target.name, distinction(relationship)))
        .collect();
    AMBIGUOUS_RELATIONSHIP
        .error(format!(
            "Could not embed because more than one relationship was found for '{parent}' and '{child}'"
        ))
        .with_details(Value::Array(found.iter().map(|relationship| described(relationship)).collect()))
        .with_hint(format!(
            "Try changing '{child}' to one of the following: {}. Find the desired relationship in the 'details' key.",
            hints.join(", ")
        ))
}

/// What tells a relationship from its siblings.
fn distinction(relationship: &Relationship) -> &str {
    match &relationship.cardinality {
        Cardinality::ManyToOne { constraint, .. }
        | Cardinality::OneToMany { constraint, .. }
        | Cardinality::OneToOne { constraint, .. } => constraint,
        Cardinality::ManyToMany(junction) => &junction.table.name,
        Cardinality::Computed { function, .. } => &function.name,
    }
}

fn described(relationship: &Relationship) -> Value {
    let Relationship { source, target, cardinality } = relationship;
    let first = |pairs: &[(String, String)]| join(pairs.iter().map(|(source, _)| source));
    let second = |pairs: &[(String, String)]| join(pairs.iter().map(|(_, target)| target));
    let (kind, using) = match cardinality {
        Cardinality::ManyToMany(junction) => (
            "many-to-many",
            format!(
                "{} using {}({}) and {}({})",
                junction.table.name,
                junction.source_constraint,
                second(&junction.source_columns),
                junction.target_constraint,
                second(&junction.target_columns)
            ),
        ),
        Cardinality::ManyToOne { constraint, columns }
        | Cardinality::OneToMany { constraint, columns }
        | Cardinality::OneToOne { constraint, columns, .. } => (
            match cardinality {
                Cardinality::ManyToOne { .. } => "many-to-one",
                Cardinality::OneToMany { .. } => "one-to-many",
                _ => "one-to-one",
            },
            format!(
                "{constraint} using {}({}) and {}({})",
                source.name,
                first(columns),
                target.name,
                second(columns)
            ),
        ),
        Cardinality::Computed { function, .. } => ("computed", function.name.clone()),
    };
    json!({
        "cardinality": kind,
        "embedding": format!("{} with {}", source.name, target.name),
        "relationship": using,
    })
}

fn join<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// No function of that name and those arguments.
pub(crate) fn function(
    cache: &SchemaCache,
    name: &Name,
    arguments: &[&str],
    posted: Option<&MediaType>,
) -> Error {
    let given = arguments.join(", ");
    let document = posted.and_then(|content_type| match content_type {
        MediaType::Text => Some("text"),
        MediaType::Xml => Some("xml"),
        MediaType::OctetStream => Some("bytea"),
        _ => None,
    });
    let (called, searched) = match (document, arguments.len()) {
        (Some(kind), _) => (String::new(), format!(" with a single unnamed {kind} parameter")),
        (None, 0) => (" without parameters".to_owned(), " without parameters".to_owned()),
        (None, 1) => (format!("({given})"), format!(" with parameter {given}")),
        (None, _) => (format!("({given})"), format!(" with parameters {given}")),
    };
    let or_document = match posted {
        Some(MediaType::Json) => " or with a single unnamed json/jsonb parameter",
        _ => "",
    };
    let error = NO_FUNCTION
        .error(format!("Could not find the function {name}{called} in the schema cache"))
        .with_details(Value::String(format!(
            "Searched for the function {name}{searched}{or_document}, but no matches were found in the schema cache."
        )));
    match function_suggestion(cache, name, arguments) {
        Some(near) if document.is_none() => {
            error.with_hint(format!("Perhaps you meant to call the function {}.{near}", name.schema))
        }
        _ => error,
    }
}

fn function_suggestion(cache: &SchemaCache, name: &Name, arguments: &[&str]) -> Option<String> {
    let overloads = cache.overloads(name);
    if overloads.is_empty() {
        return suggestion(cache.functions.keys(), name).map(str::to_owned);
    }
    let listed = |mut names: Vec<&str>| {
        names.sort_unstable();
        format!("({})", names.join(", "))
    };
    let candidates: Vec<String> = overloads
        .iter()
        .map(|overload| listed(overload.parameters.iter().map(|parameter| parameter.name.as_str()).collect()))
        .collect();
    let near = nearest(&listed(arguments.to_vec()), candidates.iter().map(String::as_str), ALIKE_PART)?;
    Some(format!("{}{near}", name.name))
}

/// More than one function of that name and those arguments.
pub(crate) fn ambiguous_function(found: &[&Function]) -> Error {
    let mut signatures: Vec<(usize, String)> =
        found.iter().map(|function| (function.parameters.len(), function.signature())).collect();
    signatures.sort_unstable();
    let signatures: Vec<String> = signatures.into_iter().map(|(_, signature)| signature).collect();
    AMBIGUOUS_FUNCTION
        .error(format!(
            "Could not choose the best candidate function between: {}",
            signatures.join(", ")
        ))
        .with_hint(
            "Try renaming the parameters or the function itself in the database so function overloading can be \
             resolved",
        )
}

fn suggestion<'a>(known: impl Iterator<Item = &'a Name>, wrong: &Name) -> Option<&'a str> {
    let names: Vec<&str> =
        known.filter(|name| name.schema == wrong.schema).map(|name| name.name.as_str()).collect();
    if names.len() > MAX_SUGGESTED_FROM { None } else { nearest(&wrong.name, names, ALIKE_NAME) }
}

/// The known name most like `wrong`, if one is alike enough (1 is the same, 0 nothing in common).
fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>, enough: f64) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::normalized_levenshtein(wrong, name), name))
        .filter(|(likeness, _)| *likeness >= enough)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
