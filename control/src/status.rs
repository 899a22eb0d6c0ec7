//! What this replica knows of the proxies on its streams, and what all of them tell each other of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use mesh::steer::{Edge, FromControl, Presence, Summary};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Summaries that are kept of each proxy: the last minute.
const KEPT: usize = 12;

/// The proxies on this replica's streams. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Proxies(Arc<Mutex<BTreeMap<(String, String), Proxy>>>);

/// One workload's stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Proxy {
    /// The service that it is.
    pub(crate) service: String,
    /// The process.
    pub(crate) instance: String,
    /// Where it is found; `None` if it only calls, or is not ready.
    pub(crate) presence: Option<Presence>,
    /// The revision of which everything is in force there.
    pub(crate) revision: i64,
    /// Key → why it is not in force there.
    pub(crate) rejected: BTreeMap<String, String>,
    /// Its calls of the last minute.
    pub(crate) edges: Vec<Edge>,
    /// How long that minute was.
    pub(crate) millis: u64,
    /// What its program has under way.
    pub(crate) running: usize,
    /// Its calls that wait for a place, by the service that they are for.
    pub(crate) waiting: BTreeMap<String, usize>,
    #[serde(skip)]
    summaries: VecDeque<Summary>,
    /// Which stream: of one process there may be an old one that is not over yet.
    #[serde(skip)]
    stream: u64,
    /// What is to be said on the stream.
    #[serde(skip)]
    asks: Option<mpsc::Sender<FromControl>>,
}

impl Proxies {
    /// A stream began.
    pub(crate) fn begin(&self, service: &str, instance: &str, stream: u64, asks: mpsc::Sender<FromControl>) {
        let (name, process) = (service.to_owned(), instance.to_owned());
        let proxy = Proxy { service: name, instance: process, stream, asks: Some(asks), ..Proxy::default() };
        self.lock().insert((service.to_owned(), instance.to_owned()), proxy);
    }

    /// The stream is over. Whether it was the last of its process.
    pub(crate) fn end(&self, service: &str, instance: &str, stream: u64) -> bool {
        let mut all = self.lock();
        let key = (service.to_owned(), instance.to_owned());
        let is_last = all.get(&key).is_some_and(|proxy| proxy.stream == stream);
        if is_last {
            all.remove(&key);
        }
        is_last
    }

    /// Changes what is known of a process.
    pub(crate) fn change(&self, service: &str, instance: &str, change: impl FnOnce(&mut Proxy)) {
        if let Some(proxy) = self.lock().get_mut(&(service.to_owned(), instance.to_owned())) {
            change(proxy);
        }
    }

    /// Where a process is found, as it last said.
    pub(crate) fn presence(&self, service: &str, instance: &str) -> Option<Presence> {
        self.lock().get(&(service.to_owned(), instance.to_owned()))?.presence.clone()
    }

    /// Says something to every workload. Returns the processes that are told: who does not read is not.
    pub(crate) fn ask(&self, what: &FromControl) -> BTreeSet<String> {
        let mut asked = BTreeSet::new();
        for proxy in self.lock().values() {
            let is_told = |asks: &mpsc::Sender<FromControl>| asks.try_send(what.clone()).is_ok();
            if proxy.asks.as_ref().is_some_and(is_told) {
                asked.insert(proxy.instance.clone());
            }
        }
        asked
    }

    /// Everything that is known.
    pub(crate) fn all(&self) -> Vec<Proxy> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Proxy>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Proxy {
    /// Adds what it saw since it last told; what is older than a minute is forgotten.
    pub(crate) fn saw(&mut self, mut summary: Summary) {
        (self.running, self.waiting) = (summary.running, std::mem::take(&mut summary.waiting));
        self.summaries.push_back(summary);
        if self.summaries.len() > KEPT {
            self.summaries.pop_front();
        }
        self.millis = self.summaries.iter().map(|summary| summary.millis).sum();
        let mut edges: BTreeMap<[String; 4], Edge> = BTreeMap::new();
        for edge in self.summaries.iter().flat_map(|summary| &summary.edges) {
            let key = [&edge.side, &edge.source, &edge.destination, &edge.route].map(String::clone);
            match edges.get_mut(&key) {
                Some(sum) => add(sum, edge),
                None => drop(edges.insert(key, edge.clone())),
            }
        }
        self.edges = edges.into_values().collect();
    }
}

/// Adds the calls of `edge` to those of `sum`.
pub(crate) fn add(sum: &mut Edge, edge: &Edge) {
    sum.requests += edge.requests;
    sum.failures += edge.failures;
    sum.latency.resize(sum.latency.len().max(edge.latency.len()), 0);
    for (sum, count) in sum.latency.iter_mut().zip(&edge.latency) {
        *sum += count;
    }
}

/// The latency that `part` (0 to 1) of the calls did not pass, in milliseconds: the upper bound of its bucket.
pub(crate) fn quantile(latency: &[u64], part: f64) -> Option<f64> {
    let all: u64 = latency.iter().sum();
    let wanted = (all as f64 * part).ceil().max(1.0) as u64;
    let mut seen = 0;
    let bucket = latency.iter().position(|count| {
        seen += count;
        seen >= wanted
    });
    bucket.filter(|_| all > 0).map(|bucket| f64::from(1u32 << bucket.min(31)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(requests: u64) -> Summary {
        let edge = Edge { side: "outbound".into(), requests, latency: vec![requests, 0], ..Edge::default() };
        Summary { millis: 5_000, edges: vec![edge], ..Summary::default() }
    }

    #[test]
    fn a_minute_of_summaries_is_kept() {
        let mut proxy = Proxy::default();

        (0..20).for_each(|_| proxy.saw(summary(2)));

        assert_eq!((proxy.edges[0].requests, proxy.millis), (24, 60_000));
        assert_eq!(proxy.edges[0].latency, [24, 0]);
    }

    #[test]
    fn an_old_stream_of_a_process_ends_without_the_new_one() {
        let proxies = Proxies::default();
        let (asks, _asked) = mpsc::channel(1);
        proxies.begin("data", "1", 1, asks.clone());
        proxies.begin("data", "1", 2, asks);

        assert!(!proxies.end("data", "1", 1));
        assert_eq!(proxies.all().len(), 1);
        assert!(proxies.end("data", "1", 2));
    }

    #[test]
    fn each_workload_is_asked_and_each_process_counted_once() {
        let proxies = Proxies::default();
        let (asks, mut asked) = mpsc::channel(8);
        for (service, instance, stream) in [("data", "1", 1), ("auth", "1", 2), ("data", "2", 3)] {
            proxies.begin(service, instance, stream, asks.clone());
        }

        assert_eq!(proxies.ask(&FromControl::Alive), BTreeSet::from(["1".to_owned(), "2".to_owned()]));
        assert_eq!(std::iter::from_fn(|| asked.try_recv().ok()).count(), 3);
    }

    #[test]
    fn quantiles_are_the_bounds_of_their_buckets() {
        assert_eq!(quantile(&[90, 9, 1], 0.5), Some(1.0));
        assert_eq!(quantile(&[90, 9, 1], 0.99), Some(2.0));
        assert_eq!(quantile(&[90, 9, 1], 1.0), Some(4.0));
        assert_eq!(quantile(&[0, 0], 0.5), None);
    }
}
