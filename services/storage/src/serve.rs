//! An object as a response: conditions, ranges, and the headers that keep a stored file from acting in a browser.

use base::{Body, Error, Response, Result, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::blobs::{BlobId, Blobs};
use crate::error::{INVALID_RANGE, NO_SUCH_KEY};
use crate::models::object::{Metadata, StoredObject};
use crate::range::{self, Part};

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
/// What `encodeURIComponent` and RFC 8187 both leave as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How an object is to be served.
#[derive(Debug, Default)]
pub(crate) struct Presentation<'a> {
    /// `?download`: to be saved, under this name unless it is empty.
    pub(crate) download: Option<&'a str>,
    /// When the URL that asked for it expires; replaces the stored caching rule.
    pub(crate) expires: Option<Timestamp>,
}

/// An object that is about to be served: what it is, and what the request asks of it.
pub(crate) struct Serving<'a> {
    object: &'a StoredObject,
    facts: Metadata,
    request: &'a HeaderMap,
    presentation: &'a Presentation<'a>,
}

impl<'a> Serving<'a> {
    pub(crate) fn new(
        object: &'a StoredObject,
        request: &'a HeaderMap,
        presentation: &'a Presentation<'a>,
    ) -> Serving<'a> {
        Serving { object, facts: object.facts(), request, presentation }
    }

    /// The whole object, a part of it, or word that the client has it already; `None` if its bytes are gone.
    pub(crate) async fn get(&self, blobs: &Blobs, project: Uuid) -> Result<Option<Response>> {
        if self.is_unchanged() {
            return self.response(StatusCode::NOT_MODIFIED, Body::empty()).map(Some);
        }
        let Some(version) = self.object.version() else {
            return Ok(None);
        };
        let blob = BlobId { project, version };
        let size = match self.facts.size {
            Some(size) => Some(size),
            None => blobs.size(blob).await?,
        };
        let Some(size) = size else {
            return Ok(None);
        };
        let asked = self.request.get(header::RANGE).and_then(|range| range.to_str().ok());
        let (status, bytes) = match range::parse(asked.filter(|_| self.range_applies()), size) {
            Part::Whole => (StatusCode::OK, 0..size),
            Part::Bytes(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
            Part::Unsatisfiable => return Err(unsatisfiable(size)),
        };
        let Some(stream) = blobs.read(blob, bytes.clone()).await? else {
            return Ok(None);
        };
        let mut response = self.response(status, Body::from_stream(stream))?;
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
        if status == StatusCode::PARTIAL_CONTENT {
            let place = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
            response.headers_mut().insert(header::CONTENT_RANGE, text(&place)?);
        }
        Ok(Some(response))
    }

    /// The headers of the whole object, without opening it.
    pub(crate) fn head(&self) -> Result<Response> {
        let status = if self.is_unchanged() { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let mut response = self.response(status, Body::empty())?;
        if let Some(size) = self.facts.size.filter(|_| status == StatusCode::OK) {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        }
        Ok(response)
    }

    /// RFC 9110 §13.2.2: `If-None-Match` decides if it is there, else `If-Modified-Since`.
    fn is_unchanged(&self) -> bool {
        if let Some(condition) = self.request.get(header::IF_NONE_MATCH) {
            let tags = condition.to_str().unwrap_or_default();
            return self.facts.e_tag.as_deref().is_some_and(|own| {
                tags.trim() == "*" || tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == own)
            });
        }
        match (date(self.request, &header::IF_MODIFIED_SINCE), self.modified_at()) {
            (Some(since), Some(modified)) => modified <= since,
            _ => false,
        }
    }

    /// RFC 9110 §13.1.5: a range of another version is of no use.
    fn range_applies(&self) -> bool {
        let Some(condition) = self.request.get(header::IF_RANGE).and_then(|value| value.to_str().ok()) else {
            return true;
        };
        match self.facts.e_tag.as_deref() {
            Some(own) if condition.trim() == own => true,
            _ => date(self.request, &header::IF_RANGE).is_some_and(|at| Some(at) == self.modified_at()),
        }
    }

    /// When these bytes were stored, in whole seconds as HTTP counts them.
    fn modified_at(&self) -> Option<Timestamp> {
        let stored =
            self.facts.last_modified.as_deref().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        stored.or(self.object.updated_at)?.replace_nanosecond(0).ok()
    }

    fn response(&self, status: StatusCode, body: Body) -> Result<Response> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
        headers.insert(header::CONTENT_TYPE, text(served_type(self.facts.mimetype.as_deref()))?);
        headers.insert(ROBOTS, text(self.facts.x_robots_tag.as_deref().unwrap_or("none"))?);
        validators(headers, &self.facts, self.modified_at())?;
        if let Some(encoding) = &self.facts.content_encoding {
            headers.insert(header::CONTENT_ENCODING, text(encoding)?);
        }
        match self.presentation.expires {
            Some(at) => headers.insert(header::EXPIRES, http_date(at)?),
            None => headers.insert(
                header::CACHE_CONTROL,
                text(self.facts.cache_control.as_deref().unwrap_or("no-cache"))?,
            ),
        };
        if let Some(name) = self.presentation.download {
            headers.insert(header::CONTENT_DISPOSITION, disposition(name)?);
        }
        Ok(response)
    }
}

/// `ETag` and `Last-Modified`.
pub(crate) fn validators(
    headers: &mut HeaderMap,
    facts: &Metadata,
    modified_at: Option<Timestamp>,
) -> Result<()> {
    if let Some(tag) = &facts.e_tag {
        headers.insert(header::ETAG, text(tag)?);
    }
    if let Some(at) = modified_at {
        headers.insert(header::LAST_MODIFIED, http_date(at)?);
    }
    Ok(())
}

