//! Rates and concurrencies that the inbound side holds callers to.
//!
//! A request is held to each limit that matches it. Concurrency comes first: what it took is given back when a rate
//! refuses. Of several rates that match, all are asked before any counts the request, so that a refusal takes nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::gcra::{Limiter, Rate};
use base::{Body, Response, Timestamp};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::identity::Identity;
use crate::matching::{Head, Matcher};
use crate::observe::Name;
use crate::resource::{Limit, LimitKey};

/// The most keys that one limit remembers. While all are in use, new keys are refused.
const MAX_KEYS: usize = 100_000;
/// When it makes sense to try again if too many requests are under way: nobody knows when one ends.
const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);

/// All limits of one service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits(Vec<Arc<One>>);

/// The right to be under way. It ends when this is dropped.
#[derive(Debug, Default)]
#[must_use = "concurrency limits count the request as over when this is dropped"]
pub(crate) struct Held {
    /// The usual case: at most one limit of concurrency, and no allocation.
    first: Option<Slot>,
    more: Vec<Slot>,
}

/// A request is over a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The limit's name.
    pub(crate) limit: Name,
    /// When it makes sense to try again.
    pub(crate) retry_after: Duration,
    /// The rate, if it was one that refused.
    pub(crate) rate: Option<RateState>,
}

/// A rate and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateState {
    /// How many in a window.
    pub(crate) limit: u32,
    /// How many more at once now.
    pub(crate) remaining: u32,
    /// The window.
    pub(crate) window: Duration,
}

struct One {
    spec: Limit,
    name: Name,
    matcher: Matcher,
    header: Option<HeaderName>,
    /// Keys are kept as hashes under a secret of the process: nobody can make two collide, and none is copied.
    hasher: RandomState,
    rate: Option<(Rate, Limiter<u64>)>,
    running: Mutex<HashMap<u64, usize>>,
}

#[derive(Debug)]
struct Slot {
    limit: Arc<One>,
    key: u64,
}

impl std::fmt::Debug for One {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Limit").field(&self.name).finish()
    }
}

impl Limits {
    /// Reads limits.
    ///
    /// Errors: a limit that limits nothing, or lets nobody through, or counts by a header that cannot be.
    pub(crate) fn compile(limits: &[Limit]) -> Result<Limits, String> {
        Limits::default().renew(limits)
    }

    /// Reads the limits of a newer configuration. Those that did not change keep what they counted.
    ///
    /// Errors: as [`Limits::compile`].
    pub(crate) fn renew(&self, limits: &[Limit]) -> Result<Limits, String> {
        let find = |spec: &Limit| self.0.iter().find(|one| one.spec == *spec).cloned();
        let one = |spec: &Limit| find(spec).map_or_else(|| One::compile(spec).map(Arc::new), Ok);
        limits.iter().map(one).collect::<Result<_, _>>().map(Limits)
    }

    /// Whether there are none: then nothing needs to be asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds a request to every limit that matches it, for as long as the answer lives.
    ///
    /// Requests without the header or the project that a limit counts by share one count. One header value of two
    /// projects is two.
    ///
    /// Errors: the first limit that it is over. Cost: one lock for each concurrency and each rate that matches, two for
    /// each of several rates.
    pub(crate) fn enter(
        &self,
        head: &Head<'_>,
        peer: &Identity,
        route: &Name,
        project: Option<&str>,
        now: Timestamp,
    ) -> Result<Held, Refusal> {
        let mut held = Held::default();
        let matches = |one: &&Arc<One>| one.matcher.matches(head);
        for one in self.0.iter().filter(|one| one.spec.concurrent.is_some()).filter(matches) {
            held.push(one.take(one.key(head, peer, route, project))?);
        }
        let rates = || self.0.iter().filter(|one| one.rate.is_some()).filter(matches);
        if rates().nth(1).is_some() {
            rates().try_for_each(|one| one.allows(one.key(head, peer, route, project), now))?;
        }
        rates().try_for_each(|one| one.count(one.key(head, peer, route, project), now))?;
        Ok(held)
    }
}

