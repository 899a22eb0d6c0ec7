//! What a proxy sees of requests, shown to the control plane while somebody looks there.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::Query;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::FromProxy;
use super::stream::Lines;
use crate::observe::Name;
use crate::observe::tap::{Filter, Subscription, Tap};

/// Lines that are told at once, and the pause after them: what comes faster is lost, and that is said.
const LINES: usize = 32;
const PAUSE: Duration = Duration::from_millis(100);
/// How long a tap is open, whatever the control plane forgets: who still looks asks again before.
pub const TAP_LIFE: Duration = Duration::from_secs(60);

/// Reads what is to be shown, as the query of the admin socket's `/tap` has it.
///
/// Errors: what of it cannot be.
pub fn filter(query: &str) -> Result<Filter, String> {
    let uri = format!("/tap?{query}").parse().map_err(|_| "it is no query".to_owned())?;
    Query::<Filter>::try_from_uri(&uri).map(|Query(filter)| filter).map_err(|wrong| wrong.body_text())
}

/// Whether an event is of the workload's own side, where it says which side it is of.
pub fn is_own(service: &str, event: &Value) -> bool {
    let [source, destination] = [&event["source"], &event["destination"]];
    match event["side"].as_str() {
        Some("inbound") if destination.is_string() => destination == service,
        Some("outbound") if source.is_string() => source == service,
        _ => true,
    }
}

/// The taps of one stream. They end with it.
#[derive(Default)]
pub(super) struct Taps(HashMap<u64, AbortOnDropHandle<()>>);

impl Taps {
    /// Shows what passes the filter from now on, if it is `service`'s own; asked again, for as long again. A filter of a
    /// newer version shows nothing.
    pub(super) fn open(&mut self, id: u64, query: &str, tap: &Tap, service: &Name, lines: &Lines) {
        let Some(shown) = filter(query).ok().and_then(|filter| tap.subscribe(filter).ok()) else { return };
        let showing = tokio::spawn(show(id, shown, service.clone(), lines.clone()));
        self.0.insert(id, AbortOnDropHandle::new(showing));
    }

    pub(super) fn close(&mut self, id: u64) {
        self.0.remove(&id);
    }
}

async fn show(id: u64, mut shown: Subscription, service: Name, to: Lines) {
    let end = Instant::now() + TAP_LIFE;
    while Instant::now() < end
        && let Ok(Some(first)) = timeout_at(end, shown.next()).await
    {
        let mut lines = vec![first];
        while lines.len() < LINES
            && let Some(Some(line)) = shown.next().now_or_never()
        {
            lines.push(line);
        }
        let lines = lines.iter().filter_map(|line: &Bytes| serde_json::from_slice(line).ok());
        let lines: Vec<Value> = lines.filter(|line| is_own(&service, line)).collect();
        if !lines.is_empty() && to.say(&FromProxy::Tapped { tap: id, lines }).await.is_err() {
            return;
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_as_the_admin_socket_reads_it() {
        let read = filter("service=data&failures=true&status=5xx").unwrap();
        assert_eq!((read.service.as_deref(), read.failures), (Some("data"), true));
        for wrong in ["colour=red", "status=9", "failures=perhaps", "percent=101"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
