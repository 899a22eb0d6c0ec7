//! Copies of requests to another service, whose answers nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use base::{Body, Request};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

use super::Stack;
use super::head::KeptHead;
use crate::observe::Event;
use crate::resource::Kind;
use crate::snapshot::Route;
use crate::traffic::split;

/// Copies under way at once; further ones are left out.
const MOST: usize = 64;
/// Longest time for one.
const LIMIT: Duration = Duration::from_secs(10);
/// A body that is known to be no longer than this is copied with its request.
const BODY_BYTES: u64 = 64 * 1024;

/// The places for copies.
pub(super) struct Mirrors(Arc<Semaphore>);

impl Default for Mirrors {
    fn default() -> Mirrors {
        Mirrors(Arc::new(Semaphore::new(MOST)))
    }
}

impl Mirrors {
    /// Sends a copy of `request` on its way if its route says so, and gives the request back.
    ///
    /// Only a body of a known small size is copied: it is read before it goes on. Streams and upgrades are not copied.
    pub(super) async fn copy(&self, stack: &Arc<Stack>, route: &Route, request: Request) -> Request {
        let Some(mirror) = &route.spec.mirror else { return request };
        let is_small = request.body().size_hint().upper().is_some_and(|bytes| bytes <= BODY_BYTES);
        let is_unary = matches!(route.kind, Kind::Unary { .. });
        if !is_unary || !is_small || !split::mirrors(mirror, &stack.plane().dice) {
            return request;
        }
        let (Ok(place), Some(service)) = (self.0.clone().try_acquire_owned(), stack.service(&mirror.service))
        else {
            return request;
        };
        let kept = KeptHead::of(&request);
        let (head, body) = request.into_parts();
        let bytes = match body.collect().await {
            Ok(bytes) => bytes.to_bytes(),
            // it broke off: so it does for the service
            Err(error) => return Request::from_parts(head, Body::new(Broken(Some(error)))),
        };
        let copy = kept.with(Body::from(bytes.clone()));
        stack.plane().observe(&Event::Mirrored { destination: service.name.clone() });
        let stack = stack.clone();
        tokio::spawn(async move {
            let answer = async {
                if let Ok(response) = stack.exchange_with(service, copy).await {
                    let _ = response.into_body().collect().await;
                }
            };
            let _ = tokio::time::timeout(LIMIT, answer).await;
            drop(place);
        });
        Request::from_parts(head, Body::from(bytes))
    }
}

/// A body that is nothing but an error.
struct Broken<E>(Option<E>);

impl<E: Unpin> http_body::Body for Broken<E> {
    type Data = bytes::Bytes;
    type Error = E;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, E>>> {
        std::task::Poll::Ready(self.0.take().map(Err))
    }
}
