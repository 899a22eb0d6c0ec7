//! Calls of functions.

use super::rows::{Field, Source, from};
use super::sql::{Sql, Value, array};
use crate::plan::call::{Argument, Arguments, CallPlan};
use crate::schema::{Name, Parameter};

/// The alias of a function's result.
const CALL: &str = "pgrst_call";

/// `SELECT` of what the function returns.
pub(crate) fn call(sql: &mut Sql, plan: &CallPlan) {
    let is_value = plan.function.returns_scalar() || plan.function.returns_scalars();
    sql.push("SELECT ");
    if is_value {
        sql.push("pgrst_call.pgrst_scalar");
    } else if plan.columns.is_empty() {
        sql.push("*");
    } else {
        sql.list(&plan.columns, ", ", |sql, column| {
            sql.column(&Name::bare(CALL), column);
        });
    }
    sql.push(" ");
    match &plan.arguments {
        Arguments::Json { document, parameters } => {
            from(sql, &source(document, parameters));
            sql.push(", LATERAL ");
            result(sql, plan, is_value, |sql| from_body(sql, parameters));
        }
        Arguments::None => {
            sql.push("FROM ");
            result(sql, plan, is_value, |_| {});
        }
        Arguments::Values(values) => {
            sql.push("FROM ");
            result(sql, plan, is_value, |sql| given(sql, values));
        }
        Arguments::Document { body, parameter } => {
            sql.push("FROM ");
            result(sql, plan, is_value, |sql| {
                let is_bytes = parameter.type_name == "bytea";
                let value = if is_bytes { Value::Binary(body.clone()) } else { Value::Text(body.clone()) };
                sql.bind_value(value).push("::").catalog(&parameter.cast);
            });
        }
    }
}

fn result(sql: &mut Sql, plan: &CallPlan, is_value: bool, arguments: impl FnOnce(&mut Sql)) {
    sql.push(if is_value { "(SELECT " } else { "" });
    sql.name(&plan.function.name).push("(");
    arguments(sql);
    sql.push(if is_value { ") pgrst_scalar) pgrst_call" } else { ") pgrst_call" });
}

fn named<'a>(sql: &'a mut Sql, parameter: &Parameter) -> &'a mut Sql {
    sql.push(if parameter.variadic { "VARIADIC " } else { "" }).identifier(&parameter.name).push(" := ")
}

fn from_body(sql: &mut Sql, parameters: &[Parameter]) {
    sql.list(parameters, ", ", |sql, parameter| {
        named(sql, parameter).push("pgrst_body.").identifier(&parameter.name);
    });
}

fn given(sql: &mut Sql, values: &[(Parameter, Argument)]) {
    sql.list(values, ", ", |sql, (parameter, argument)| {
        let text = match argument {
            Argument::One(value) => value.clone(),
            Argument::Rest(values) => array(values.iter().map(String::as_str)),
        };
        named(sql, parameter).bind(text).push("::").catalog(&parameter.cast);
    });
}

fn source<'a>(document: &'a bytes::Bytes, parameters: &'a [Parameter]) -> Source<'a> {
    let is_object = document.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) == Some(&b'{');
    Source {
        json: document,
        is_object,
        fields: parameters
            .iter()
            .map(|parameter| Field {
                name: &parameter.name,
                type_name: Some(&parameter.cast),
                read_by: None,
                default: None,
            })
            .collect(),
        defaults: false,
        one: true,
    }
}
