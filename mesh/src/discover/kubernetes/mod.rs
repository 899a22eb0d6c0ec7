//! Discovery by Kubernetes: the EndpointSlices of a Service (discovery.k8s.io/v1), listed once and then watched.
//!
//! A watch that ends is taken up where it left off; one that would begin too long ago (410) begins with a new list
//! (kubernetes.io/docs/reference/using-api/api-concepts, "Efficient detection of changes").

mod api;
mod slice;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::{Instant, sleep};

use super::{Found, Resolve};
use api::{Failure, Lines};
use slice::{Event, Slice};

pub(crate) use api::Api;

/// The pause after a failure; doubled with each further one, up to the longest.
const PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);
/// A watch that lasted for this long has not failed when it ends.
const LASTED: Duration = Duration::from_secs(5);

/// One Service's EndpointSlices.
pub(crate) struct Kubernetes {
    api: Api,
    service: String,
    /// The name of the port; without one, the only port there is.
    port: Option<String>,
}

impl Kubernetes {
    pub(crate) fn new(api: Api, service: &str, port: Option<&str>) -> Kubernetes {
        Kubernetes { api, service: service.to_owned(), port: port.map(str::to_owned) }
    }
}

impl Resolve for Kubernetes {
    fn watch(&self, _service: &str) -> BoxStream<'static, Result<Vec<Found>, String>> {
        let watch = Watch {
            api: self.api.clone(),
            service: self.service.clone(),
            port: self.port.clone(),
            slices: BTreeMap::new(),
            version: None,
            lines: None,
            began: Instant::now(),
            pause: Duration::ZERO,
        };
        stream::unfold(watch, async |mut watch| Some((watch.next().await, watch))).boxed()
    }
}

struct Watch {
    api: Api,
    service: String,
    port: Option<String>,
    /// What each slice holds, by its name.
    slices: BTreeMap<String, Vec<Found>>,
    /// Where a watch is to begin; a list is needed first if it is not known.
    version: Option<String>,
    lines: Option<Lines>,
    /// When the list or the watch began.
    began: Instant,
    /// Before the next attempt.
    pause: Duration,
}

impl Watch {
    /// The next whole set, or why there is none.
    async fn next(&mut self) -> Result<Vec<Found>, String> {
        loop {
            let Some(lines) = &mut self.lines else {
                sleep(self.pause).await;
                let opened = if self.version.is_some() { self.open().await } else { self.list().await };
                match opened {
                    Ok(true) => return Ok(self.set()),
                    Ok(false) => {}
                    Err(failure) => self.failed(failure)?,
                }
                continue;
            };
            match lines.next::<Event>().await {
                Some(Ok(event)) => match self.take(event) {
                    Ok(true) => return Ok(self.set()),
                    Ok(false) => {}
                    Err(failure) => self.failed(failure)?,
                },
                Some(Err(failure)) => self.failed(failure)?,
                None => self.ended(),
            }
        }
    }

    async fn list(&mut self) -> Result<bool, Failure> {
        let list = self.api.list(&self.service).await?;
        let of = |slice: Slice| (slice.metadata.name.clone(), slice.found(self.port.as_deref()));
        self.slices = list.items.into_iter().map(of).collect();
        self.version = Some(list.metadata.resource_version);
        self.began = Instant::now();
        Ok(true)
    }

    async fn open(&mut self) -> Result<bool, Failure> {
        let version = self.version.as_deref().unwrap_or_default();
        self.lines = Some(self.api.watch(&self.service, version).await?);
        self.began = Instant::now();
        Ok(false)
    }

    /// Whether what `event` tells changes the set.
    fn take(&mut self, event: Event) -> Result<bool, Failure> {
        let slice = event.slice()?;
        self.version = Some(slice.metadata.resource_version.clone());
        match event.kind.as_str() {
            "ADDED" | "MODIFIED" => {
                let found = slice.found(self.port.as_deref());
                self.slices.insert(slice.metadata.name, found);
                Ok(true)
            }
            "DELETED" => Ok(self.slices.remove(&slice.metadata.name).is_some()),
            // a bookmark only says how far the watch is
            _ => Ok(false),
        }
    }

    /// The watch is over. Servers end each after some minutes.
    fn ended(&mut self) {
        self.lines = None;
        self.pause = match self.began.elapsed() >= LASTED {
            true => Duration::ZERO,
            false => self.longer(),
        };
    }

    /// What began too long ago is no failure: it begins anew. But servers behind one address may not have seen the same,
    /// so that what one listed is too old, or unknown, to the other.
    fn failed(&mut self, failure: Failure) -> Result<(), String> {
        let had_lasted = self.began.elapsed() >= LASTED;
        self.ended();
        match failure {
            Failure::TooOld => {
                self.version = None;
                Ok(())
            }
            Failure::Refused(why) => {
                self.version = None;
                Err(why)
            }
            Failure::Other(why) => {
                if had_lasted {
                    self.pause = *PAUSES.start();
                }
                Err(why)
            }
        }
    }

    fn longer(&self) -> Duration {
        (self.pause * 2).clamp(*PAUSES.start(), *PAUSES.end())
    }

    fn set(&self) -> Vec<Found> {
        // an endpoint that moves from one slice to another is in both for a moment: who takes the set counts it once
        self.slices.values().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
