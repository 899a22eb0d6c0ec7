//! Keeps a balancer's endpoints as discovery tells them.

use futures_util::stream::{BoxStream, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Found, Stable};
use crate::balance::Balancer;
use crate::observe::{Event, Observer};

/// Hands `balancer` each set of `sets` that `stable` lets through, until `cancel`, or until `sets` has ended and nothing
/// is held any more. `make` makes what the balancer holds for a new endpoint.
///
/// Events: `DiscoveryFailed` when it begins to fail; the balancer's own.
pub(crate) async fn follow<T: Send + Sync + 'static>(
    mut sets: BoxStream<'static, Result<Vec<Found>, String>>,
    mut stable: Stable,
    balancer: Balancer<T>,
    make: impl Fn(&Found) -> T,
    observer: Observer,
    cancel: CancellationToken,
) {
    let mut ended = false;
    loop {
        let due = stable.due();
        if ended && due.is_none() {
            return;
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            set = sets.next(), if !ended => match set {
                None => ended = true,
                Some(answer) => {
                    let taken = stable.take(answer, Instant::now());
                    if let Some(set) = taken.set {
                        balancer.update(set, &make);
                    }
                    if let Some(detail) = taken.failed {
                        let destination = balancer.name().clone();
                        observer.observe(&Event::DiscoveryFailed { destination, detail });
                    }
                }
            },
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                balancer.update(stable.expire(Instant::now()), &make);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use futures_util::stream;

    use super::super::Address;
    use super::*;
    use crate::resource;

    fn set(ports: &[u16]) -> Vec<Found> {
        ports.iter().map(|port| Found::at(Address::Tcp(([10, 0, 0, 1], *port).into()))).collect()
    }

    fn fixture() -> (Balancer<()>, Observer, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let observer = Observer::new(move |event| sink.lock().unwrap().push(format!("{event:?}")));
        let balancer = Balancer::new(
            &resource::Balancer::default(),
            &resource::Ejection::default(),
            None,
            "data".into(),
            observer.clone(),
            1,
        );
        (balancer, observer, told)
    }

    #[tokio::test(start_paused = true)]
    async fn the_balancer_follows_and_keeps_the_last_good_set() {
        let (balancer, observer, told) = fixture();
        let answers = vec![Ok(set(&[1, 2])), Err("gone".to_owned()), Ok(Vec::new()), Ok(set(&[1]))];
        let sets = stream::iter(answers).boxed();
        let hold = Duration::from_secs(30);

        let begun = Instant::now();
        follow(sets, Stable::holding(hold), balancer.clone(), |_| (), observer, CancellationToken::new())
            .await;

        assert_eq!(begun.elapsed().as_secs(), 30, "the endpoint that was missing was held");
        assert_eq!(balancer.members().len(), 1);
        let told = told.lock().unwrap();
        assert_eq!(told.iter().filter(|event| event.contains("DiscoveryFailed")).count(), 1, "{told:?}");
        assert_eq!(told.iter().filter(|event| event.contains("EndpointsChanged")).count(), 2, "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_cancelled() {
        let (balancer, observer, _) = fixture();
        let cancel = CancellationToken::new();
        cancel.cancel();

        follow(stream::pending().boxed(), Stable::at_once(), balancer, |_| (), observer, cancel).await;
    }
}
