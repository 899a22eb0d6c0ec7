//! The last good answers of a route, for when the service cannot answer.
//!
//! Operators ask for it route by route, and an answer is only ever given to the same request of the same caller: the
//! key holds everything that says who asks and for what. So answers marked `private` may be kept. What must not be
//! given without asking the service is not: `no-store`, `no-cache`, `must-revalidate` and `proxy-revalidate`
//! (RFC 9111 §5.2.2), what sets a cookie, and what varies by a header that is not in the key. An answer that says
//! something else meanwhile, such as that the caller may not see it any more, ends what was kept.

mod memory;
mod tee;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base::header::{DEGRADED, FAULT, ORIGIN, PEER, PROJECT, REQUEST_ID};
use base::{Body, Response};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, HOST, IF_RANGE,
    RANGE, SET_COOKIE, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, request};
use http_body::Body as _;
use tokio::time::Instant;

pub(crate) use memory::Key;
use memory::{Answer, Memory};
use tee::Keeping;

use crate::resource::Stale;

/// Longer bodies are not kept.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// An answer younger than this is not replaced: a busy route does not copy each one.
const FRESH: Duration = Duration::from_secs(1);
/// The request headers that are always in the key.
const COVERED: [HeaderName; 11] = [
    AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("apikey"),
    ACCEPT,
    ACCEPT_ENCODING,
    RANGE,
    IF_RANGE,
    HeaderName::from_static("accept-profile"),
    HeaderName::from_static("prefer"),
    HOST,
    PROJECT,
];

/// As [`COVERED`], of those that the mesh sets: who calls, and the public address that links in answers begin with.
const COVERED_OWN: [HeaderName; 2] = [PEER, ORIGIN];

/// The last good answers of one route.
#[derive(Clone, Debug)]
pub(crate) struct StaleCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_age: Duration,
    vary: Vec<HeaderName>,
    memory: Mutex<Memory>,
}

impl StaleCache {
    /// An empty memory as `spec` has it.
    pub(crate) fn new(spec: &Stale) -> StaleCache {
        StaleCache(Arc::new(Inner {
            max_age: spec.max_age,
            vary: spec.vary.clone(),
            memory: Mutex::new(Memory::new(spec.max_bytes)),
        }))
    }

    /// The key of a request. `None` if its answer is none to keep: not a `GET`, with a body, or marked `no-store`.
    pub(crate) fn key(&self, head: &request::Parts) -> Option<Key> {
        let length = head.headers.get(CONTENT_LENGTH);
        let has_body =
            length.is_some_and(|length| length != "0") || head.headers.contains_key(TRANSFER_ENCODING);
        if head.method != Method::GET || has_body || has_directive(&head.headers, &["no-store"]) {
            return None;
        }
        let mut key = Vec::with_capacity(256);
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        push(&mut key, head.uri.authority().map_or("", |authority| authority.as_str()).as_bytes());
        push(&mut key, target.as_bytes());
        for name in COVERED.iter().chain(&COVERED_OWN).chain(&self.0.vary) {
            let values = head.headers.get_all(name);
            key.extend((values.iter().count() as u64).to_le_bytes());
            values.iter().for_each(|value| push(&mut key, value.as_bytes()));
        }
        Some(Key(key.into()))
    }

    /// Passes the answer on; once its body has ended properly, it is the last good one for `key`.
    pub(crate) fn keep(&self, key: Key, response: Response, now: Instant) -> Response {
        if !self.0.may_keep(&response) {
            if overrules(&response) {
                self.0.memory().remove(&key);
            }
            return response;
        }
        let too_long = response.body().size_hint().lower() > MAX_BODY_BYTES as u64;
        if too_long || self.0.is_fresh(&key, now) {
            return response;
        }
        let (head, body) = response.into_parts();
        let mut headers = head.headers.clone();
        base::header::strip_hop_by_hop(&mut headers, false);
        headers.remove(REQUEST_ID);
        let (cache, status) = (self.0.clone(), head.status);
        let store = move |body| cache.memory().insert(key, Answer { status, headers, body }, now);
        Response::from_parts(head, Keeping::body(body, MAX_BODY_BYTES, store))
    }

