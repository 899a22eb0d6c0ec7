//! What is answered when the service cannot: a given answer, the last good one, or another service's.

use base::{Body, Request, Response, header};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;

use super::attempt::Answer;
use super::call::Call;
use super::head::KeptHead;
use crate::Cause;
use crate::classify::{Class, classify};
use crate::observe::{Event, FallbackKind};
use crate::resilience::deadline;
use crate::resilience::stale::{Key, StaleCache};
use crate::resource;

/// What a route has in store, with what was kept of the request for it.
pub(super) struct Fallback {
    stale: Option<(StaleCache, Key)>,
    /// The request without its body, for another service: only what can be sent twice goes there.
    again: Option<KeptHead>,
    /// When the caller no longer waits.
    until: Instant,
}

impl Fallback {
    /// `None` for a route without.
    pub(super) fn of(call: &Call, request: &Request) -> Option<Fallback> {
        let fallback = &call.route.spec.fallback;
        if fallback.is_empty() {
            return None;
        }
        let mut kept = KeptHead::of(request);
        kept.says(header::PEER, &call.stack.source);
        let stale = call.route.stale.as_ref();
        let stale = stale.and_then(|cache| Some((cache.clone(), cache.key(kept.parts())?)));
        let wants_service = fallback.iter().any(|f| matches!(f, resource::Fallback::Service(_)));
        let is_bodiless = http_body::Body::is_end_stream(request.body());
        let again = (wants_service && is_bodiless).then_some(kept);
        Some(Fallback { stale, again, until: Instant::now() })
    }

    /// The same, for a caller who waits until then.
    pub(super) fn until(self, until: Instant) -> Fallback {
        Fallback { until, ..self }
    }

    /// The outcome, or what stands in for it.
    pub(super) async fn after(&self, call: &Call, outcome: Result<Answer, Cause>) -> Result<Answer, Cause> {
        if !is_failure(&outcome) {
            return match (outcome, &self.stale) {
                (Ok(answer), Some((cache, key))) => Ok(Answer {
                    response: cache.keep(key.clone(), answer.response, Instant::now()),
                    ..answer
                }),
                (outcome, _) => outcome,
            };
        }
        for fallback in &call.route.spec.fallback {
            if let Some((response, kind)) = self.one(call, fallback).await {
                let (destination, route) = (call.service.name.clone(), call.route.name.clone());
                call.stack.plane().observe(&Event::FellBack { destination, route, kind });
                return Ok(Answer { response, held: None });
            }
        }
        outcome
    }

    async fn one(&self, call: &Call, fallback: &resource::Fallback) -> Option<(Response, FallbackKind)> {
        match fallback {
            resource::Fallback::Static { status, headers, body } => {
                let mut response = Response::new(Body::from(body.clone()));
                *response.status_mut() = StatusCode::from_u16(*status).ok()?;
                for (name, value) in headers {
                    let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value))
                    else {
                        continue;
                    };
                    response.headers_mut().append(name, value);
                }
                Some((response, FallbackKind::Static))
            }
            resource::Fallback::Stale(_) => {
                let (cache, key) = self.stale.as_ref()?;
                Some((cache.get(key, Instant::now())?, FallbackKind::Stale))
            }
            resource::Fallback::Service(name) => {
                let left = self.until.checked_duration_since(Instant::now())?;
                let mut again = self.again.as_ref()?.with(Body::empty());
                deadline::write(again.headers_mut(), left);
                let service = call.stack.service(name)?;
                let answer = call.stack.exchange_with(service, again).await;
                Some((answer.ok()?, FallbackKind::Service))
            }
        }
    }
}

fn is_failure(outcome: &Result<Answer, Cause>) -> bool {
    match outcome {
        Ok(answer) => {
            let (status, headers) = (answer.response.status(), answer.response.headers());
            classify(status, headers) != Class::Answer || (502..=504).contains(&status.as_u16())
        }
        Err(cause) => !matches!(cause, Cause::NotAllowed | Cause::RequestBody | Cause::Cut),
    }
}
