//! What a request carries along on the calls that are made for it: id, trace, project, and the time that is left.
//!
//! The onion opens the context, [`crate::Outbound`] reads it: no handler passes headers on by hand. A task that is
//! spawned meanwhile is nobody's request and carries nothing.

use std::future::Future;

use base::header;
use http::{HeaderMap, HeaderName};
use tokio::time::Instant;

const CARRIED: [HeaderName; 4] = [
    header::REQUEST_ID,
    header::PROJECT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

tokio::task_local! {
    static CURRENT: Context;
}

/// The part of a request that its calls carry.
pub(crate) struct Context {
    headers: HeaderMap,
    deadline: Option<Instant>,
}

impl Context {
    pub(crate) fn of(request: &HeaderMap) -> Context {
        let there = |name: HeaderName| Some((name.clone(), request.get(&name)?.clone()));
        Context {
            headers: CARRIED.into_iter().filter_map(there).collect(),
            deadline: header::deadline(request).map(|left| Instant::now() + left),
        }
    }

    /// Runs `work` in this context.
    pub(crate) async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }
}

/// Adds what the current request carries; headers that are there already stay, a deadline is lowered.
pub(crate) fn carry(headers: &mut HeaderMap) {
    let _ = CURRENT.try_with(|context| {
        for (name, value) in &context.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(deadline) = context.deadline {
            header::lower_deadline(headers, deadline.saturating_duration_since(Instant::now()));
        }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_carries_what_its_request_had_and_the_time_that_is_left() {
        let request = headers(&[
            ("x-request-id", "r1"),
            ("traceparent", "t1"),
            ("x-meshbase-project", "shop"),
            ("x-meshbase-deadline-ms", "500"),
            ("authorization", "secret"),
        ]);

        let call = Context::of(&request).scope(async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut call = headers(&[("x-request-id", "its own")]);
            carry(&mut call);
            call
        });

        let expected = [
            ("x-request-id", "its own"),
            ("traceparent", "t1"),
            ("x-meshbase-project", "shop"),
            ("x-meshbase-deadline-ms", "300"),
        ];
        assert_eq!(call.await, headers(&expected));
    }

    #[tokio::test]
    async fn a_call_outside_of_a_request_carries_nothing() {
        let mut call = HeaderMap::new();

        carry(&mut call);

        assert!(call.is_empty());
    }
}
