//! Changes to requests and answers: headers, path, host; and answers that send the caller elsewhere.

use std::borrow::Cow;

use base::{Body, Response};
use http::header::{HOST, LOCATION};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, request};

use crate::resource::{Edit, Redirect, Rewrite};

/// Makes the changes: removed first, then set, then added. They were [checked](check) before.
pub(crate) fn apply(edit: &Edit, headers: &mut HeaderMap) {
    for name in &edit.remove {
        headers.remove(name);
    }
    for (name, value) in &edit.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &edit.add {
        headers.append(name, value.clone());
    }
}

/// Whether an edit leaves alone what it must: framing, the connection, the host, and headers of our own.
///
/// Errors: the first header that it must not touch.
pub(crate) fn check(edit: &Edit) -> Result<(), String> {
    let names = edit.remove.iter().chain(edit.set.iter().chain(&edit.add).map(|(name, _)| name));
    match names.into_iter().find(|name| untouchable(name.as_str()).is_some()) {
        Some(name) => Err(format!("the header {name} cannot be changed")),
        None => Ok(()),
    }
}

/// Why a header cannot be changed: those of a connection and of the framing (RFC 9110 §7.6.1, RFC 9112 §6) would let a
/// peer see other requests than were sent, the host is `rewrite`'s.
pub(crate) fn untouchable(name: &str) -> Option<&'static str> {
    const FRAMING: [&str; 11] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    if FRAMING.contains(&name) {
        return Some("it belongs to the connection or the framing");
    }
    name.starts_with(base::header::PREFIX).then_some("it is the mesh's own")
}

/// Whether a rewrite can be made at all: a path from `/` without query and dot segments, and a host.
///
/// Errors: what cannot be.
pub(crate) fn check_rewrite(rewrite: &Rewrite) -> Result<(), String> {
    rewrite.path.as_deref().map(check_path).transpose()?;
    rewrite.host.as_deref().map(check_host).transpose()?;
    Ok(())
}

/// Errors: no request can be rewritten to `path`.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    let whole = path.parse::<PathAndQuery>();
    if !path.starts_with('/') || path.contains(['?', '#']) || whole.is_err() || has_dot_segment(path) {
        return Err(format!("a request cannot be rewritten to the path {path:?}"));
    }
    Ok(())
}

/// Errors: `host` is none.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    authority(host).map(drop)
}

/// Puts another path in the place of `prefix`, or of the whole path if there is none, and another host in both places
/// where a request has one. The query stays as it is.
///
/// Exactly one slash is where the new path and the rest meet if one of them had one there.
///
/// Errors: the path does not begin with `prefix`, or the result would be no path or leave its place by `..`.
pub(crate) fn rewrite(
    rewrite: &Rewrite,
    prefix: Option<&str>,
    head: &mut request::Parts,
) -> Result<(), String> {
    let mut uri = head.uri.clone().into_parts();
    if let Some(path) = &rewrite.path {
        let old = uri.path_and_query.as_ref();
        let (old_path, query) = old.map_or(("/", None), |old| (old.path(), old.query()));
        let path = match prefix {
            Some(prefix) => Cow::Owned(join(path, prefix, old_path)?),
            None => Cow::Borrowed(path.as_str()),
        };
        if has_dot_segment(&path) {
            return Err(format!("the path {old_path} would leave its place when it is rewritten"));
        }
        let whole = query.map_or(Cow::Borrowed(&*path), |query| Cow::Owned(format!("{path}?{query}")));
        let whole = whole.parse().map_err(|_| format!("{path} is no path"))?;
        uri.path_and_query = Some(whole);
    }
    if let Some(host) = &rewrite.host {
        let (authority, value) = authority(host)?;
        head.headers.insert(HOST, value);
        uri.authority = uri.authority.map(|_| authority);
    }
    head.uri = Uri::from_parts(uri).map_err(|_| "the rewritten address is none".to_owned())?;
    Ok(())
}

/// `path` with `new` in the place of `prefix`.
fn join(new: &str, prefix: &str, path: &str) -> Result<String, String> {
    let rest =
        path.strip_prefix(prefix).ok_or_else(|| format!("the path {path} does not begin with {prefix}"))?;
    let slash_between = prefix.ends_with('/') || rest.starts_with('/');
    let (begin, end) = match slash_between {
        true => (new.strip_suffix('/').unwrap_or(new), rest.strip_prefix('/').unwrap_or(rest)),
        false => (new, rest),
    };
    let slash = if slash_between { "/" } else { "" };
    Ok(format!("{begin}{slash}{end}"))
}

