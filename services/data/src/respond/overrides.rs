//! What functions set in place of our status and headers: `response.status` and `response.headers`.

use base::{Error, Result};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use crate::custom_headers::settable;
use crate::error::{RESPONSE_HEADERS, RESPONSE_STATUS};

/// The status that a function set.
///
/// Errors: PGRST112.
pub(crate) fn status(set: Option<&str>) -> Result<Option<StatusCode>> {
    let Some(set) = set else { return Ok(None) };
    let digits: String = set.trim().chars().take_while(char::is_ascii_digit).collect();
    let status = digits.parse().ok().and_then(|status: u16| StatusCode::from_u16(status).ok());
    // 1xx announce an answer, they are none
    let status = status.filter(|status| !status.is_informational());
    status.map(Some).ok_or_else(|| RESPONSE_STATUS.error("response.status guc must be a valid status code"))
}

/// The headers that a function set: an array of objects with one key each; a name may repeat.
///
/// Errors: PGRST111.
pub(crate) fn headers(set: Option<&str>) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let Some(set) = set else { return Ok(Vec::new()) };
    let objects: Vec<Map<String, Value>> = serde_json::from_str(set).map_err(|_| not_headers())?;
    objects.into_iter().map(header).collect()
}

fn header(object: Map<String, Value>) -> Result<(HeaderName, HeaderValue)> {
    let mut entries = object.into_iter();
    let (Some((name, Value::String(value))), None) = (entries.next(), entries.next()) else {
        return Err(not_headers());
    };
    let name = name.parse().map_err(|_| not_headers())?;
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| not_headers())?;
    Ok((name, value))
}

fn not_headers() -> Error {
    RESPONSE_HEADERS.error(
        "response.headers guc must be a JSON array composed of objects with a single key and a string value",
    )
}

/// Replaces ours of the same names.
pub(crate) fn apply(headers: &mut HeaderMap, set: Vec<(HeaderName, HeaderValue)>) {
    let set: Vec<_> = set.into_iter().filter(|(name, _)| settable(name)).collect();
    for (name, _) in &set {
        headers.remove(name);
    }
    for (name, value) in set {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_number_between_200_and_999() {
        assert_eq!(status(Some("418")).unwrap(), Some(StatusCode::IM_A_TEAPOT));
        assert_eq!(status(None).unwrap(), None);
        for bad in ["x", "99", "100", "1000", "-1", "99999999999"] {
            assert_eq!(status(Some(bad)).unwrap_err().code, RESPONSE_STATUS, "{bad}");
        }
    }

    #[test]
    fn headers_replace_ours_and_may_repeat() {
        let set = headers(Some(r#"[{"Set-Cookie":"a=1"},{"Set-Cookie":"b=2"},{"Content-Type":"text/x"}]"#))
            .unwrap();
        let mut ours = HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )]);

        apply(&mut ours, set);

        assert_eq!(ours.get_all("set-cookie").iter().count(), 2);
        assert_eq!(ours["content-type"], "text/x");
    }

    #[test]
    fn headers_of_another_shape_are_refused() {
        for bad in [
            "{}",
            "[1]",
            r#"[{"a":1}]"#,
            r#"[{"a":"1","b":"2"}]"#,
            "[{}]",
            r#"[{"a b":"1"}]"#,
            "[{\"a\":\"x\\ny\"}]",
            "x",
        ] {
            assert_eq!(headers(Some(bad)).unwrap_err().code, RESPONSE_HEADERS, "{bad}");
        }
    }
}
