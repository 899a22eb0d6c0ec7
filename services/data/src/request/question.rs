//! The part of a request's head that says what is asked for; the rest says who asks.

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RANGE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::profile::{ACCEPT_PROFILE, CONTENT_PROFILE};

/// The headers that the meaning of a GET or HEAD depends on: parsing sees no others. A request of a batch has these of its
/// own.
pub(crate) const HEADERS: [HeaderName; 6] =
    [ACCEPT, CONTENT_TYPE, RANGE, HeaderName::from_static("prefer"), ACCEPT_PROFILE, CONTENT_PROFILE];

/// What is asked for. Two reads that are equal mean the same at the same project, whoever asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) address: PathAndQuery,
    pub(crate) headers: HeaderMap,
}

impl Question {
    /// The question of a request.
    pub(crate) fn of(parts: &Parts) -> Question {
        let mut headers = HeaderMap::new();
        for name in &HEADERS {
            for value in parts.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let address = parts.uri.path_and_query().cloned();
        let address = address.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Question { method: parts.method.clone(), address, headers }
    }

    /// Whether it is a read that says all in its head.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.address.as_str().len() + self.headers.values().map(HeaderValue::len).sum::<usize>()
    }

    /// A copy that shares nothing with the buffer which the request was read into.
    pub(crate) fn detached(&self) -> Option<Question> {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        let address = Bytes::copy_from_slice(self.address.as_str().as_bytes());
        let address = PathAndQuery::from_maybe_shared(address).ok()?;
        Some(Question { method: self.method.clone(), address, headers })
    }
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.method.hash(state);
        self.address.as_str().hash(state);
        for value in HEADERS.iter().flat_map(|name| self.headers.get_all(name)) {
            value.hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(address: &str, headers: &[(&str, &str)]) -> Question {
        let mut request = http::Request::builder().uri(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Question::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn who_asks_makes_no_difference() {
        let plain = question("/todos?select=id", &[]);

        assert_eq!(question("/todos?select=id", &[("authorization", "Bearer a"), ("cookie", "b")]), plain);
        assert_eq!(question("http://here/todos?select=id", &[]), plain);
        assert_eq!(plain.detached().unwrap(), plain);
    }

    #[test]
    fn what_is_asked_for_does() {
        let plain = question("/todos", &[]);
        for header in HEADERS {
            assert_ne!(question("/todos", &[(header.as_str(), "a")]), plain, "{header}");
        }
        let twice = question("/todos", &[("prefer", "a"), ("prefer", "b")]);
        assert_ne!(question("/todos", &[("prefer", "a")]), twice);
        assert_eq!(twice.detached().unwrap(), twice);
        assert_ne!(question("/todos?id=eq.1", &[]), plain);
        assert_ne!(Question { method: Method::HEAD, ..question("/todos", &[]) }, plain);
    }
}
