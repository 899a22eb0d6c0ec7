//! What an upload sends: the bytes as a stream, and what it says about them, in headers or in a form.

use std::time::Duration;

use base::{Body, Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http::{HeaderMap, HeaderName, header};
use serde_json::Value;

use crate::error::{ENTITY_TOO_LARGE, INVALID_REQUEST, malformed};
use crate::form;
use crate::mime::Mime;
use crate::robots;

/// Largest user metadata as text, in bytes.
pub(crate) const MAX_USER_METADATA_BYTES: usize = 1024 * 1024;
/// Longest value of a header that is stored to be served again, in bytes.
const MAX_STORED_HEADER_BYTES: usize = 1024;
/// An upload that sends nothing for this long is given up.
const STALLED_AFTER: Duration = Duration::from_secs(60);

const METADATA: HeaderName = HeaderName::from_static("x-metadata");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// The bytes of an upload as they arrive.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes>>;

/// An upload whose bytes are still to come.
pub(crate) struct Incoming {
    pub(crate) about: About,
    chunks: Chunks,
    /// What the bytes must add up to, where the client said so.
    exact_bytes: Option<u64>,
}

/// What an upload says about its bytes.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) mime: Mime,
    pub(crate) cache_control: String,
    pub(crate) content_encoding: Option<String>,
    pub(crate) robots: Option<String>,
    pub(crate) user_metadata: Option<Value>,
    /// The request's `Content-Length`, which for a form is more than the file's.
    pub(crate) declared_bytes: Option<u64>,
}

impl About {
    /// Reads what the headers say.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<About> {
        let robots = stored(headers, &ROBOTS)?;
        robots.as_deref().map(robots::check).transpose()?;
        let mime = stored(headers, &header::CONTENT_TYPE)?.filter(|text| !text.is_empty());
        Ok(About {
            mime: mime.as_deref().map_or(Ok(Mime::octet_stream()), Mime::parse)?,
            cache_control: stored(headers, &header::CACHE_CONTROL)?.unwrap_or_else(|| "no-cache".to_owned()),
            content_encoding: stored(headers, &header::CONTENT_ENCODING)?,
            robots,
            user_metadata: user_metadata_header(headers)?,
            declared_bytes: headers
                .get(header::CONTENT_LENGTH)
                .and_then(|text| text.to_str().ok()?.parse().ok()),
        })
    }
}

impl Incoming {
    /// Reads up to where the file's bytes begin.
    pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Incoming> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let chunks = body.into_data_stream().map(|chunk| chunk.map_err(broken_off)).boxed();
        if kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
            let head = tokio::time::timeout(STALLED_AFTER, form::read(kind, headers, chunks)).await;
            let (about, chunks) = head.map_err(|_| stalled())??;
            return Ok(Incoming { about, chunks, exact_bytes: None });
        }
        let about = About::from_headers(headers)?;
        Ok(Incoming { exact_bytes: about.declared_bytes, about, chunks })
    }

    /// How many bytes the file will have, if the client said so.
    pub(crate) fn exact_bytes(&self) -> Option<u64> {
        self.exact_bytes
    }

    /// The next bytes; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        match tokio::time::timeout(STALLED_AFTER, self.chunks.next()).await {
            Ok(chunk) => chunk.transpose(),
            Err(_) => Err(stalled()),
        }
    }
}

fn stalled() -> Error {
    INVALID_REQUEST.error("the upload stalled")
}

pub(crate) fn broken_off(cause: impl Into<base::error::Source>) -> Error {
    INVALID_REQUEST.error("the upload broke off").caused_by(cause)
}

/// Text that is kept and served as a header again: visible ASCII, of a bounded length.
pub(crate) fn servable(name: &str, text: &str) -> Result<String> {
    let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if visible && text.len() <= MAX_STORED_HEADER_BYTES {
        Ok(text.trim().to_owned())
    } else {
        Err(INVALID_REQUEST.error(format!("invalid {name}")).with_details(serde_json::json!({
            "error": "invalid_header_char"
        })))
    }
}

fn stored(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>> {
    let value =
        headers.get(name).map(|value| servable(name.as_str(), &String::from_utf8_lossy(value.as_bytes())));
    value.transpose()
}

/// The user's metadata of the `x-metadata` header: base64 of JSON. What is neither counts as none, as in the original.
pub(crate) fn user_metadata_header(headers: &HeaderMap) -> Result<Option<Value>> {
    let Some(text) = headers.get(METADATA).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let json = STANDARD.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    json.map_or(Ok(None), |json| user_metadata(&json))
}

/// The user's metadata as JSON text.
pub(crate) fn user_metadata(json: &str) -> Result<Option<Value>> {
    if json.len() > MAX_USER_METADATA_BYTES {
        return Err(ENTITY_TOO_LARGE.error("The user_metadata exceeded the maximum allowed size"));
    }
    // `jsonb` has no NUL, and a refusal here says so more plainly than one by the database
    if json.contains("\\u0000") {
        return Err(malformed("metadata must not contain NUL"));
    }
    Ok(serde_json::from_str(json).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn headers_describe_a_raw_upload() {
        let metadata = STANDARD.encode(r#"{"a":1}"#);
        let about = About::from_headers(&headers(&[
            ("content-type", "image/png"),
            ("cache-control", "max-age=60"),
            ("content-length", "7"),
            ("x-metadata", &metadata),
        ]))
        .unwrap();

        assert_eq!(about.mime.as_str(), "image/png");
        assert_eq!(about.cache_control, "max-age=60");
        assert_eq!(about.declared_bytes, Some(7));
        assert_eq!(about.user_metadata, Some(json!({"a": 1})));
    }

    #[test]
    fn without_headers_there_are_defaults() {
        let about = About::from_headers(&HeaderMap::new()).unwrap();

        assert_eq!(about.mime, Mime::octet_stream());
        assert_eq!(about.cache_control, "no-cache");
        assert_eq!(about.user_metadata, None);
    }

    #[test]
    fn metadata_that_is_none_is_ignored_and_nul_is_refused() {
        for bad in ["%%%".to_owned(), STANDARD.encode("{"), STANDARD.encode([0xff])] {
            assert_eq!(user_metadata_header(&headers(&[("x-metadata", &bad)])).unwrap(), None, "{bad}");
        }
        assert!(user_metadata(r#"{"a":"\u0000"}"#).is_err());
        assert!(user_metadata(&"[".repeat(100_000)).unwrap().is_none(), "depth is bounded");
        assert!(user_metadata(&" ".repeat(MAX_USER_METADATA_BYTES + 1)).is_err());
    }

    #[test]
    fn what_would_break_a_header_is_refused() {
        assert!(servable("cache-control", "max-age=1\r\nx: y").is_err());
        assert!(servable("cache-control", &"a".repeat(2000)).is_err());
        assert_eq!(servable("cache-control", " max-age=1 ").unwrap(), "max-age=1");
    }
}
