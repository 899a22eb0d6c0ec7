//! The body: which columns or arguments it holds. Its bytes go to PostgreSQL as they came.

mod csv;
pub(crate) mod depth;
mod keys;

use std::collections::BTreeSet;

use base::{Error, Result};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::query::decode;
use super::target::{Action, Resource, Target};
use crate::error;
use crate::media::MediaType;

/// What a request's body holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) payload: Payload,
    /// The columns or arguments that it names, or that `columns` names for it.
    pub(crate) columns: BTreeSet<String>,
}

/// The bytes and what they are.
#[derive(Clone, Debug, Default)]
pub(crate) enum Payload {
    /// No body is wanted.
    #[default]
    None,
    /// A JSON document.
    Json(Bytes),
    /// A form's fields, as a function's arguments.
    Form(Vec<(String, String)>),
    /// A document for a function's one nameless argument.
    Raw(Bytes),
}

/// Reads the body of a request.
///
/// `columns` names the columns beforehand; then the rows need not agree in their keys. Errors: PGRST102.
pub(crate) fn read(
    bytes: Bytes,
    content_type: &MediaType,
    columns: Option<&BTreeSet<String>>,
    target: &Target,
) -> Result<Body> {
    let is_call = match target.action {
        Action::Call => true,
        Action::Create | Action::Update | Action::Upsert => false,
        _ => return Ok(Body::default()),
    };
    let columns = columns.filter(|_| target.action != Action::Upsert);
    debug_assert_eq!(is_call, matches!(target.resource, Resource::Function(_)));
    match content_type {
        MediaType::Json => json(bytes, columns, is_call),
        MediaType::Csv => {
            let (json, names) = csv::rows(&bytes)?;
            Ok(Body { payload: Payload::Json(json), columns: columns.cloned().unwrap_or(names) })
        }
        MediaType::UrlEncoded => form(&bytes, is_call),
        MediaType::Text | MediaType::Xml | MediaType::OctetStream if is_call => {
            Ok(Body { payload: Payload::Raw(bytes), columns: BTreeSet::new() })
        }
        other => Err(error::body(format!("Content-Type not acceptable: {other}"))),
    }
}

fn json(bytes: Bytes, columns: Option<&BTreeSet<String>>, is_call: bool) -> Result<Body> {
    let bytes = if bytes.is_empty() && is_call { Bytes::from_static(b"{}") } else { bytes };
    // PostgreSQL reads JSON by recursion: a document it could not bear must not get there
    if depth::exceeds(&bytes, depth::MAX) {
        return Err(invalid_json());
    }
    if let Some(columns) = columns {
        return Ok(Body { payload: Payload::Json(bytes), columns: columns.clone() });
    }
    match keys::of(&bytes).map_err(|_| invalid_json())? {
        keys::Keys::Uniform(columns) => Ok(Body { payload: Payload::Json(bytes), columns }),
        keys::Keys::Different => Err(error::body("All object keys must match")),
        // a document that is neither object nor array holds no rows
        keys::Keys::NoRows => {
            Ok(Body { payload: Payload::Json(Bytes::from_static(b"[]")), columns: BTreeSet::new() })
        }
    }
}

fn form(bytes: &[u8], is_call: bool) -> Result<Body> {
    let text = std::str::from_utf8(bytes).map_err(|_| error::body("the form is not UTF-8 text"))?;
    let fields: Vec<(String, String)> = decode(text)
        .map_err(|_| error::body("the form is not UTF-8 text"))?
        .into_iter()
        .map(|(key, value)| (key, value.unwrap_or_default()))
        .collect();
    let columns = fields.iter().map(|(key, _)| key.clone()).collect();
    if is_call {
        return Ok(Body { payload: Payload::Form(fields), columns });
    }
    let row: Map<String, Value> =
        fields.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    Ok(Body { payload: Payload::Json(Bytes::from(Value::Object(row).to_string())), columns })
}

fn invalid_json() -> Error {
    error::body("Empty or invalid json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(action: Action, content_type: MediaType, body: &'static str) -> Result<Body> {
        let resource = if action == Action::Call {
            Resource::Function("f".to_owned())
        } else {
            Resource::Relation("t".to_owned())
        };
        read(Bytes::from_static(body.as_bytes()), &content_type, None, &Target { resource, action })
    }

    #[test]
    fn keys_become_columns_and_the_bytes_stay() {
        let body =
            read_as(Action::Create, MediaType::Json, r#"[{"b":1, "a":{"x":[]}},{"a":null,"b":2}]"#).unwrap();

        assert_eq!(body.columns, ["a".to_owned(), "b".to_owned()].into());
        assert!(matches!(body.payload, Payload::Json(bytes) if bytes.starts_with(b"[{\"b\":1, ")));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "nope", "[1,", "{\"a\":1}x", "\u{feff}{}"] {
            let error = read_as(Action::Create, MediaType::Json, text).unwrap_err();
            assert_eq!(error.message, "Empty or invalid json", "{text}");
        }
    }

    #[test]
    fn rows_with_other_keys_are_refused_unless_columns_are_named() {
        let text = r#"[{"a":1},{"b":2}]"#;
        let target = Target { resource: Resource::Relation("t".to_owned()), action: Action::Create };
        let columns = BTreeSet::from(["a".to_owned()]);

        let named = read(Bytes::from_static(text.as_bytes()), &MediaType::Json, Some(&columns), &target);

        assert_eq!(
            read_as(Action::Create, MediaType::Json, text).unwrap_err().message,
            "All object keys must match"
        );
        assert_eq!(named.unwrap().columns, columns);
    }

    #[test]
    fn a_deep_document_is_refused_at_any_depth() {
        for opening in ["[", "{\"a\":"] {
            let bytes = Bytes::from(opening.repeat(100_000));
            let target = Target { resource: Resource::Relation("t".to_owned()), action: Action::Create };

            let error = read(bytes, &MediaType::Json, Some(&BTreeSet::new()), &target).unwrap_err();

            assert_eq!((error.code.name(), error.status().as_u16()), ("PGRST102", 400));
        }
    }

    #[test]
    fn a_call_without_a_body_has_no_arguments() {
        let body = read_as(Action::Call, MediaType::Json, "").unwrap();

        assert!(body.columns.is_empty());
        assert!(matches!(body.payload, Payload::Json(bytes) if &bytes[..] == b"{}"));
    }

    #[test]
    fn other_types_are_for_functions_alone() {
        assert!(read_as(Action::Call, MediaType::Text, "hi").is_ok());
        let error = read_as(Action::Create, MediaType::Text, "hi").unwrap_err();
        assert_eq!(error.message, "Content-Type not acceptable: text/plain");
    }

    #[test]
    fn a_form_is_one_row() {
        let body = read_as(Action::Create, MediaType::UrlEncoded, "a=1&b=x+y").unwrap();

        assert!(matches!(body.payload, Payload::Json(bytes) if &bytes[..] == br#"{"a":"1","b":"x y"}"#));
    }
}