    /// The last good answer, with its age and marked as stale; `None` if there is none young enough.
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<Response> {
        let mut memory = self.0.memory();
        let age = now.saturating_duration_since(memory.kept_at(key)?);
        if age > self.0.max_age {
            memory.remove(key);
            return None;
        }
        let Answer { status, headers, body } = memory.touch(key)?;
        drop(memory);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let there = response.headers().get(AGE).and_then(|age| age.to_str().ok()?.parse::<u64>().ok());
        let age = age.as_secs().saturating_add(there.unwrap_or(0));
        response.headers_mut().insert(AGE, HeaderValue::from(age));
        response.headers_mut().insert(DEGRADED, HeaderValue::from_static("stale"));
        Some(response)
    }
}

/// Adds a text in a way that no other sequence of texts looks the same.
fn push(key: &mut Vec<u8>, text: &[u8]) {
    key.extend((text.len() as u64).to_le_bytes());
    key.extend(text);
}

/// Whether `Cache-Control` has one of `names`, with or without a value.
fn has_directive(headers: &HeaderMap, names: &[&str]) -> bool {
    let values =
        headers.get_all(CACHE_CONTROL).into_iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let mut directives = values.map(|one| one.split(|b| *b == b'=').next().unwrap_or(one).trim_ascii());
    directives.any(|one| names.iter().any(|name| one.eq_ignore_ascii_case(name.as_bytes())))
}

/// Whether an answer that is not kept says that the one before does not hold any more. A `304` says that it does;
/// trouble, and being asked too often, say nothing.
fn overrules(response: &Response) -> bool {
    let is_trouble = [FAULT, DEGRADED].iter().any(|name| response.headers().contains_key(name));
    !is_trouble && !matches!(response.status().as_u16(), 100..=199 | 304 | 408 | 429 | 500..)
}

