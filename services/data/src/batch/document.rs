//! What a batch asks for: requests, each as it would be sent alone.

use std::collections::{BTreeMap, BTreeSet};

use base::Result;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::reference::{Results, path_refers, refers};
use crate::error::{self, BATCH};
use crate::media::MediaType;
use crate::request::accept;
use crate::request::profile::{ACCEPT_PROFILE, CONTENT_PROFILE};
use crate::request::question::HEADERS;

/// Requests of one batch.
const MAX_REQUESTS: usize = 100;
/// Longest path of a request, in bytes.
const MAX_PATH: usize = 16 * 1024;
/// Longest name of a request.
const MAX_NAME: usize = 64;

/// A batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    requests: Vec<Part>,
}

/// One request of a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// What later requests call it by.
    pub(super) id: Option<String>,
    #[serde(default = "get")]
    method: String,
    /// Under the API's root, with its query: `/todos?id=eq.1`.
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// JSON; the text, for other types.
    body: Option<Box<RawValue>>,
}

fn get() -> String {
    "GET".to_owned()
}

/// Reads a batch.
///
/// Errors: PGRST102 for what is none, MB100 for one of no or too many requests, and for names that are none.
pub(super) fn read(json: &[u8]) -> Result<Vec<Part>> {
    let batch: Batch =
        serde_json::from_slice(json).map_err(|why| error::body(format!("the body is no batch: {why}")))?;
    if batch.requests.is_empty() || batch.requests.len() > MAX_REQUESTS {
        return Err(BATCH.error(format!("a batch has 1 to {MAX_REQUESTS} requests")));
    }
    if batch.requests.iter().any(|part| part.path.len() > MAX_PATH) {
        return Err(BATCH.error(format!("a path has {MAX_PATH} bytes at most; a longer query is a QUERY")));
    }
    let mut names = BTreeSet::new();
    for id in batch.requests.iter().filter_map(|part| part.id.as_deref()) {
        if !is_name(id) {
            return Err(BATCH.error(format!(
                "'{id}' is no name: a letter, then up to {} letters, digits, '-' and '_'",
                MAX_NAME - 1
            )));
        }
        if !names.insert(id) {
            return Err(BATCH.error(format!("two requests are called '{id}'")));
        }
    }
    Ok(batch.requests)
}

/// Whether it may be a request's name.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

impl Part {
    /// What errors call it: its name, or else its place.
    pub(super) fn label(&self, index: usize) -> String {
        self.id.clone().unwrap_or_else(|| index.to_string())
    }

    /// Whether it depends on results of others.
    pub(super) fn refers(&self) -> bool {
        path_refers(&self.path) || self.body.as_ref().is_some_and(|body| refers(body.get()))
    }

    /// Whether it cannot write.
    pub(super) fn only_reads(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// The request, as if it came alone with the batch's headers and its own. `max` is the most bytes of its body.
    ///
    /// Errors: MB100 for a method, path or header that cannot be, and for references that lead nowhere.
    pub(super) fn request(&self, of: &Parts, results: &mut Results, max: usize) -> Result<(Parts, Bytes)> {
        let headers = self.headers(&of.headers)?;
        let path = results.in_path(&self.path, max)?;
        if !path.starts_with('/') {
            return Err(BATCH.error(format!("the path '{path}' does not start with '/'")));
        }
        let is_json = accept::content_type(&headers) == MediaType::Json;
        let body = match &self.body {
            None => Bytes::new(),
            Some(body) if is_json => results.in_body(body, max)?.into(),
            Some(body) => serde_json::from_str::<String>(body.get())
                .map_err(|_| BATCH.error("a body that is not JSON is given as a string"))?
                .into(),
        };
        let method = Method::from_bytes(self.method.as_bytes());
        let method = method.map_err(|_| BATCH.error(format!("'{}' is no method", self.method)))?;
        let request = http::Request::builder().method(method).uri(&path).body(());
        let request = request.map_err(|_| BATCH.error(format!("'{path}' is no path")))?;
        let (mut parts, ()) = request.into_parts();
        parts.headers = headers;
        Ok((parts, body))
    }

    fn headers(&self, of: &HeaderMap) -> Result<HeaderMap> {
        let mut headers = of.clone();
        headers.remove(CONTENT_LENGTH);
        // profiles of the whole hold where a request names none
        let profiles = [ACCEPT_PROFILE, CONTENT_PROFILE];
        for name in HEADERS.into_iter().filter(|name| !profiles.contains(name)) {
            headers.remove(name);
        }
        for (name, value) in &self.headers {
            let known = HEADERS.into_iter().find(|own| own.as_str().eq_ignore_ascii_case(name));
            let known = known.ok_or_else(|| {
                BATCH.error(format!("'{name}' is no header of one request of a batch")).with_hint(format!(
                    "Those are {}; others are the batch's.",
                    HEADERS.map(|own| own.to_string()).join(", ")
                ))
            })?;
            let value = HeaderValue::from_str(value);
            headers
                .insert(known, value.map_err(|_| BATCH.error(format!("'{name}' has a value that is none")))?);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer() -> Parts {
        let request = http::Request::builder()
            .uri("/batch")
            .header("authorization", "Bearer x")
            .header("prefer", "tx=rollback")
            .header("content-type", "application/json");
        request.body(()).unwrap().into_parts().0
    }

    fn request(json: &str) -> Result<(Parts, Bytes)> {
        read(format!(r#"{{"requests":[{json}]}}"#).as_bytes())?[0].request(
            &outer(),
            &mut Results::default(),
            100,
        )
    }

    #[test]
    fn a_request_has_its_own_headers_and_the_callers() {
        let (parts, body) = request(
            r#"{"method":"POST","path":"/t?a=1","headers":{"Prefer":"return=minimal"},"body":{"a":1.0}}"#,
        )
        .unwrap();

        assert_eq!((parts.method.as_str(), parts.uri.path(), parts.uri.query()), ("POST", "/t", Some("a=1")));
        assert_eq!(parts.headers["prefer"], "return=minimal");
        assert_eq!(parts.headers["authorization"], "Bearer x");
        assert!(!parts.headers.contains_key("content-type"));
        assert_eq!(&body[..], br#"{"a":1.0}"#);
        let csv = r#"{"method":"POST","path":"/t","headers":{"content-type":"text/csv"},"body":"a\n1\n"}"#;
        assert_eq!(&request(csv).unwrap().1[..], b"a\n1\n");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (json, code) in [
            (r#"{"path":"t"}"#, "MB100"),
            (r#"{"path":"/t","headers":{"authorization":"Bearer y"}}"#, "MB100"),
            (r#"{"path":"/t","headers":{"x-meshbase-project":"p"}}"#, "MB100"),
            (r#"{"path":"/t","headers":{"prefer":"a\nb"}}"#, "MB100"),
            (r#"{"path":"/t","method":"G ET"}"#, "MB100"),
            (r#"{"path":"/t t"}"#, "MB100"),
            (r#"{"path":"/t","id":"1a"}"#, "MB100"),
            (r#"{"path":"/t","id":"a"},{"path":"/t","id":"a"}"#, "MB100"),
            (r#"{"path":"/t","nope":1}"#, "PGRST102"),
            (r#"{"method":"GET"}"#, "PGRST102"),
            ("", "MB100"),
        ] {
            assert_eq!(request(json).map(|_| ()).unwrap_err().code.name(), code, "{json}");
        }
        let many = vec![r#"{"path":"/t"}"#; MAX_REQUESTS + 1].join(",");
        assert!(request(&many).is_err());
    }
}
