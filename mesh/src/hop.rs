//! What belongs to one connection stays on it.

use base::header;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE,
    HOST, SET_COOKIE, TE, TRAILER, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Removes the headers of the connection (RFC 9110 §7.6.1). `TE: trailers` is said anew to the next hop, which we are
/// able to keep: without it gRPC servers refuse.
pub(crate) fn strip(headers: &mut HeaderMap, keep_upgrade: bool) {
    let takes_trailers = has_token(headers, &TE, b"trailers");
    strip_from_answer(headers, keep_upgrade);
    headers.remove("http2-settings");
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// The same for an answer. Which trailers there will be is said anew: HTTP/1.1 sends no others.
pub(crate) fn strip_from_answer(headers: &mut HeaderMap, keep_upgrade: bool) {
    let trailers = headers.get(TRAILER).cloned();
    header::strip_hop_by_hop(headers, keep_upgrade);
    if let Some(trailers) = trailers {
        headers.insert(TRAILER, trailers);
    }
}

/// Whether a request asks for another protocol that we pass on. HTTP/2 without TLS is none: behind such a tunnel
/// nobody would judge the requests.
pub(crate) fn wants_upgrade(headers: &HeaderMap) -> bool {
    let asked = headers.contains_key(UPGRADE);
    asked && !has_token(headers, &UPGRADE, b"h2c") && !has_token(headers, &UPGRADE, b"h2")
}

/// Removes what trailers must not say (RFC 9110 §6.5.1): framing, routing, who asks, what the content is, and
/// everything of our own.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    const FORBIDDEN: [HeaderName; 9] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        COOKIE,
        HOST,
        SET_COOKIE,
    ];
    header::strip_hop_by_hop(trailers, false);
    header::strip_own(trailers);
    for name in FORBIDDEN {
        trailers.remove(name);
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &[u8]) -> bool {
    let values = headers.get_all(name).iter();
    let mut tokens = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_tunnel_past_policy_is_no_upgrade() {
        assert!(wants_upgrade(&headers(&[("upgrade", "websocket")])));
        for h2c in ["h2c", "H2C", "websocket, h2c", "h2"] {
            assert!(!wants_upgrade(&headers(&[("upgrade", h2c)])), "{h2c}");
        }
        assert!(!wants_upgrade(&HeaderMap::new()));
    }

    #[test]
    fn only_harmless_trailers_go_on() {
        let mut trailers = headers(&[
            ("grpc-status", "0"),
            ("x-checksum", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("host", "elsewhere"),
            ("authorization", "Bearer x"),
            ("x-meshbase-peer", "gateway"),
        ]);

        clean_trailers(&mut trailers);

        assert_eq!(trailers, headers(&[("grpc-status", "0"), ("x-checksum", "1")]));
    }

    #[test]
    fn trailers_are_still_asked_for() {
        let mut asks = headers(&[("te", "deflate, trailers"), ("connection", "te")]);

        strip(&mut asks, false);

        assert_eq!(asks, headers(&[("te", "trailers")]));
    }
}