impl Inner {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("no holder of this lock panics")
    }

    fn may_keep(&self, response: &Response) -> bool {
        const NEVER: [&str; 4] = ["no-store", "no-cache", "must-revalidate", "proxy-revalidate"];
        let headers = response.headers();
        response.status().is_success()
            && ![SET_COOKIE, FAULT, DEGRADED].iter().any(|name| headers.contains_key(name))
            && !has_directive(headers, &NEVER)
            && self.is_covered(headers)
    }

    /// Whether the answer varies by nothing that is not in the key.
    fn is_covered(&self, headers: &HeaderMap) -> bool {
        let mut names =
            headers.get_all(VARY).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        names.all(|name| {
            let name = HeaderName::from_bytes(name.trim_ascii()).ok();
            name.is_some_and(|name| COVERED.contains(&name) || self.vary.contains(&name))
        })
    }

    fn is_fresh(&self, key: &Key, now: Instant) -> bool {
        let kept_at = self.memory().kept_at(key);
        kept_at.is_some_and(|kept_at| now.saturating_duration_since(kept_at) < FRESH)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use http::StatusCode;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn cache(max_bytes: usize) -> StaleCache {
        let vary = vec![HeaderName::from_static("x-client")];
        StaleCache::new(&Stale { max_age: Duration::from_secs(60), max_bytes, vary })
    }

    fn head(uri: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn answer(headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
        let mut response = http::Response::builder();
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(body.into()).unwrap()
    }

    async fn read(response: Response) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    /// Whether the answer can be had again after it was read.
    async fn is_kept(response: Response) -> bool {
        let (cache, now) = (cache(1 << 20), Instant::now());
        let key = cache.key(&head("/a", &[])).unwrap();
        let _ = cache.keep(key.clone(), response, now).into_body().collect().await;
        cache.get(&key, now).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_answer_can_be_had_again_with_its_age() {
        let (cache, now) = (cache(1 << 20), Instant::now());
        let key = cache.key(&head("/a?b=c", &[])).unwrap();
        let good =
            answer(&[("x-a", "1"), ("age", "5"), ("x-request-id", "7"), ("connection", "close")], "body");

        assert_eq!(read(cache.keep(key.clone(), good, now)).await, "body");

        let stale = cache.get(&key, now + Duration::from_secs(30)).unwrap();
        assert_eq!(stale.headers().len(), 3);
        assert_eq!(
            (&stale.headers()["x-a"], &stale.headers()[AGE]),
            (&"1".parse().unwrap(), &"35".parse().unwrap())
        );
        assert_eq!(stale.headers()[DEGRADED], "stale");
        assert_eq!(read(stale).await, "body");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_too_old_is_gone() {
        let (cache, now) = (cache(1 << 20), Instant::now());
        let key = cache.key(&head("/a", &[])).unwrap();
        read(cache.keep(key.clone(), answer(&[], "body"), now)).await;

        assert!(cache.get(&key, now + Duration::from_secs(60)).is_some());
        assert!(cache.get(&key, now + Duration::from_secs(61)).is_none());
        assert!(cache.0.memory().kept_at(&key).is_none(), "it takes no place any more");
    }

    #[tokio::test]
    async fn only_whole_good_answers_are_kept() {
        let frames = |frames: Vec<Result<Frame<Bytes>, std::io::Error>>| {
            answer(&[], Body::new(StreamBody::new(stream::iter(frames))))
        };
        let data = || Ok(Frame::data(Bytes::from_static(b"a")));

        assert!(is_kept(answer(&[], "body")).await);
        assert!(is_kept(answer(&[], Body::empty())).await);
        assert!(is_kept(frames(vec![data(), data()])).await);
        assert!(!is_kept(frames(vec![data(), Err(std::io::Error::other("reset"))])).await);
        assert!(!is_kept(frames(vec![data(), Ok(Frame::trailers(HeaderMap::new()))])).await);
        for status in [101, 304, 404, 429, 500, 503] {
            let mut response = answer(&[], "body");
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            assert!(!is_kept(response).await, "{status}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_was_not_read_to_its_end_is_not_kept() {
        let (cache, now) = (cache(1 << 20), Instant::now());
        let key = cache.key(&head("/a", &[])).unwrap();
        let frames = [Ok::<_, std::io::Error>(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b"))];
        let mut response = cache.keep(key.clone(), answer(&[], Body::from_stream(stream::iter(frames))), now);

        response.body_mut().frame().await.unwrap().unwrap();
        drop(response);

        assert!(cache.get(&key, now).is_none());
    }

    #[tokio::test]
    async fn a_reader_may_stop_where_the_body_says_that_it_ended() {
        let (cache, now) = (cache(1 << 20), Instant::now());
        let key = cache.key(&head("/a", &[])).unwrap();
        let mut response = cache.keep(key.clone(), answer(&[], "body"), now);

        response.body_mut().frame().await.unwrap().unwrap();

        assert!(response.body().is_end_stream());
        assert!(cache.get(&key, now).is_some());
    }

    #[tokio::test]
    async fn the_length_of_a_body_is_bounded() {
        let chunks = |count: usize| {
            let chunk = Bytes::from(vec![0; MAX_BODY_BYTES / 4]);
            let chunks = (0..count).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
            answer(&[], Body::from_stream(stream::iter(chunks)))
        };

        assert!(is_kept(answer(&[], vec![0; MAX_BODY_BYTES])).await);
        assert!(!is_kept(answer(&[], vec![0; MAX_BODY_BYTES + 1])).await);
        assert!(is_kept(chunks(4)).await);
        assert!(!is_kept(chunks(5)).await);
    }

    #[tokio::test]
    async fn what_the_service_wants_asked_for_each_time_is_not_kept() {
        for control in ["no-store", "max-age=1, No-Store", "no-cache", "no-cache=\"x\"", "must-revalidate"] {
            assert!(!is_kept(answer(&[("cache-control", control)], "")).await, "{control}");
        }
        assert!(is_kept(answer(&[("cache-control", "private, max-age=60")], "")).await);
        for header in ["set-cookie", "x-meshbase-fault", "x-meshbase-degraded"] {
            assert!(!is_kept(answer(&[(header, "1")], "")).await, "{header}");
        }
    }

    #[tokio::test]
    async fn what_varies_by_something_unknown_is_not_kept() {
        assert!(is_kept(answer(&[("vary", "Accept-Encoding, X-Client"), ("vary", "cookie")], "")).await);
        assert!(!is_kept(answer(&[("vary", "accept, accept-language")], "")).await);
        assert!(!is_kept(answer(&[("vary", "*")], "")).await);
    }

    #[test]
    fn callers_and_requests_never_share_an_answer() {
        let cache = cache(1 << 20);
        let names = [
            "authorization",
            "cookie",
            "apikey",
            "accept",
            "accept-encoding",
            "accept-profile",
            "range",
            "if-range",
            "prefer",
            "host",
            "x-meshbase-project",
            "x-meshbase-peer",
            "x-meshbase-origin",
            "x-client",
        ];
        let mut keys = vec![
            cache.key(&head("/a", &[])),
            cache.key(&head("/b", &[])),
            cache.key(&head("/a?b", &[])),
            cache.key(&head("http://host/a", &[])),
            cache.key(&head("/a", &[("cookie", "1"), ("cookie", "2")])),
            cache.key(&head("/a", &[("cookie", "12")])),
        ];
        for name in names {
            keys.push(cache.key(&head("/a", &[(name, "1")])));
            keys.push(cache.key(&head("/a", &[(name, "")])));
        }

        let different: std::collections::HashSet<_> = keys.iter().map(|key| key.clone().unwrap()).collect();

        assert_eq!(different.len(), keys.len());
        assert_eq!(cache.key(&head("/a", &[("x-other", "1")])), keys[0]);
    }

    #[test]
    fn only_plain_gets_have_a_key() {
        let cache = cache(1 << 20);
        let mut post = head("/a", &[]);
        post.method = Method::POST;

        assert_eq!(cache.key(&post), None);
        assert_eq!(cache.key(&head("/a", &[("content-length", "1")])), None);
        assert_eq!(cache.key(&head("/a", &[("transfer-encoding", "chunked")])), None);
        assert_eq!(cache.key(&head("/a", &[("cache-control", "no-store")])), None);
        assert!(cache.key(&head("/a", &[("content-length", "0"), ("cache-control", "no-cache")])).is_some());
    }

    #[tokio::test]
    async fn an_answer_that_overrules_ends_what_was_kept() {
        let (cache, now) = (cache(1 << 20), Instant::now());
        let key = cache.key(&head("/a", &[])).unwrap();
        let other = |status: u16, headers: &[(&str, &str)]| {
            let mut response = answer(headers, "");
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        };
        let ends = [
            (401, ""),
            (403, ""),
            (404, ""),
            (410, ""),
            (302, ""),
            (200, "cache-control"),
            (200, "set-cookie"),
        ];
        let leaves = [(304, ""), (408, ""), (429, ""), (500, ""), (503, ""), (200, "x-meshbase-degraded")];

        for (cases, is_left) in [(&ends[..], false), (&leaves[..], true)] {
            for (status, header) in cases {
                read(cache.keep(key.clone(), answer(&[], "body"), now)).await;
                let headers: &[_] = if header.is_empty() { &[] } else { &[(*header, "no-store")] };
                read(cache.keep(key.clone(), other(*status, headers), now)).await;
                assert_eq!(cache.get(&key, now).is_some(), is_left, "{status} {header}");
            }
        }
    }

    #[tokio::test]
    async fn a_newer_answer_takes_the_place_of_an_older_one() {
        let (cache, now) = (cache(1 << 20), Instant::now());
        let key = cache.key(&head("/a", &[])).unwrap();
        read(cache.keep(key.clone(), answer(&[], "old"), now)).await;

        read(cache.keep(key.clone(), answer(&[], "too soon"), now + FRESH / 2)).await;
        assert_eq!(read(cache.get(&key, now).unwrap()).await, "old");
        read(cache.keep(key.clone(), answer(&[], "new"), now + FRESH)).await;

        assert_eq!(read(cache.get(&key, now + FRESH).unwrap()).await, "new");
    }
}
