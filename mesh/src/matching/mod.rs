//! Which requests are meant: one judgement for routes, policies and limits.
//!
//! A request's path is [`normalise`]d once, at the door; that one string is judged and passed on, so that nobody
//! decides on a path that somebody else reads differently:
//!
//! * Dot segments are refused in every spelling. Unreserved characters have one spelling, the plain one.
//! * An encoded slash is part of a segment (RFC 3986 §2.2), as in `/object/a%2Fb`: neither a route nor a policy for
//!   `/object/a/b` is for it. A program that decodes before it routes would see another path, so a
//!   [policy](crate::policy) lets such a request in only if it lets both readings in.
//! * Empty segments stay, since an object's name may hold them: `/a//b` is not `/a/b`. A program that merges slashes
//!   sees `/a/b` all the same, and gains nothing by it: policies only ever allow, and whatever allows `/a//b` (a
//!   prefix, or the rest of a template) also allows `/a/b`. What is written for `/a/b` alone does not speak for
//!   `/a//b`, so a limit that must not be evaded belongs on a prefix or on everything.

mod escape;
mod host;
mod matcher;
mod path;
mod query;
mod table;

use http::header::HOST;
use http::{HeaderMap, Method, Request};

pub(crate) use host::HostPattern;
pub(crate) use matcher::Matcher;
pub(crate) use path::normalise;
pub(crate) use table::RouteTable;

/// What of a request is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    /// The host that was asked for, with or without a port.
    pub(crate) host: &'a str,
    /// The method.
    pub(crate) method: &'a Method,
    /// The path, as [`normalise`] gave it.
    pub(crate) path: &'a str,
    /// The query, without its question mark.
    pub(crate) query: Option<&'a str>,
    /// The headers.
    pub(crate) headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// The head of `request`, whose path was normalised to `path`.
    ///
    /// The host is the target's, or else the `Host` header's (RFC 9112 §3.2.2); empty if there is none.
    pub(crate) fn of<B>(request: &'a Request<B>, path: &'a str) -> Head<'a> {
        let header = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
        Head {
            host: request.uri().host().or_else(header).unwrap_or_default(),
            method: request.method(),
            path,
            query: request.uri().query(),
            headers: request.headers(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_names_the_host_before_the_header_does() {
        let host = |uri: &str, header: &str| {
            let request = Request::get(uri).header(HOST, header).body(()).unwrap();
            Head::of(&request, "/").host.to_owned()
        };

        assert_eq!(host("http://data.mesh:80/a", "auth.mesh"), "data.mesh");
        assert_eq!(host("/a", "auth.mesh:81"), "auth.mesh:81");
    }

    #[test]
    fn a_request_without_host_has_an_empty_one() {
        let request = Request::get("/a?b=c").body(()).unwrap();

        let head = Head::of(&request, "/a");

        assert_eq!((head.host, head.query), ("", Some("b=c")));
    }
}
