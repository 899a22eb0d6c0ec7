//! Active health checks: asks each endpoint now and then, where nobody else does.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::balancer::Balancer;
use super::member::Member;
use crate::observe::Name;
use crate::resource::HealthCheck;

/// Most probes under way at once.
const PARALLEL: usize = 32;

/// Probes every endpoint of `balancer` at `spec`'s interval (less up to a fifth) until `cancel`; then all are thought
/// healthy again, as before the first probe. An endpoint's first probe comes within one interval.
///
/// Event: `HealthChanged`.
pub(crate) async fn run<T: Send + Sync>(
    spec: HealthCheck,
    balancer: Balancer<T>,
    probe: impl Fn(Arc<Member<T>>) -> BoxFuture<'static, Result<(), String>> + Send + Sync,
    cancel: CancellationToken,
) {
    let mut replaced = balancer.replaced();
    let permits = Semaphore::new(PARALLEL);
    let mut watched: HashMap<Name, Arc<Member<T>>> = HashMap::new();
    let mut watches = FuturesUnordered::new();
    loop {
        watched.retain(|_, member| balancer.current(member).is_some());
        for member in balancer.members().iter() {
            if !watched.contains_key(member.key()) {
                watched.insert(member.key().clone(), member.clone());
                watches.push(watch(&spec, &balancer, member.clone(), &probe, &permits));
            }
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = replaced.changed() => {}
            Some(()) = watches.next() => {}
        }
    }
    for member in balancer.members().iter() {
        balancer.set_healthy(member, true, "it is not checked any more");
    }
}

/// Probes one endpoint for as long as it is in the set.
async fn watch<T>(
    spec: &HealthCheck,
    balancer: &Balancer<T>,
    member: Arc<Member<T>>,
    probe: &impl Fn(Arc<Member<T>>) -> BoxFuture<'static, Result<(), String>>,
    permits: &Semaphore,
) {
    let mut streak = Streak::default();
    let mut pause = spec.interval.mul_f64(balancer.dice().unit());
    loop {
        tokio::time::sleep(pause).await;
        pause = balancer.dice().jittered(spec.interval);
        let Some(member) = balancer.current(&member) else { return };
        let permit = permits.acquire().await.expect("nobody closes the semaphore");
        let answer = tokio::time::timeout(spec.timeout, probe(member.clone())).await;
        drop(permit);
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer in {:?}", spec.timeout)));
        if let Some(healthy) = streak.add(answer.is_ok(), spec) {
            balancer.set_healthy(&member, healthy, answer.as_ref().err().map_or("ok", |error| error));
        }
    }
}

/// Equal answers in a row.
#[derive(Default)]
struct Streak {
    good: bool,
    length: u32,
}

impl Streak {
    /// What to think of the endpoint after one more answer, if the streak is long enough to say.
    fn add(&mut self, good: bool, spec: &HealthCheck) -> Option<bool> {
        self.length = if self.good == good { self.length.saturating_add(1) } else { 1 };
        self.good = good;
        let enough = if good { spec.healthy } else { spec.unhealthy };
        (self.length >= enough).then_some(good)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::discover::{Address, Found};
    use crate::observe::{Event, Observer};
    use crate::resource;

    const SEC: Duration = Duration::from_secs(1);

    fn spec() -> HealthCheck {
        HealthCheck { path: None, interval: 5 * SEC, timeout: SEC, healthy: 2, unhealthy: 3 }
    }

    fn found(ports: std::ops::Range<u16>) -> Vec<Found> {
        ports.map(|port| Found::at(Address::Tcp(([10, 0, 0, 1], port).into()))).collect()
    }

    type Told = Arc<Mutex<Vec<(bool, String)>>>;

    fn balancer(ports: std::ops::Range<u16>) -> (Balancer<()>, Told) {
        let told = Told::default();
        let sink = told.clone();
        let observer = Observer::new(move |event| {
            if let Event::HealthChanged { healthy, detail, .. } = event {
                sink.lock().unwrap().push((*healthy, detail.clone()));
            }
        });
        let (spec, ejection) = (resource::Balancer::default(), resource::Ejection::default());
        let balancer = Balancer::new(&spec, &ejection, None, "data".into(), observer, 1);
        balancer.update(found(ports), |_| ());
        (balancer, told)
    }

    #[test]
    fn a_streak_counts_equal_answers_in_a_row() {
        let mut streak = Streak::default();
        let answers = [false, false, true, false, false, false, true, true];

        let thoughts = answers.map(|good| streak.add(good, &spec()));

        assert_eq!(thoughts, [None, None, None, None, None, Some(false), None, Some(true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_falls_and_rises_by_its_probes() {
        let (balancer, told) = balancer(1..2);
        let probes = Arc::new(AtomicUsize::new(0));
        let counter = probes.clone();
        let probe = move |_| -> BoxFuture<'static, Result<(), String>> {
            match counter.fetch_add(1, Ordering::Relaxed) {
                0..3 => Box::pin(std::future::pending()),
                3..6 => Box::pin(async { Err("status 500".to_owned()) }),
                _ => Box::pin(async { Ok(()) }),
            }
        };
        let cancel = CancellationToken::new();
        let task = tokio::spawn(run(spec(), balancer.clone(), probe, cancel.clone()));

        tokio::time::sleep(19 * SEC).await;
        assert!(!balancer.members()[0].is_usable(), "three probes have failed");
        tokio::time::sleep(41 * SEC).await;
        assert!(balancer.members()[0].is_usable(), "more than two have not");

        let told = told.lock().unwrap().clone();
        assert_eq!(told, [(false, "no answer in 1s".to_owned()), (true, "ok".to_owned())]);
        assert!(
            (11..=15).contains(&probes.load(Ordering::Relaxed)),
            "one in 4 s to 5 s, but for waits of 1 s"
        );
        cancel.cancel();
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn new_endpoints_are_probed_gone_ones_are_not_and_few_at_a_time() {
        let (balancer, _) = balancer(0..100);
        let (now, most, of_gone) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (now.clone(), most.clone(), of_gone.clone());
        let probe = move |member: Arc<Member<()>>| -> BoxFuture<'static, Result<(), String>> {
            let (now, most, of_gone) = counters.clone();
            Box::pin(async move {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                of_gone.fetch_add(usize::from(member.key().len() == "10.0.0.1:0".len()), Ordering::Relaxed);
                tokio::time::sleep(SEC / 2).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Err("down".to_owned())
            })
        };
        let spec = HealthCheck { interval: SEC, unhealthy: 1, ..spec() };
        let cancel = CancellationToken::new();
        let task = tokio::spawn(run(spec, balancer.clone(), probe, cancel.clone()));
        tokio::time::sleep(5 * SEC).await;
        assert!(balancer.members().iter().all(|member| !member.is_usable()));
        assert_eq!(most.load(Ordering::Relaxed), PARALLEL);

        balancer.update(found(10..110), |_| ());
        tokio::time::sleep(SEC).await;
        let before = of_gone.load(Ordering::Relaxed);
        tokio::time::sleep(5 * SEC).await;
        assert!(balancer.members().iter().all(|member| !member.is_usable()), "the new ones too");
        assert_eq!(of_gone.load(Ordering::Relaxed), before);

        cancel.cancel();
        task.await.unwrap();
        assert!(balancer.members().iter().all(|member| member.is_usable()));
    }
}
