//! The harness: an installation, a project per test, actors who call it.

mod app;
mod client;
pub mod process;
mod stack;

pub use app::{Actor, App, PASSWORD};
pub use client::{Call, Reply};
pub use stack::{binary, run};

use serde_json::Value;

/// A value at a JSON pointer, or null: assertions read better without unwraps.
pub fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
