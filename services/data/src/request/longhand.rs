//! Reads whose query string is in the body, because no address could hold it: `QUERY`
//! (draft-ietf-httpbis-safe-method-w-body), or a `POST` that says it is a `GET`.

use base::Result;
use base::error::PAYLOAD_TOO_LARGE;
use bytes::Bytes;
use http::Method;
use http::request::Parts;

use super::accept;
use crate::error;
use crate::media::MediaType;

/// Longest query in a body. In bytes: some hundred thousand numbers in one list.
const MAX_BYTES: usize = 2 * 1024 * 1024;
const METHOD_OVERRIDE: &str = "x-http-method-override";

/// Whether the method is `QUERY`.
pub(crate) fn is_query(method: &Method) -> bool {
    method.as_str() == "QUERY"
}

/// The query string and what is left of the body. A request that asks in its body is a GET from here on.
///
/// Errors: PGRST102 for a body that is no form, 413 for one that is too long.
pub(crate) fn query(parts: &mut Parts, body: Bytes) -> Result<(String, Bytes)> {
    let mut query = parts.uri.query().unwrap_or_default().to_owned();
    let is_longhand = match parts.method {
        Method::POST => parts.headers.get(METHOD_OVERRIDE).is_some_and(|method| method.as_bytes() == b"GET"),
        _ => is_query(&parts.method),
    };
    if !is_longhand {
        return Ok((query, body));
    }
    if accept::content_type(&parts.headers) != MediaType::UrlEncoded {
        return Err(error::body("a query in the body is of the type application/x-www-form-urlencoded"));
    }
    if body.len() > MAX_BYTES {
        return Err(PAYLOAD_TOO_LARGE.error(format!("the query is over {MAX_BYTES} bytes")));
    }
    let more = std::str::from_utf8(&body).map_err(|_| error::body("the query is not UTF-8 text"))?;
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(more.trim());
    parts.method = Method::GET;
    Ok((query, Bytes::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &'static [u8],
    ) -> (Result<String>, Method) {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let query = query(&mut parts, Bytes::from_static(body)).map(|(query, _)| query);
        (query, parts.method)
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    #[test]
    fn the_body_adds_to_the_address() {
        let (query, method) = asked("QUERY", "/t?select=id", &[FORM], b"id=in.(1,2)\n");
        assert_eq!((query.unwrap().as_str(), method), ("select=id&id=in.(1,2)", Method::GET));
        let (query, method) = asked("POST", "/t", &[FORM, (METHOD_OVERRIDE, "GET")], b"id=eq.1");
        assert_eq!((query.unwrap().as_str(), method), ("id=eq.1", Method::GET));
    }

    #[test]
    fn other_requests_keep_their_body() {
        for (method, headers) in [("POST", &[FORM][..]), ("GET", &[FORM, (METHOD_OVERRIDE, "GET")])] {
            let (query, after) = asked(method, "/t?a=1", headers, b"id=eq.1");
            assert_eq!((query.unwrap().as_str(), after.as_str()), ("a=1", method));
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        assert!(asked("QUERY", "/t", &[], b"{}").0.is_err());
        assert!(asked("QUERY", "/t", &[FORM], b"\xff").0.is_err());
        assert!(asked("QUERY", "/t", &[FORM], vec![b'a'; MAX_BYTES + 1].leak()).0.is_err());
    }
}
