//! What a proxy sees of calls, added up until it is told to the control plane.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::{Edge, Summary};
use crate::Load;
use crate::observe::{Event, Exchange, Name, Observer, Side};

/// Latencies by powers of two of a millisecond; the last part is everything above 16 s.
const PARTS: usize = 16;
/// The most edges that are told apart between two summaries; further ones are left out.
const MAX_EDGES: usize = 10_000;

/// The calls since they were last told, by workload. Clones add up together.
#[derive(Clone)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

struct Counts {
    since: HashMap<Name, Instant>,
    edges: HashMap<(Side, Name, Name, Name), Count>,
}

#[derive(Default)]
struct Count {
    requests: u64,
    failures: u64,
    latency: [u64; PARTS],
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally(Arc::new(Mutex::new(Counts { since: HashMap::new(), edges: HashMap::new() })))
    }

    /// An observer that adds up here.
    pub(super) fn observer(&self) -> Observer {
        let tally = self.clone();
        Observer::new(move |event| {
            if let Event::Ended(exchange) = event {
                tally.add(exchange);
            }
        })
    }

    fn add(&self, exchange: &Exchange) {
        let Exchange { side, source, destination, route, .. } = exchange;
        let key = (*side, source.clone(), destination.clone(), route.clone());
        let mut counts = self.0.lock().expect("no holder of this lock panics");
        if counts.edges.len() >= MAX_EDGES && !counts.edges.contains_key(&key) {
            return;
        }
        let count = counts.edges.entry(key).or_default();
        count.requests += 1;
        count.failures += u64::from(exchange.is_failure());
        count.latency[part(exchange.head)] += 1;
    }

    /// Takes what `workload` has to tell: its calls to others and others' calls to it, and its `load` as it is now.
    pub(super) fn take(&self, workload: &Name, load: Load, now: Instant) -> Summary {
        let mut counts = self.0.lock().expect("no holder of this lock panics");
        let since = counts.since.insert(workload.clone(), now).unwrap_or(now);
        let is_its = |side: &Side, source: &Name, destination: &Name| match side {
            Side::Outbound => source == workload,
            Side::Inbound => destination == workload,
        };
        let taken =
            counts.edges.extract_if(|(side, source, destination, _), _| is_its(side, source, destination));
        let edge = |((side, source, destination, route), count): ((Side, Name, Name, Name), Count)| Edge {
            side: side.name().to_owned(),
            source: source.to_string(),
            destination: destination.to_string(),
            route: route.to_string(),
            requests: count.requests,
            failures: count.failures,
            latency: count.latency.to_vec(),
        };
        let edges = taken.map(edge).collect();
        let millis = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX);
        Summary { millis, edges, running: load.running, waiting: load.waiting }
    }
}

/// The part that a latency belongs to: `n` holds up to 2ⁿ ms.
fn part(latency: Duration) -> usize {
    let millis = latency.as_secs_f64() * 1e3;
    (0..PARTS - 1).find(|n| millis <= f64::from(1 << n)).unwrap_or(PARTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::sample::exchange;

    #[test]
    fn each_workload_tells_its_own_side_once() {
        let tally = Tally::new();
        let observer = tally.observer();
        let ended = |side, head| {
            let mut exchange = exchange();
            (exchange.side, exchange.head) = (side, Duration::from_millis(head));
            observer.observe(&Event::Ended(exchange));
        };
        let (now, gateway, data) = (Instant::now(), Name::from("gateway"), Name::from("data"));
        tally.take(&gateway, Load::default(), now);
        ended(Side::Outbound, 1);
        ended(Side::Outbound, 3);
        ended(Side::Inbound, 1);

        let load = Load { running: 2, ..Load::default() };
        let told = tally.take(&gateway, load, now + Duration::from_secs(5));

        let [edge] = &told.edges[..] else { panic!("{told:?}") };
        assert_eq!((edge.source.as_str(), edge.destination.as_str(), edge.requests), ("gateway", "data", 2));
        assert_eq!((edge.latency[0], edge.latency[2], told.millis), (1, 1, 5000));
        assert_eq!(told.running, 2);
        assert!(tally.take(&gateway, Load::default(), now).edges.is_empty(), "told once");
        assert_eq!(tally.take(&data, Load::default(), now).edges[0].side, "inbound");
    }

    #[test]
    fn latencies_fall_into_powers_of_two() {
        let part = |millis: f64| part(Duration::from_secs_f64(millis / 1e3));

        assert_eq!(
            [part(0.1), part(1.0), part(1.1), part(2.0), part(16384.0), part(99999.0)],
            [0, 0, 1, 1, 14, 15]
        );
    }
}
