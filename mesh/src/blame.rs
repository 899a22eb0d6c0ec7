//! Whose fault a failed answer is: a service whose own call failed is not to be ejected for it, nor asked again.
//!
//! The outbound side notes each request of a program that failed for good; the inbound side looks the failed answer's
//! request up and marks it `upstream`. What ties the two together is `x-request-id`, which programs forward. Without
//! it, each hop of a chain would retry what the hop before is retrying.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::observe::Name;

/// Failed requests remembered at once; the oldest are forgotten.
const MOST: usize = 4096;
/// Longest id that is remembered.
const LONGEST_ID: usize = 128;
/// How long an answer can follow the failure that caused it.
const KEPT: Duration = Duration::from_secs(60);

type Key = (Name, HeaderValue);

/// The failed calls of the last minute.
#[derive(Default)]
pub(crate) struct Blame(Mutex<Failed>);

#[derive(Default)]
struct Failed {
    at: HashMap<Key, Instant>,
    order: VecDeque<(Instant, Key)>,
}

impl Blame {
    /// `service` made a call for request `id`, and it failed.
    pub(crate) fn note(&self, service: &Name, id: Option<HeaderValue>) {
        let Some(id) = id.filter(|id| id.len() <= LONGEST_ID) else { return };
        // a copy: the value may be a part of a whole request's buffer
        let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) else { return };
        let now = Instant::now();
        let key = (service.clone(), id);
        let mut failed = self.0.lock().expect("no holder of this lock panics");
        failed.forget(now);
        failed.order.push_back((now, key.clone()));
        failed.at.insert(key, now);
    }

    /// Whether a call that `service` made for request `id` failed.
    pub(crate) fn is_upstream(&self, service: &Name, id: Option<&HeaderValue>) -> bool {
        let Some(id) = id else { return false };
        let failed = self.0.lock().expect("no holder of this lock panics");
        failed.at.get(&(service.clone(), id.clone())).is_some_and(|at| at.elapsed() < KEPT)
    }
}

impl Failed {
    fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.order.front()
            && (now - *at >= KEPT || self.order.len() >= MOST)
        {
            let Some((at, key)) = self.order.pop_front() else { return };
            if self.at.get(&key) == Some(&at) {
                self.at.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_known_to_its_own_service_and_request_for_a_while() {
        let blame = Blame::default();
        let (orders, users): (Name, Name) = ("orders".into(), "users".into());
        let id = HeaderValue::from_static("r1");

        blame.note(&orders, Some(id.clone()));

        assert!(blame.is_upstream(&orders, Some(&id)));
        assert!(!blame.is_upstream(&users, Some(&id)));
        assert!(!blame.is_upstream(&orders, Some(&HeaderValue::from_static("r2"))));
        assert!(!blame.is_upstream(&orders, None));
        tokio::time::advance(KEPT).await;
        assert!(!blame.is_upstream(&orders, Some(&id)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_failures_is_bounded() {
        let blame = Blame::default();
        for n in 0..MOST * 2 {
            blame.note(&"orders".into(), n.to_string().parse().ok());
        }

        let failed = blame.0.lock().unwrap();
        assert!(failed.at.len() <= MOST && failed.order.len() <= MOST);
    }
}