/// A page that a user uploaded is shown as its source, and what has no type of its own is only bytes.
fn served_type(stored: Option<&str>) -> &str {
    match stored {
        Some(kind) if kind.to_ascii_lowercase().contains("text/html") => "text/plain",
        Some(kind) if kind.contains('/') => kind,
        _ => "application/octet-stream",
    }
}

/// RFC 6266, with the name in the encoding of RFC 8187.
fn disposition(name: &str) -> Result<HeaderValue> {
    if name.is_empty() {
        return Ok(HeaderValue::from_static("attachment;"));
    }
    let name = utf8_percent_encode(name, UNRESERVED);
    text(&format!("attachment; filename={name}; filename*=UTF-8''{name}"))
}

/// Rows that users' SQL wrote may hold anything: what is no header value is the row's fault, not the caller's.
fn text(value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|error| {
        let message = "the object's metadata cannot be sent as headers";
        crate::error::INVALID_REQUEST.error(message).caused_by(error)
    })
}

fn http_date(at: Timestamp) -> Result<HeaderValue> {
    text(&httpdate::fmt_http_date(at.into()))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let parsed = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()?;
    Some(OffsetDateTime::from(parsed))
}

fn unsatisfiable(size: u64) -> Error {
    let error = INVALID_RANGE.error("invalid range provided");
    match HeaderValue::from_str(&format!("bytes */{size}")) {
        Ok(value) => error.with_header(header::CONTENT_RANGE, value),
        Err(_) => error,
    }
}

/// A row without its bytes: it came by SQL, or a backup held only the database.
pub(crate) fn bytes_missing() -> Error {
    NO_SUCH_KEY
        .error("The resource was not found")
        .with_details(json!({ "error": "Not found" }))
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(metadata: serde_json::Value) -> StoredObject {
        StoredObject {
            name: "a.txt".into(),
            bucket_id: "b".into(),
            owner: None,
            owner_id: None,
            version: None,
            id: Uuid::nil(),
            updated_at: None,
            created_at: None,
            last_accessed_at: None,
            metadata: Some(metadata),
            user_metadata: None,
        }
    }

    fn stored() -> StoredObject {
        object(json!({
            "eTag": "\"abc\"", "size": 10, "mimetype": "text/html; charset=utf-8", "cacheControl": "max-age=60",
            "lastModified": "2026-11-22T15:00:00.5Z"
        }))
    }

    fn head(
        object: &StoredObject,
        request: &[(HeaderName, &'static str)],
        presentation: &Presentation<'_>,
    ) -> Response {
        let request =
            request.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        Serving::new(object, &request, presentation).head().unwrap()
    }

    #[test]
    fn a_stored_page_does_not_act_in_a_browser() {
        let response = head(&stored(), &[], &Presentation::default());

        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/plain");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["content-security-policy"], "sandbox");
        assert_eq!(headers["x-robots-tag"], "none");
        assert_eq!(headers["cache-control"], "max-age=60");
        assert_eq!(headers["last-modified"], "Sun, 22 Nov 2026 15:00:00 GMT");
        assert_eq!(headers["content-length"], "10");
    }

    #[test]
    fn a_client_that_has_it_gets_304() {
        for (name, value, expected) in [
            (header::IF_NONE_MATCH, "\"abc\"", 304),
            (header::IF_NONE_MATCH, "\"x\", W/\"abc\"", 304),
            (header::IF_NONE_MATCH, "*", 304),
            (header::IF_NONE_MATCH, "\"x\"", 200),
            (header::IF_MODIFIED_SINCE, "Sun, 22 Nov 2026 15:00:00 GMT", 304),
            (header::IF_MODIFIED_SINCE, "Sun, 22 Nov 2026 14:59:59 GMT", 200),
            (header::IF_MODIFIED_SINCE, "yesterday", 200),
        ] {
            let status = head(&stored(), &[(name.clone(), value)], &Presentation::default()).status();
            assert_eq!(status.as_u16(), expected, "{name}: {value}");
        }
        let both =
            [(header::IF_NONE_MATCH, "\"x\""), (header::IF_MODIFIED_SINCE, "Sun, 22 Nov 2026 15:00:00 GMT")];
        assert_eq!(head(&stored(), &both, &Presentation::default()).status(), 200, "the tag decides");
    }

    #[test]
    fn a_download_carries_its_name_in_both_forms() {
        let shown = |download| {
            let presentation = Presentation { download: Some(download), expires: None };
            let response = head(&stored(), &[], &presentation);
            response.headers()["content-disposition"].to_str().unwrap().to_owned()
        };

        assert_eq!(shown(""), "attachment;");
        assert_eq!(shown("a.txt"), "attachment; filename=a.txt; filename*=UTF-8''a.txt");
        assert_eq!(
            shown("é\"\r\n;"),
            "attachment; filename=%C3%A9%22%0D%0A%3B; filename*=UTF-8''%C3%A9%22%0D%0A%3B"
        );
    }

    #[test]
    fn a_row_that_sql_wrote_is_served_as_far_as_it_goes() {
        let nothing = object(json!({"size": "ten", "mimetype": 5}));

        let response = head(&nothing, &[], &Presentation::default());

        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let broken = object(json!({"cacheControl": "a\r\nb: c"}));
        assert!(Serving::new(&broken, &HeaderMap::new(), &Presentation::default()).head().is_err());
    }
}