impl One {
    fn compile(spec: &Limit) -> Result<One, String> {
        let name = &spec.name;
        if spec.requests.is_none() && spec.concurrent.is_none() {
            return Err(format!("the limit {name} needs requests or concurrent"));
        }
        if spec.requests == Some(0) || spec.concurrent == Some(0) || spec.period.is_zero() {
            return Err(format!(
                "the limit {name} lets nobody through, or everybody: nothing in it may be 0"
            ));
        }
        let header = match &spec.per {
            LimitKey::Header(header) => Some(
                header
                    .parse()
                    .map_err(|_| format!("the limit {name} counts by {header:?}, no header's name"))?,
            ),
            _ => None,
        };
        let rate = spec.requests.map(|burst| Rate { burst, period: spec.period });
        Ok(One {
            spec: spec.clone(),
            name: Name::from(&**name),
            matcher: Matcher::compile(&spec.matches),
            header,
            hasher: RandomState::new(),
            rate: rate.map(|rate| (rate, Limiter::new(rate, MAX_KEYS))),
            running: Mutex::new(HashMap::new()),
        })
    }

    /// What a request counts by, with the project where it would otherwise share with another one's.
    fn key(&self, head: &Head<'_>, peer: &Identity, route: &Name, project: Option<&str>) -> u64 {
        match &self.spec.per {
            LimitKey::All => 0,
            LimitKey::Identity => self.hasher.hash_one((peer.trust_domain(), peer.service())),
            LimitKey::Route => self.hasher.hash_one(&**route),
            LimitKey::Project => self.hasher.hash_one(project),
            LimitKey::Header(_) => {
                let value = self.header.as_ref().and_then(|name| head.headers.get(name));
                self.hasher.hash_one((project, value.map(HeaderValue::as_bytes)))
            }
        }
    }

    fn take(self: &Arc<One>, key: u64) -> Result<Slot, Refusal> {
        let most = self.spec.concurrent.unwrap_or(usize::MAX);
        let mut running = self.running.lock().expect("no holder of this lock panics");
        let is_new_and_full = running.len() >= MAX_KEYS && !running.contains_key(&key);
        let count = if is_new_and_full { most } else { running.get(&key).copied().unwrap_or(0) };
        if count >= most {
            return Err(Refusal { limit: self.name.clone(), retry_after: CONCURRENCY_RETRY, rate: None });
        }
        running.insert(key, count + 1);
        Ok(Slot { limit: self.clone(), key })
    }

    /// Whether the rate allows one more.
    fn allows(&self, key: u64, now: Timestamp) -> Result<(), Refusal> {
        let Some((rate, limiter)) = &self.rate else { return Ok(()) };
        limiter.peek(&key, now).map_err(|retry_after| self.refusal(*rate, retry_after))
    }

    /// Takes one of what the rate allows.
    fn count(&self, key: u64, now: Timestamp) -> Result<(), Refusal> {
        let Some((rate, limiter)) = &self.rate else { return Ok(()) };
        limiter.check(key, now).map_err(|retry_after| self.refusal(*rate, retry_after))
    }

    fn refusal(&self, rate: Rate, retry_after: Duration) -> Refusal {
        let state = RateState { limit: rate.burst, remaining: 0, window: rate.period };
        Refusal { limit: self.name.clone(), retry_after, rate: Some(state) }
    }
}

impl Held {
    fn push(&mut self, slot: Slot) {
        match self.first {
            None => self.first = Some(slot),
            Some(_) => self.more.push(slot),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.limit.running.lock().expect("no holder of this lock panics");
        if let Some(count) = running.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.key);
            }
        }
    }
}

impl Refusal {
    /// 429 with `Retry-After` in whole seconds, and for a rate `RateLimit-Policy` and `RateLimit`.
    ///
    /// Source: RFC 6585 §4; draft-ietf-httpapi-ratelimit-headers-10.
    pub(crate) fn response(&self) -> Response {
        let body =
            serde_json::json!({ "code": "over_limit", "message": format!("over the limit {}", self.limit) });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let headers = response.headers_mut();
        let seconds = whole_seconds(self.retry_after);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        if let Some(rate) = self.rate {
            let name = quoted(&self.limit);
            let window = rate.window.as_secs();
            // a window is told in whole seconds, or not at all
            let window = if rate.window.subsec_nanos() == 0 { format!(";w={window}") } else { String::new() };
            let mut insert =
                |name, text: String| HeaderValue::try_from(text).map(|value| headers.insert(name, value));
            let _ = insert("ratelimit-policy", format!("{name};q={}{window}", rate.limit));
            let _ = insert("ratelimit", format!("{name};r={};t={seconds}", rate.remaining));
        }
        response
    }
}

