//! The database REST API, as its clients meet it.

mod aggregates;
mod batch;
mod document;
mod embed;
mod export;
mod faults;
mod functions;
mod matrix;
mod media;
mod nested;
mod options;
mod pages;
mod plan_cache;
mod read;
mod representations;
mod roles;
mod schema;
mod views;
mod write;

use serde_json::{Value, json};

use crate::support::{Actor, Reply, at};

/// The media type that asks for one object.
const OBJECT: &str = "application/vnd.pgrst.object+json";

/// The path of a request to this API: what stands in no address as it is, is percent-encoded.
fn rest(path: &str) -> String {
    let path = path.replace('<', "%3C").replace('>', "%3E").replace('"', "%22").replace(' ', "%20");
    format!("/rest/v1/{path}")
}

/// What a read that succeeds returns.
async fn read(actor: &Actor, path: &str) -> Value {
    actor.get(&rest(path)).send().await.expect(200).json()
}

/// The ids of the rows that a read returns, in its order; what it returned instead if it failed.
async fn ids(actor: &Actor, path: &str) -> Value {
    ids_of(&actor.get(&rest(path)).send().await.json())
}

/// The ids of rows; what it is instead if it is no list.
fn ids_of(rows: &Value) -> Value {
    match rows.as_array() {
        Some(rows) => rows.iter().map(|row| at(row, "/id").clone()).collect(),
        None => rows.clone(),
    }
}

/// Asserts an error's status and code.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16, code: &str) {
    let json = reply.json();
    let found = (reply.status.as_u16(), at(&json, "/code"));
    assert_eq!(found, (status, &json!(code)), "{}", reply.text());
}

/// Asserts a status and `Content-Range`.
#[track_caller]
fn assert_part(reply: &Reply, status: u16, range: &str) {
    assert_eq!((reply.status.as_u16(), reply.header("content-range")), (status, range), "{}", reply.text());
}
