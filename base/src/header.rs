//! The headers of our own. Who sets, strips and trusts each is the table in ARCHITECTURE.md.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Everything under this prefix is ours: each inbound strips it unless policy lets the peer assert it.
pub const PREFIX: &str = "x-meshbase-";
/// The project's reference. Set by the gateway, trusted on the service's own socket.
pub const PROJECT: HeaderName = HeaderName::from_static("x-meshbase-project");
/// The calling service's name, from its mesh identity. Set by the inbound stack.
pub const PEER: HeaderName = HeaderName::from_static("x-meshbase-peer");
/// Milliseconds the caller still waits for the answer. Lowered on the way, never raised.
pub const DEADLINE: HeaderName = HeaderName::from_static("x-meshbase-deadline-ms");
/// On a response: `overload`, `tenant`, `upstream` or `refused`; see [`Fault`].
pub const FAULT: HeaderName = HeaderName::from_static("x-meshbase-fault");
/// On a response: it is not the service's own of now, but what stands in for it.
pub const DEGRADED: HeaderName = HeaderName::from_static("x-meshbase-degraded");
/// The public URL's base (`scheme://host:port`) as the client used it, for links in mails and answers.
pub const ORIGIN: HeaderName = HeaderName::from_static("x-meshbase-origin");
/// The client's address, as the gateway's trusted-proxy rule found it.
pub const CLIENT_IP: HeaderName = HeaderName::from_static("x-meshbase-client-ip");
/// One id per request, from the edge to the database.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The cookie of the console. Browsers send a host's cookies to all its ports: the gateway keeps it from services.
pub const CONSOLE_COOKIE: &str = "meshbase_console";

/// Why a service could not answer, for the mesh's response classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The endpoint has too much to do: another one may do better.
    Overload,
    /// One project's dependency is in trouble: every endpoint would answer the same.
    Tenant,
    /// Something that the service itself called failed, and its caller's proxy did what could be done about it.
    Upstream,
    /// The endpoint did not take the request and nothing of it was processed: another endpoint may.
    Refused,
}

impl Fault {
    /// The value of [`FAULT`].
    pub fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Fault::Overload => "overload",
            Fault::Tenant => "tenant",
            Fault::Upstream => "upstream",
            Fault::Refused => "refused",
        })
    }

    /// The fault that a response is marked with.
    pub fn of(headers: &HeaderMap) -> Option<Fault> {
        match headers.get(FAULT)?.as_bytes() {
            b"overload" => Some(Fault::Overload),
            b"tenant" => Some(Fault::Tenant),
            b"upstream" => Some(Fault::Upstream),
            b"refused" => Some(Fault::Refused),
            _ => None,
        }
    }
}

/// The time left by [`DEADLINE`], if the header is there and a number.
pub fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get(DEADLINE)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

/// Sets [`DEADLINE`] to the smaller of what is there and `limit`.
pub fn lower_deadline(headers: &mut HeaderMap, limit: Duration) -> Duration {
    let left = deadline(headers).map_or(limit, |there| there.min(limit));
    headers.insert(DEADLINE, HeaderValue::from(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)));
    left
}

/// Removes every header under [`PREFIX`].
pub fn strip_own(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

/// Removes the headers that belong to one connection (RFC 9110 §7.6.1) and those that `Connection` names.
///
/// Naming removes nothing that a hop of ours sets or trusts: [`PREFIX`], [`REQUEST_ID`], `Authorization`, `Host`, and
/// a proxy's `X-Forwarded-*`. Otherwise a client could take away what was said about it.
/// `keep_upgrade` leaves `Connection: upgrade` and `Upgrade` in place for a request that asks to switch protocols.
pub fn strip_hop_by_hop(headers: &mut HeaderMap, keep_upgrade: bool) {
    let named: Vec<HeaderName> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !is_kept(name))
        .collect();
    let upgrade = if keep_upgrade { headers.get(http::header::UPGRADE).cloned() } else { None };
    for name in named {
        headers.remove(name);
    }
    for name in
        ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
    {
        headers.remove(name);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(http::header::UPGRADE, upgrade);
    }
}

/// Whether `Connection` may name a header without effect.
fn is_kept(name: &HeaderName) -> bool {
    [http::header::AUTHORIZATION, http::header::HOST, REQUEST_ID].contains(name)
        || name.as_str().starts_with(PREFIX)
        || name.as_str().starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_lowered_and_never_raised() {
        let mut headers = HeaderMap::new();
        headers.insert(DEADLINE, HeaderValue::from_static("200"));

        assert_eq!(lower_deadline(&mut headers, Duration::from_secs(30)), Duration::from_millis(200));
        assert_eq!(lower_deadline(&mut headers, Duration::from_millis(50)), Duration::from_millis(50));
        assert_eq!(headers[DEADLINE], "50");
    }

    #[test]
    fn headers_named_by_connection_go() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("close, x-secret"));
        headers.insert("x-secret", HeaderValue::from_static("1"));
        headers.insert("x-kept", HeaderValue::from_static("1"));

        strip_hop_by_hop(&mut headers, false);

        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn connection_cannot_name_away_what_we_rely_on() {
        let kept = ["authorization", "host", "x-request-id", "x-meshbase-project", "x-forwarded-for"];
        let mut headers = HeaderMap::new();
        for name in kept {
            headers.insert(name, HeaderValue::from_static("1"));
            headers.append("connection", HeaderValue::from_static(name));
        }

        strip_hop_by_hop(&mut headers, false);

        assert_eq!(headers.len(), kept.len());
        assert!(kept.iter().all(|name| headers.contains_key(*name)));
    }

    #[test]
    fn our_prefix_is_stripped() {
        let mut headers = HeaderMap::new();
        headers.insert(PROJECT, HeaderValue::from_static("other"));
        headers.insert("x-meshbase-anything", HeaderValue::from_static("1"));

        strip_own(&mut headers);

        assert!(headers.is_empty());
    }
}
