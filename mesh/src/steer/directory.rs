//! Where services are, as the control plane tells: asked for at the first call, told from then on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use crate::discover::{Found, Resolve};

/// The endpoint sets that were asked for. Clones share them.
#[derive(Clone)]
pub(super) struct Directory(Arc<Inner>);

struct Inner {
    sets: Mutex<HashMap<String, watch::Sender<Option<Vec<Found>>>>>,
    /// The services that somebody asked for.
    needs: watch::Sender<BTreeSet<String>>,
}

impl Directory {
    /// With what was known when the process ended before.
    pub(super) fn new(known: impl IntoIterator<Item = (String, Vec<Found>)>) -> Directory {
        let sets = known.into_iter().map(|(service, found)| (service, watch::Sender::new(Some(found))));
        Directory(Arc::new(Inner { sets: Mutex::new(sets.collect()), needs: watch::Sender::default() }))
    }

    /// The services that somebody asked for; told when there is one more.
    pub(super) fn needs(&self) -> watch::Receiver<BTreeSet<String>> {
        self.0.needs.subscribe()
    }

    /// Tells where `service` is, to those who asked.
    pub(super) fn tell(&self, service: &str, found: Vec<Found>) {
        if let Some(set) = self.sets().get(service) {
            set.send_if_modified(|known| {
                let news = known.as_ref() != Some(&found);
                *known = Some(found);
                news
            });
        }
    }

    fn sets(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Option<Vec<Found>>>>> {
        self.0.sets.lock().expect("no holder of this lock panics")
    }
}

impl Resolve for Directory {
    fn watch(&self, service: &str) -> BoxStream<'static, Result<Vec<Found>, String>> {
        let mut told = self.sets().entry(service.to_owned()).or_default().subscribe();
        self.0.needs.send_if_modified(|needs| needs.insert(service.to_owned()));
        // what is known is told at once, what comes later when it comes
        told.mark_changed();
        let sets = stream::unfold(told, async |mut told| {
            loop {
                told.changed().await.ok()?;
                let found = told.borrow_and_update().clone();
                if let Some(found) = found {
                    return Some((Ok(found), told));
                }
            }
        });
        // the sender lives as long as the directory, which the stream keeps
        let keeper = self.clone();
        sets.map(move |set| {
            let _ = &keeper;
            set
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::discover::Address;

    fn at(port: u16) -> Vec<Found> {
        vec![Found::at(Address::Tcp(([127, 0, 0, 1], port).into()))]
    }

    #[tokio::test]
    async fn who_asks_is_told_at_once_and_from_then_on() {
        let directory = Directory::new([("kept".to_owned(), at(7))]);
        assert_eq!(directory.watch("kept").next().await, Some(Ok(at(7))), "from before");
        let mut early = directory.watch("data");
        assert!(early.next().now_or_never().is_none(), "nobody knows yet");
        assert_eq!(*directory.needs().borrow(), ["data", "kept"].map(str::to_owned).into());

        directory.tell("data", at(1));
        directory.tell("auth", at(9));
        assert_eq!(early.next().await, Some(Ok(at(1))));
        let mut late = directory.watch("data");
        assert_eq!(late.next().await, Some(Ok(at(1))));

        directory.tell("data", at(2));
        assert_eq!((early.next().await, late.next().await), (Some(Ok(at(2))), Some(Ok(at(2)))));
        directory.tell("data", at(2));
        assert!(early.next().now_or_never().is_none(), "nothing new");
    }
}
