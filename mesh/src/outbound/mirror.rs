//! Copies of requests to another service, whose answers nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use base::error::Source;
use base::{Body, Request};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

use super::Stack;
use super::head::KeptHead;
use crate::Cause;
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
        if request.extensions().get::<Copied>().is_some() {
            return request;
        }
        let is_small = request.body().size_hint().upper().is_some_and(|bytes| bytes <= BODY_BYTES);
        let is_unary = matches!(route.kind, Kind::Unary { .. });
        if !is_unary || !is_small || !split::mirrors(mirror, &stack.plane().dice) {
            return request;
        }
        let Some(service) = stack.service(&mirror.service) else { return request };
        let kept = KeptHead::of(&request);
        let (head, body) = request.into_parts();
        let bytes = match tokio::time::timeout(LIMIT, body.collect()).await {
            Ok(Ok(bytes)) => bytes.to_bytes(),
            // it broke off or stalled: so it does for the service
            Ok(Err(error)) => return Request::from_parts(head, Body::new(Broken(Some(error.into())))),
            Err(_) => return Request::from_parts(head, Body::new(Broken(Some(Cause::RequestBody.into())))),
        };
        let Ok(place) = self.0.clone().try_acquire_owned() else {
            return Request::from_parts(head, Body::from(bytes));
        };
        let mut copy = kept.with(Body::from(bytes.clone()));
        copy.extensions_mut().insert(Copied);
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

/// Marks a copy: it is not copied again, and its failure is nobody's.
#[derive(Clone, Copy)]
pub(super) struct Copied;

/// A body that is nothing but an error.
struct Broken(Option<Source>);

impl http_body::Body for Broken {
    type Data = bytes::Bytes;
    type Error = Source;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Source>>> {
        std::task::Poll::Ready(self.0.take().map(Err))
    }
}
