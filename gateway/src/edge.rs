//! The edge table: public path → service, and which key it takes. The one place where public paths are known.

use base::error::{BAD_REQUEST, FORBIDDEN, NOT_FOUND};
use base::{Error, Result};

/// Which key a request must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRule {
    /// None: links in mails, public keys, public and signed objects. A key that is there is still used.
    Open,
    /// Any key of the project.
    Key,
    /// The service key.
    ServiceKey,
    /// Nobody gets in.
    Blocked,
}

/// One row.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The label in records.
    pub(crate) name: &'static str,
    path: Path,
    /// The service behind it.
    pub(crate) service: &'static str,
    /// What of the path the service does not see.
    strip: &'static str,
    pub(crate) key: KeyRule,
    /// Largest body that is passed on, in bytes. The services' own limits are lower and answer in their own shape;
    /// this one bounds what a client can make us carry. `None` where objects of any size stream through.
    pub(crate) max_body_bytes: Option<u64>,
}

#[derive(Debug)]
enum Path {
    Exact(&'static str),
    Prefix(&'static str),
}

const MIB: u64 = 1024 * 1024;

const fn rule(name: &'static str, path: Path, service: &'static str, key: KeyRule) -> Rule {
    let (strip, max_body_bytes) = match service.as_bytes() {
        b"auth" => ("/auth/v1", Some(2 * MIB)),
        b"data" => ("/rest/v1", Some(64 * MIB)),
        _ => ("/storage/v1", None),
    };
    Rule { name, path, service, strip, key, max_body_bytes }
}

/// Tried in order; the first match decides.
static TABLE: [Rule; 16] = [
    // what services ask each other
    rule("internal", Path::Prefix("/auth/v1/internal/"), "none", KeyRule::Blocked),
    rule("internal", Path::Prefix("/storage/v1/internal/"), "none", KeyRule::Blocked),
    rule("auth_verify", Path::Exact("/auth/v1/verify"), "auth", KeyRule::Open),
    // a browser goes there by itself, and comes back from the provider
    rule("auth_authorize", Path::Exact("/auth/v1/authorize"), "auth", KeyRule::Open),
    rule("auth_callback", Path::Exact("/auth/v1/callback"), "auth", KeyRule::Open),
    rule("auth_well_known", Path::Prefix("/auth/v1/.well-known/"), "auth", KeyRule::Open),
    rule("auth_health", Path::Exact("/auth/v1/health"), "auth", KeyRule::Open),
    rule("auth", Path::Prefix("/auth/v1/"), "auth", KeyRule::Key),
    // the description of the whole schema, as the original's edge has it
    rule("data_root", Path::Exact("/rest/v1/"), "data", KeyRule::ServiceKey),
    rule("data_root", Path::Exact("/rest/v1"), "data", KeyRule::ServiceKey),
    rule("data", Path::Prefix("/rest/v1/"), "data", KeyRule::Key),
    rule("storage_public", Path::Prefix("/storage/v1/object/public/"), "storage", KeyRule::Open),
    rule("storage", Path::Prefix("/storage/v1/"), "storage", KeyRule::Open),
    rule("mcp", Path::Prefix("/mcp"), "none", KeyRule::Blocked),
    rule("mcp", Path::Prefix("/api/mcp"), "none", KeyRule::Blocked),
    rule("admin", Path::Prefix("/pg/"), "none", KeyRule::Blocked),
];

/// The row for `path`.
pub(crate) fn find(path: &str) -> Result<&'static Rule> {
    let matches = |rule: &&Rule| match rule.path {
        Path::Exact(exact) => path == exact,
        Path::Prefix(prefix) => path.starts_with(prefix),
    };
    match TABLE.iter().find(matches) {
        Some(rule) if rule.key == KeyRule::Blocked => Err(FORBIDDEN.error("this path is closed")),
        Some(rule) => Ok(rule),
        None => Err(NOT_FOUND
            .error("no such route")
            .with_hint("the APIs are under /auth/v1, /rest/v1 and /storage/v1")),
    }
}

impl Rule {
    /// The path as the service sees it: never empty.
    pub(crate) fn service_path<'a>(&self, path: &'a str) -> &'a str {
        match path.strip_prefix(self.strip) {
            Some("") | None => "/",
            Some(rest) => rest,
        }
    }
}

/// Refuses paths that a service could read differently than this table: dot segments, encoded or not, and NUL.
///
/// What is authorised is what is routed: nothing is decoded or merged on the way.
pub(crate) fn check_path(path: &str) -> Result<()> {
    let decoded = percent_encoding::percent_decode_str(path).collect::<Vec<u8>>();
    let dotted = decoded.split(|b| matches!(b, b'/' | b'\\')).any(|segment| matches!(segment, b"." | b".."));
    if dotted || decoded.contains(&0) {
        return Err(bad_path());
    }
    Ok(())
}

fn bad_path() -> Error {
    BAD_REQUEST.error("the path holds a dot segment or a NUL byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_decides() {
        let rule_of = |path| find(path).map(|rule| (rule.service, rule.key));

        assert_eq!(rule_of("/auth/v1/verify").unwrap(), ("auth", KeyRule::Open));
        assert_eq!(rule_of("/auth/v1/verify/x").unwrap(), ("auth", KeyRule::Key));
        assert_eq!(rule_of("/auth/v1/authorize").unwrap(), ("auth", KeyRule::Open));
        assert_eq!(rule_of("/auth/v1/callback").unwrap(), ("auth", KeyRule::Open));
        assert_eq!(rule_of("/auth/v1/callback/x").unwrap(), ("auth", KeyRule::Key));
        assert_eq!(rule_of("/auth/v1/.well-known/jwks.json").unwrap(), ("auth", KeyRule::Open));
        assert_eq!(rule_of("/auth/v1/.well-known").unwrap(), ("auth", KeyRule::Key));
        assert_eq!(rule_of("/auth/v1/token").unwrap(), ("auth", KeyRule::Key));
        assert_eq!(rule_of("/rest/v1/").unwrap(), ("data", KeyRule::ServiceKey));
        assert_eq!(rule_of("/rest/v1/todos").unwrap(), ("data", KeyRule::Key));
        assert_eq!(rule_of("/storage/v1/object/public/a/b").unwrap(), ("storage", KeyRule::Open));
        assert_eq!(rule_of("/pg/query").unwrap_err().status(), 403);
        assert_eq!(rule_of("/AUTH/v1/token").unwrap_err().status(), 404);
        assert_eq!(rule_of("/auth%2Fv1/token").unwrap_err().status(), 404);
        assert_eq!(rule_of("//auth/v1/token").unwrap_err().status(), 404);
    }

    #[test]
    fn the_service_sees_its_own_path() {
        let path = |path| find(path).unwrap().service_path(path);

        assert_eq!(path("/auth/v1/token"), "/token");
        assert_eq!(path("/rest/v1/"), "/");
        assert_eq!(path("/rest/v1"), "/");
        assert_eq!(path("/storage/v1/object/a//b"), "/object/a//b");
    }

    #[test]
    fn dot_segments_in_any_spelling_are_refused() {
        for bad in
            ["/a/../b", "/a/%2e%2e/b", "/a/.%2E/b", "/a/..%2fb", "/a/..%5cb", "/a/./b", "/..", "/a%00b"]
        {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        for good in ["/a/b", "/a/..b", "/a/b..", "/a/...", "/a//b", "/a/%C3%A4"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
    }
}
