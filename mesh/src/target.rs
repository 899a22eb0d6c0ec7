//! What a request is for, made sure of at the door: its host, and its path in its one normal form.

use base::Request;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Uri, Version};

use crate::matching::normalise;

/// Whether a request says clearly which host it is for (RFC 9112 §3.2, RFC 9113 §8.3.1): one host, nobody's password
/// in it, and `CONNECT` for a host and a port alone.
pub(crate) fn has_clear_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let of_target = request.uri().authority().map(Authority::as_str);
    let of_header = host.map(|host| host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()));
    let is_clear = |authority: &str| {
        let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
        !authority.contains('@') && port.is_none_or(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
    };
    if second.is_some() || of_target.is_some_and(|authority| !is_clear(authority)) {
        return false;
    }
    match of_header {
        Some(None) => return false,
        Some(Some(authority)) if !is_clear(authority.as_str()) => return false,
        // HTTP/1.1 in absolute form has the target decide; in HTTP/2 both must say the same
        Some(Some(authority))
            if request.version() == Version::HTTP_2 && of_target.is_some_and(|t| authority != t) =>
        {
            return false;
        }
        Some(Some(_)) => {}
        None if of_target.is_none() && request.version() > Version::HTTP_10 => return false,
        None => {}
    }
    request.method() != Method::CONNECT || (of_target.is_some() && request.uri().path_and_query().is_none())
}

/// Puts the path into the form that routes and policies judge, which is then the one that is passed on.
///
/// Errors: the path cannot be judged safely.
pub(crate) fn normalise_path(request: &mut Request) -> Result<(), ()> {
    let path = match normalise(request.uri().path()).map_err(drop)? {
        std::borrow::Cow::Borrowed(_) => return Ok(()),
        std::borrow::Cow::Owned(path) => path,
    };
    let mut parts = request.uri().clone().into_parts();
    let target = match request.uri().query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    parts.path_and_query = Some(target.map_err(drop)?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(drop)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use base::Body;

    use super::*;

    fn request(method: &str, target: &str, hosts: &[&str], version: Version) -> Request {
        let mut request = http::Request::builder().method(method).uri(target).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn a_request_names_one_host() {
        for (method, target, hosts, version, clear) in [
            ("GET", "/", &["a.mesh"][..], Version::HTTP_11, true),
            ("GET", "/", &["a.mesh:80"], Version::HTTP_11, true),
            ("GET", "/", &["[::1]:80"], Version::HTTP_11, true),
            ("GET", "/", &["[::1]"], Version::HTTP_11, true),
            ("GET", "/", &[], Version::HTTP_10, true),
            ("GET", "http://a.mesh/", &["b.mesh"], Version::HTTP_11, true),
            ("GET", "http://a.mesh/", &["a.mesh"], Version::HTTP_2, true),
            ("GET", "http://a.mesh/", &[], Version::HTTP_2, true),
            ("CONNECT", "a.mesh:80", &["a.mesh"], Version::HTTP_11, true),
            ("GET", "/", &[], Version::HTTP_11, false),
            ("GET", "/", &["a.mesh", "a.mesh"], Version::HTTP_11, false),
            ("GET", "/", &["a.mesh", "b.mesh"], Version::HTTP_11, false),
            ("GET", "/", &["a mesh"], Version::HTTP_11, false),
            ("GET", "/", &["a.mesh/b"], Version::HTTP_11, false),
            ("GET", "/", &["a.mesh,b.mesh/"], Version::HTTP_11, false),
            ("GET", "/", &["me@a.mesh"], Version::HTTP_11, false),
            ("GET", "/", &["a.mesh:80x"], Version::HTTP_11, false),
            ("GET", "http://me@a.mesh/", &["a.mesh"], Version::HTTP_11, false),
            ("GET", "http://a.mesh/", &["b.mesh"], Version::HTTP_2, false),
            ("CONNECT", "/", &["a.mesh"], Version::HTTP_11, false),
        ] {
            let request = request(method, target, hosts, version);
            assert_eq!(has_clear_host(&request), clear, "{method} {target} {hosts:?} {version:?}");
        }
    }
}
