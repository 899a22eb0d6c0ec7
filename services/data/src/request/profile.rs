//! Which exposed schema a request works in: `Accept-Profile` for reading, `Content-Profile` for the rest.

use base::Result;
use http::{HeaderMap, HeaderName, Method};

use crate::error::SCHEMA;

/// The schema to read from.
pub(crate) const ACCEPT_PROFILE: HeaderName = HeaderName::from_static("accept-profile");
/// The schema of everything else.
pub(crate) const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");

/// The schema, and whether the answer says which it was.
///
/// Errors: PGRST106 for a schema that is not exposed.
pub(crate) fn schema(method: &Method, headers: &HeaderMap, exposed: &[String]) -> Result<(String, bool)> {
    let writes = matches!(*method, Method::POST | Method::PATCH | Method::PUT | Method::DELETE);
    let header = if writes { CONTENT_PROFILE } else { ACCEPT_PROFILE };
    let asked = headers.get(header).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let default = exposed.first().cloned().unwrap_or_default();
    match asked {
        None => Ok((default, exposed.len() > 1)),
        Some(schema) if exposed.contains(&schema) => Ok((schema, true)),
        Some(schema) => Err(SCHEMA
            .error(format!("Invalid schema: {schema}"))
            .with_hint(format!("Only the following schemas are exposed: {}", exposed.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed() -> Vec<String> {
        vec!["public".to_owned(), "v2".to_owned()]
    }

    fn header(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), http::HeaderValue::from_static(value))])
    }

    #[test]
    fn reading_and_writing_have_a_header_each() {
        let accept = header("accept-profile", "v2");

        assert_eq!(schema(&Method::GET, &accept, &exposed()).unwrap().0, "v2");
        assert_eq!(schema(&Method::POST, &accept, &exposed()).unwrap().0, "public");
        assert_eq!(schema(&Method::POST, &header("content-profile", "v2"), &exposed()).unwrap().0, "v2");
    }

    #[test]
    fn a_schema_that_is_not_exposed_is_refused() {
        let error = schema(&Method::GET, &header("accept-profile", "auth"), &exposed()).unwrap_err();

        assert_eq!(error.code.name(), "PGRST106");
        assert_eq!(error.hint.as_deref(), Some("Only the following schemas are exposed: public, v2"));
    }

    #[test]
    fn one_schema_alone_is_not_named() {
        assert!(!schema(&Method::GET, &HeaderMap::new(), &["public".to_owned()]).unwrap().1);
        assert!(schema(&Method::GET, &HeaderMap::new(), &exposed()).unwrap().1);
    }
}
