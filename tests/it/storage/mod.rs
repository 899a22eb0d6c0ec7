//! Buckets and objects, as the clients of the storage API meet them.

mod buckets;
mod downloads;
mod limits;
mod listings;
mod names;
mod policies;
mod races;
mod signed;
mod sql;
mod transfers;
mod uploads;

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Actor, App, Call, Reply, at};

/// A private and a public bucket where everyone signed in rules their own objects.
const SCHEMA: &str = "
    insert into storage.buckets (id, name, public) values ('files', 'files', false), ('open', 'open', true);
    create policy own on storage.objects for all to authenticated using (owner_id = auth.uid()::text);
";
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

fn object(bucket: &str, key: &str) -> String {
    format!("/storage/v1/object/{bucket}/{key}")
}

/// An upload as plain text to `bucket/key`.
fn upload(actor: &Actor, name: &str, content: &str) -> Call {
    actor
        .post(&format!("/storage/v1/object/{name}"))
        .header("content-type", "text/plain")
        .body(content.to_owned())
}

fn download(actor: &Actor, name: &str) -> Call {
    actor.get(&format!("/storage/v1/object/{name}"))
}

/// Uploads each of these keys to the bucket `files`, with the key as content.
async fn upload_all(actor: &Actor, keys: &[&str]) {
    for key in keys {
        upload(actor, &format!("files/{key}"), key).send().await.expect(200);
    }
}

/// What the caller sees at a name: the content, or nothing.
async fn content(actor: &Actor, name: &str) -> Option<String> {
    let reply = download(actor, name).send().await;
    reply.status.is_success().then(|| reply.text())
}

/// A POST of JSON to a path of the storage API.
fn post(actor: &Actor, path: &str, body: Value) -> Call {
    actor.post(&format!("/storage/v1/{path}")).json(body)
}

/// Expects a refusal: 400 on the wire, the true status and the stable code inside.
#[track_caller]
fn refused(reply: Reply, status: u16, code: &str) {
    let body = reply.expect(400).json();
    assert_eq!(
        (at(&body, "/statusCode"), at(&body, "/code")),
        (&json!(status.to_string()), &json!(code)),
        "{body}"
    );
}

/// The names of a list, in its order.
fn names(list: &Value) -> Vec<&str> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(|entry| at(entry, "/name").as_str().expect("a name"))
        .collect()
}

/// Where a signed URL leads, of an answer that has it at `pointer`.
fn signed_path(answer: &Value, pointer: &str) -> String {
    format!("/storage/v1{}", at(answer, pointer).as_str().expect("a URL"))
}

async fn head(actor: &Actor, name: &str) -> Reply {
    actor.call(Method::HEAD, &format!("/storage/v1/object/{name}")).send().await
}

/// The files that the project's objects have on disk, those half written too.
fn blobs(app: &App) -> Vec<PathBuf> {
    let folder = app.stack.up.info.data_dir.join("services/storage/blobs").join(app.project.id.to_string());
    let entries =
        |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(folder).flat_map(entries).collect()
}

/// Waits until `condition` holds.
async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
