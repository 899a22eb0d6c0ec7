//! Render: from a plan to one SQL statement. Pure, and the only place where SQL is put together.
//!
//! Nothing of a request becomes SQL text but names, which are quoted; every value is bound. The shapes are
//! PostgREST's, because `EXPLAIN` and the spacing of JSON make them visible.

mod body;
mod call;
pub(crate) mod condition;
pub(crate) mod export;
pub(crate) mod field;
mod page;
pub(crate) mod rows;
pub(crate) mod select;
pub(crate) mod session;
pub(crate) mod sql;
pub(crate) mod statement;
pub(crate) mod visible;
pub(crate) mod write;

pub(crate) use sql::{Sql, Value};
pub(crate) use statement::{count_estimate, main};
pub(crate) use visible::visible;

#[cfg(test)]
mod tests;
