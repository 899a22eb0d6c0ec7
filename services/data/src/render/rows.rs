//! Rows out of a JSON document: what inserts, updates and calls take their values from.

use bytes::Bytes;

use super::sql::Sql;
use crate::schema::{CatalogText, Name};

/// A document and what to take of each of its rows.
pub(crate) struct Source<'a> {
    /// The document, bound as it came.
    pub(crate) json: &'a Bytes,
    /// Whether it is one object.
    pub(crate) is_object: bool,
    /// Names and types.
    pub(crate) fields: Vec<Field<'a>>,
    /// Whether the defaults stand for missing keys.
    pub(crate) defaults: bool,
    /// Whether only the first row counts.
    pub(crate) one: bool,
}

/// One key of a row.
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    /// `None` for a value that a function reads out of JSON.
    pub(crate) type_name: Option<&'a CatalogText>,
    /// What reads it.
    pub(crate) read_by: Option<&'a Name>,
    pub(crate) default: Option<&'a CatalogText>,
}

/// `FROM …` such that `pgrst_body` has one row for each of the document's.
pub(crate) fn from(sql: &mut Sql, source: &Source<'_>) {
    sql.push("FROM (SELECT ").bind(source.json.clone());
    sql.push(if source.defaults {
        "::jsonb AS json_data) pgrst_payload, "
    } else {
        "::json AS json_data) pgrst_payload, "
    });
    let document = if source.defaults {
        defaults(sql, source);
        "pgrst_json_defs.val"
    } else {
        "pgrst_payload.json_data"
    };
    sql.push("LATERAL (SELECT ").list(&source.fields, ", ", |sql, field| {
        match field.read_by {
            Some(function) => {
                sql.name(function).push("(").identifier(field.name).push(") AS ").identifier(field.name)
            }
            None => sql.identifier(field.name),
        };
    });
    sql.push(" FROM ");
    if source.fields.is_empty() {
        keyless(sql, source, document);
    } else {
        sql.push(match (source.defaults, source.is_object) {
            (false, true) => "json_to_record(",
            (false, false) => "json_to_recordset(",
            (true, true) => "jsonb_to_record(",
            (true, false) => "jsonb_to_recordset(",
        });
        sql.push(document).push(") AS _(").list(&source.fields, ", ", |sql, field| {
            sql.identifier(field.name).push(" ");
            match field.type_name {
                Some(type_name) => sql.catalog(type_name),
                None => sql.push("json"),
            };
        });
        sql.push(if source.one { ") LIMIT 1" } else { ") " });
    }
    sql.push(") pgrst_body ");
}

/// Rows without keys: `{}` is one, `[{}, {}]` are two.
fn keyless(sql: &mut Sql, source: &Source<'_>, document: &'static str) {
    if source.is_object {
        sql.push("(values(1)) _ ");
    } else {
        let function = if source.defaults { "jsonb_array_elements(" } else { "json_array_elements(" };
        sql.push(function).push(document).push(") _ ");
    }
}

/// `pgrst_json_defs.val`: the document, its rows laid over an object of the defaults.
fn defaults(sql: &mut Sql, source: &Source<'_>) {
    let object = |sql: &mut Sql| {
        sql.push("jsonb_build_object(");
        let with_default = source.fields.iter().filter_map(|field| Some((field.name, field.default?)));
        sql.list(with_default, ", ", |sql, (name, default)| {
            sql.bind(name.to_owned()).push("::text, ").catalog(default);
        });
        sql.push(")");
    };
    if source.is_object {
        sql.push("LATERAL (SELECT ");
        object(sql);
        sql.push(" || pgrst_payload.json_data AS val) pgrst_json_defs, ");
    } else {
        sql.push("LATERAL (SELECT jsonb_agg(");
        object(sql);
        sql.push(
            " || elem) AS val FROM jsonb_array_elements(pgrst_payload.json_data) elem) pgrst_json_defs, ",
        );
    }
}