/// Rounded up: whoever comes a moment too early would be refused again.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// A name as a string of RFC 9651 §3.3.3. What cannot be in one becomes `_`.
fn quoted(name: &str) -> String {
    let plain = name.chars().map(|c| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '_' });
    format!("\"{}\"", plain.collect::<String>())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::resource::Match;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn limit(name: &str, per: LimitKey, requests: Option<u32>, concurrent: Option<usize>) -> Limit {
        let period = Duration::from_secs(10);
        Limit { name: name.to_owned(), matches: Match::default(), per, requests, period, concurrent }
    }

    fn rate(per: LimitKey, requests: u32) -> Limit {
        limit("rate", per, Some(requests), None)
    }

    fn concurrent(per: LimitKey, most: usize) -> Limit {
        limit("concurrent", per, None, Some(most))
    }

    /// Who asks, and what.
    #[derive(Clone, Default)]
    struct Asking {
        path: &'static str,
        service: &'static str,
        route: &'static str,
        project: Option<&'static str>,
        header: Option<&'static str>,
    }

    impl Asking {
        fn enter(&self, limits: &Limits) -> Result<Held, Refusal> {
            let mut headers = HeaderMap::new();
            self.header.map(|value| headers.insert("x-key", HeaderValue::from_static(value)));
            let method = &Method::GET;
            let head = Head { host: "", method, path: self.path, query: None, headers: &headers };
            limits.enter(&head, &Identity::new("t", self.service), &self.route.into(), self.project, NOW)
        }
    }

    #[test]
    fn a_rate_refuses_what_is_over_it_and_says_when_to_come_back() {
        let limits = Limits::compile(&[rate(LimitKey::All, 2)]).unwrap();
        let asking = Asking::default();
        assert!(asking.enter(&limits).is_ok() && asking.enter(&limits).is_ok());

        let refusal = asking.enter(&limits).unwrap_err();

        let state = RateState { limit: 2, remaining: 0, window: Duration::from_secs(10) };
        let retry_after = Duration::from_secs(5);
        assert_eq!(refusal, Refusal { limit: "rate".into(), retry_after, rate: Some(state) });
    }

    #[test]
    fn a_concurrency_counts_what_is_under_way() {
        let limits = Limits::compile(&[concurrent(LimitKey::All, 2)]).unwrap();
        let asking = Asking::default();
        let held = [asking.enter(&limits).unwrap(), asking.enter(&limits).unwrap()];
        assert_eq!(asking.enter(&limits).unwrap_err().rate, None);

        drop(held);

        assert!(asking.enter(&limits).is_ok());
        assert!(limits.0[0].running.lock().unwrap().is_empty());
    }

    #[test]
    fn each_key_counts_by_itself() {
        let one =
            Asking { service: "a", route: "a", project: Some("a"), header: Some("a"), ..Default::default() };
        let cases = [
            (LimitKey::Identity, Asking { service: "b", ..one.clone() }, true),
            (LimitKey::Route, Asking { route: "b", ..one.clone() }, true),
            (LimitKey::Project, Asking { project: Some("b"), ..one.clone() }, true),
            (LimitKey::Project, Asking { project: None, ..one.clone() }, true),
            (LimitKey::Project, Asking { project: Some(""), ..one.clone() }, true),
            (LimitKey::Header("X-Key".to_owned()), Asking { header: Some("b"), ..one.clone() }, true),
            (LimitKey::Header("X-Key".to_owned()), Asking { header: None, ..one.clone() }, true),
            (LimitKey::Header("X-Key".to_owned()), Asking { project: Some("b"), ..one.clone() }, true),
            (LimitKey::Header("X-Key".to_owned()), Asking { service: "b", ..one.clone() }, false),
            (LimitKey::Project, Asking { service: "b", route: "b", ..one.clone() }, false),
            (LimitKey::All, Asking { project: Some("b"), service: "b", ..one.clone() }, false),
        ];

        for (per, other, apart) in cases {
            for limits in [&[rate(per.clone(), 1)], &[concurrent(per.clone(), 1)]] {
                let limits = Limits::compile(limits).unwrap();
                let _held = one.enter(&limits).unwrap();
                assert!(one.enter(&limits).is_err());
                assert_eq!(other.enter(&limits).is_ok(), apart, "{per:?}");
            }
        }
    }

    #[test]
    fn only_requests_that_match_count() {
        let matches = Match { prefix: Some("/slow".to_owned()), ..Match::default() };
        let limits = Limits::compile(&[Limit { matches, ..rate(LimitKey::All, 1) }]).unwrap();
        let slow = Asking { path: "/slow/a", ..Default::default() };

        assert!(slow.enter(&limits).is_ok());
        assert!(slow.enter(&limits).is_err());
        assert!(Asking { path: "/quick", ..Default::default() }.enter(&limits).is_ok());
    }

    #[test]
    fn a_refused_request_takes_no_concurrency_and_none_of_the_rate_that_refuses() {
        let limits = [concurrent(LimitKey::All, 9), limit("second", LimitKey::Project, None, Some(1))];
        let limits = Limits::compile(&[&limits[..], &[rate(LimitKey::All, 2)]].concat()).unwrap();
        let asking = Asking::default();
        let held = asking.enter(&limits).unwrap();
        assert_eq!(&*asking.enter(&limits).unwrap_err().limit, "second");
        drop(held);

        assert!(asking.enter(&limits).is_ok(), "the rate still had one");
        assert_eq!(&*asking.enter(&limits).unwrap_err().limit, "rate");

        assert!(limits.0.iter().all(|one| one.running.lock().unwrap().is_empty()));
    }

    #[test]
    fn of_several_rates_none_counts_what_another_refuses() {
        let narrow = limit("narrow", LimitKey::Project, Some(1), None);
        let limits = Limits::compile(&[rate(LimitKey::All, 3), narrow]).unwrap();
        let [shop, blog] = ["shop", "blog"].map(|name| Asking { project: Some(name), ..Default::default() });
        assert!(shop.enter(&limits).is_ok());

        for _ in 0..5 {
            assert_eq!(&*shop.enter(&limits).unwrap_err().limit, "narrow");
        }

        assert!(blog.enter(&limits).is_ok(), "the wide one has two left");
        assert!(Asking::default().enter(&limits).is_ok());
        assert_eq!(
            &*Asking { project: Some("last"), ..Default::default() }.enter(&limits).unwrap_err().limit,
            "rate"
        );
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let limits = Limits::compile(&[concurrent(LimitKey::Project, 1)]).unwrap();
        let slots: Vec<_> = (0..MAX_KEYS as u64).map(|key| limits.0[0].take(key).unwrap()).collect();

        assert!(limits.0[0].take(u64::MAX).is_err());
        drop(slots);
        assert!(limits.0[0].take(u64::MAX).is_ok());
    }

    #[test]
    fn a_newer_configuration_keeps_the_counts_of_what_did_not_change() {
        let specs = [rate(LimitKey::All, 1), concurrent(LimitKey::All, 5)];
        let before = Limits::compile(&specs).unwrap();
        let asking = Asking::default();
        let _held = asking.enter(&before).unwrap();

        let same = before.renew(&[concurrent(LimitKey::All, 1), specs[0].clone()]).unwrap();
        let other = before.renew(&[rate(LimitKey::All, 2)]).unwrap();

        assert_eq!(&*asking.enter(&same).unwrap_err().limit, "rate");
        assert!(asking.enter(&other).is_ok());
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        let zero_period = Limit { period: Duration::ZERO, ..rate(LimitKey::All, 1) };
        let wrong = [
            limit("nothing", LimitKey::All, None, None),
            rate(LimitKey::All, 0),
            concurrent(LimitKey::All, 0),
            zero_period,
            rate(LimitKey::Header("a b".to_owned()), 1),
        ];

        assert!(wrong.iter().all(|limit| Limits::compile(std::slice::from_ref(limit)).is_err()));
    }

    #[test]
    fn a_refusal_is_429_with_the_headers_that_clients_read() {
        let state = RateState { limit: 100, remaining: 0, window: Duration::from_secs(60) };
        let retry_after = Duration::from_millis(1500);
        let refusal = Refusal { limit: "per\"key\n".into(), retry_after, rate: Some(state) };

        let response = refusal.response();

        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()["ratelimit-policy"], "\"per_key_\";q=100;w=60");
        assert_eq!(response.headers()["ratelimit"], "\"per_key_\";r=0;t=2");
        assert!(!Refusal { rate: None, ..refusal }.response().headers().contains_key("ratelimit"));
    }
}