/// Whether a segment is `.` or `..`, however it is written: what it leads to is not under the path that was meant.
fn has_dot_segment(path: &str) -> bool {
    let plain = match path.contains('%') {
        true => {
            let lower = path.to_ascii_lowercase();
            Cow::Owned(lower.replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\"))
        }
        false => Cow::Borrowed(path),
    };
    plain.split(['/', '\\']).any(|segment| segment == "." || segment == "..")
}

fn authority(host: &str) -> Result<(Authority, HeaderValue), String> {
    let bad = || format!("{host:?} is no host");
    let authority: Authority = host.parse().map_err(|_| bad())?;
    if authority.host().is_empty() || host.contains('@') {
        return Err(bad());
    }
    Ok((authority, host.parse().map_err(|_| bad())?))
}

/// Whether a redirect can be answered: 301, 302, 303, 307 or 308, to a URL or a path.
///
/// Errors: what cannot be.
pub(crate) fn check_redirect(redirect: &Redirect) -> Result<(), String> {
    check_status(redirect.status)?;
    check_location(&redirect.location)
}

/// Errors: `status` sends nobody elsewhere.
pub(crate) fn check_status(status: u16) -> Result<(), String> {
    match status {
        301 | 302 | 303 | 307 | 308 => Ok(()),
        _ => Err(format!("{status} is none of 301, 302, 303, 307, 308")),
    }
}

/// Errors: nobody can be sent to `location`.
pub(crate) fn check_location(location: &str) -> Result<(), String> {
    let fixed = location.strip_suffix("/*").unwrap_or(location);
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let is_url = fixed.parse::<Uri>().is_ok_and(|uri| uri.authority().is_some() && uri.scheme().is_some());
    let is_value = HeaderValue::from_str(location).is_ok() && !location.contains([' ', '\\']);
    match is_value && (is_path || is_url) && !fixed.contains('*') {
        true => Ok(()),
        false => Err(format!("{location:?} is neither a path nor a URL")),
    }
}

/// The answer that sends the caller of `uri` elsewhere. The redirect was [checked](check_redirect) before.
///
/// A location that ends in `/*` keeps the way: `*` stands for the path without its leading slashes, and the query.
/// Without them nothing that the caller writes can become a host.
///
/// Errors: the location would be no header value.
pub(crate) fn redirect(redirect: &Redirect, uri: &Uri) -> Result<Response, String> {
    let location = match redirect.location.strip_suffix('*') {
        Some(base) if base.ends_with('/') => {
            let way = uri.path().trim_start_matches(['/', '\\']);
            let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
            Cow::Owned(format!("{base}{way}{query}"))
        }
        _ => Cow::Borrowed(&*redirect.location),
    };
    let bad = || format!("a redirect cannot lead to {location:?}");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(redirect.status).map_err(|_| bad())?;
    let value = HeaderValue::from_bytes(location.as_bytes()).map_err(|_| bad())?;
    response.headers_mut().insert(LOCATION, value);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn edit(remove: &[&'static str], set: &[(&'static str, &'static str)]) -> Edit {
        Edit {
            remove: remove.iter().map(|name| HeaderName::from_static(name)).collect(),
            set: set.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect(),
            add: vec![(HeaderName::from_static("x-b"), HeaderValue::from_static("added"))],
        }
    }

    fn rewritten(path: &str, prefix: Option<&str>, uri: &str) -> Result<String, String> {
        let (mut head, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
        let spec = Rewrite { path: Some(path.to_owned()), host: None };
        check_rewrite(&spec)?;
        rewrite(&spec, prefix, &mut head).map(|()| head.uri.to_string())
    }

    fn location(location: &str, uri: &str) -> String {
        let spec = Redirect { status: 302, location: location.to_owned() };
        check_redirect(&spec).unwrap();
        let response = redirect(&spec, &uri.parse().unwrap()).unwrap();
        response.headers()[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn headers_are_removed_then_set_then_added() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-b", HeaderValue::from_static("2"));
        headers.append("x-b", HeaderValue::from_static("3"));

        apply(&edit(&["x-a"], &[("x-b", "set")]), &mut headers);

        assert!(!headers.contains_key("x-a"));
        assert_eq!(headers.get_all("x-b").iter().collect::<Vec<_>>(), ["set", "added"]);
    }

    #[test]
    fn framing_the_connection_the_host_and_our_own_headers_cannot_be_changed() {
        let fixed = [
            "connection",
            "content-length",
            "expect",
            "host",
            "http2-settings",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "x-meshbase-project",
        ];

        for name in fixed {
            assert!(check(&edit(&[name], &[])).is_err(), "remove {name}");
            assert!(check(&edit(&[], &[(name, "1")])).is_err(), "set {name}");
            let add = vec![(HeaderName::from_static(name), HeaderValue::from_static("1"))];
            assert!(check(&Edit { add, ..Edit::default() }).is_err(), "add {name}");
        }
        assert_eq!(check(&edit(&["x-a"], &[("authorization", "1")])), Ok(()));
    }

    #[test]
    fn a_prefix_is_replaced_and_the_query_kept() {
        let cases = [
            ("/v2", Some("/v1"), "/v1/users?id=1", "/v2/users?id=1"),
            ("/", Some("/v1"), "/v1/users", "/users"),
            ("/", Some("/v1"), "/v1", "/"),
            ("/v2", Some("/v1/"), "/v1/users", "/v2/users"),
            ("/v2/", Some("/v1"), "/v1/users", "/v2/users"),
            ("/v2", Some("/v1"), "/v1", "/v2"),
            ("/users", Some("/user-"), "/user-ann", "/usersann"),
            ("/all", None, "/v1/users?id=1", "/all?id=1"),
            ("/v2", Some("/v1"), "http://data.mesh/v1/users", "http://data.mesh/v2/users"),
        ];

        for (path, prefix, uri, expected) in cases {
            assert_eq!(
                rewritten(path, prefix, uri).as_deref(),
                Ok(expected),
                "{path} for {prefix:?} of {uri}"
            );
        }
    }

    #[test]
    fn a_rewritten_path_does_not_leave_its_place() {
        for uri in ["/v1/../admin", "/v1/%2e%2E/admin", "/v1/.", "/v1..", "/v1/b\\..\\c", "/v1/b%2F..%5Cc"] {
            let prefix = if uri == "/v1.." { "/v1" } else { "/v1/" };
            let path = if uri == "/v1.." { "/" } else { "/public" };
            assert!(rewritten(path, Some(prefix), uri).is_err(), "{uri}");
        }
        assert!(rewritten("/public", Some("/v2"), "/v1").is_err(), "the prefix is not there");
    }

    #[test]
    fn rewrites_that_cannot_be_are_refused() {
        let rewrite = |path: Option<&str>, host: Option<&str>| Rewrite {
            path: path.map(str::to_owned),
            host: host.map(str::to_owned),
        };

        for path in ["", "v1", "/a?b", "/a#b", "/a/../b", "/a b"] {
            assert!(check_rewrite(&rewrite(Some(path), None)).is_err(), "{path}");
        }
        for host in ["", "a b", "user@host", "host/path", ":80"] {
            assert!(check_rewrite(&rewrite(None, Some(host))).is_err(), "{host}");
        }
        assert_eq!(check_rewrite(&rewrite(Some("/a"), Some("host:80"))), Ok(()));
    }

    #[test]
    fn the_host_is_replaced_in_the_header_and_in_an_absolute_address() {
        for (uri, expected) in [("http://a.mesh/x?y", "http://b.test:81/x?y"), ("/x?y", "/x?y")] {
            let (mut head, ()) = http::Request::get(uri).header("host", "a").body(()).unwrap().into_parts();
            let spec = Rewrite { path: None, host: Some("b.test:81".to_owned()) };

            rewrite(&spec, Some("/none"), &mut head).unwrap();

            assert_eq!(
                (head.uri.to_string().as_str(), head.headers[HOST].as_bytes()),
                (expected, &b"b.test:81"[..])
            );
        }
    }

    #[test]
    fn a_redirect_may_keep_the_way() {
        assert_eq!(location("https://new.example/*", "/a/b?c=d"), "https://new.example/a/b?c=d");
        assert_eq!(location("https://new.example/x", "/a/b?c=d"), "https://new.example/x");
        assert_eq!(location("/new/*", "http://a.mesh/b"), "/new/b");
    }

    #[test]
    fn a_caller_cannot_choose_the_host_of_a_redirect() {
        assert_eq!(location("/*", "//evil.example/"), "/evil.example/");
        assert_eq!(location("/*", "/\\evil.example/"), "/evil.example/");
        assert_eq!(location("/*", "/\\//\\evil.example"), "/evil.example");
    }

    #[test]
    fn redirects_that_cannot_be_are_refused() {
        let redirect = |status, location: &str| Redirect { status, location: location.to_owned() };
        for location in
            ["", "x", "//evil.example", "https://a.example*", "/a*", "/*/*", "/a\r\nb", "/a b", "/\\a"]
        {
            assert!(check_redirect(&redirect(302, location)).is_err(), "{location}");
        }
        for status in [200, 300, 304, 305, 306, 309, 999] {
            assert!(check_redirect(&redirect(status, "/a")).is_err(), "{status}");
        }
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(check_redirect(&redirect(status, "https://a.example/*")), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn a_rewrite_either_fails_or_stays_under_the_new_path(rest in "[a-z./%2eE\\\\]{0,12}", query in "[a-z=&]{0,6}") {
            let uri = format!("/v1/{rest}?{query}");
            prop_assume!(uri.parse::<Uri>().is_ok());

            if let Ok(path) = rewritten("/public", Some("/v1/"), &uri) {
                let (path, kept) = path.split_once('?').unwrap();
                prop_assert!(path.starts_with("/public/"));
                prop_assert!(path.split('/').all(|segment| segment != ".." && segment != "."));
                prop_assert_eq!(kept, query);
            }
        }
    }
}
