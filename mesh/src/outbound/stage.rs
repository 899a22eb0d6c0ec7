//! What happens to a request before and after its attempts: the route and what the route says.

use std::sync::Arc;

use base::{Body, Request, Response, header};
use http::HeaderMap;

use super::Stack;
use super::call::Call;
use super::mirror::Copied;
use crate::classify::{Class, classify};
use crate::matching::Head;
use crate::observe::Event;
use crate::observe::trace::Trace;
use crate::record::Record;
use crate::resource::{Kind, Protocol, Tls};
use crate::snapshot::{Route, Service};
use crate::traffic::edit;
use crate::traffic::fault::Injected;
use crate::{Cause, hop, rescue, target};

/// Routes `request` and carries it out.
pub(super) async fn run(
    stack: &Arc<Stack>,
    service: Arc<Service>,
    mut request: Request,
    mut record: Record,
) -> Result<Response, Cause> {
    if target::normalise_path(&mut request).is_err() {
        return Ok(answered(rescue::bad_path(), &mut record));
    }
    let route = service.route(&Head::of(&request, request.uri().path())).clone();
    record.route(&route.name);
    let dice = &stack.plane().dice;
    let injected = route.fault.as_ref().and_then(|fault| fault.decide(request.headers(), dice));
    if let Some(injected) = injected
        && let Some(answer) = trouble(stack, &service, &route, injected).await
    {
        return Ok(answered(answer, &mut record));
    }
    if let Some(redirect) = &route.spec.redirect {
        let answer = edit::redirect(redirect, request.uri()).unwrap_or_else(|_| rescue::bad_path());
        return Ok(answered(answer, &mut record));
    }
    let service = split(stack, &service, &route, &request).unwrap_or(service);
    if let Err(cause) = may_call(stack, &service, &request) {
        record.failed(cause);
        return Err(cause);
    }
    if change(stack, &service, &route, &mut request, &mut record).is_err() {
        return Ok(answered(rescue::bad_path(), &mut record));
    }
    let is_copy = request.extensions().get::<Copied>().is_some();
    let request = stack.mirrors.copy(stack, &route, request).await;
    let id = request.headers().get(header::REQUEST_ID).cloned();

    let call = Call::new(stack.clone(), service, route.clone(), &request);
    let outcome = call.run(request, record).await;
    if !is_copy && is_failure(&outcome) {
        stack.plane().blame.note(&stack.source, id);
    }
    outcome.map(|mut response| {
        edit::apply(&route.spec.response_headers, response.headers_mut());
        response
    })
}

/// Whether the service may be called, as far as it is on this side to say so: nobody calls a denied one, HTTP goes to
/// no other protocol, and before a program without a proxy it is here that policy is judged.
fn may_call(stack: &Stack, service: &Service, request: &Request) -> Result<(), Cause> {
    if service.is_denied || service.spec.protocol == Protocol::Tcp {
        return Err(Cause::NotAllowed);
    }
    if service.spec.tls == Tls::Mutual || stack.is_local(service) {
        return Ok(());
    }
    let head = Head::of(request, request.uri().path());
    stack.judge(service, &head)
}

/// Whether the caller's program will have to say that something it needs failed.
fn is_failure(outcome: &Result<Response, Cause>) -> bool {
    match outcome {
        Ok(response) => {
            let (status, headers) = (response.status(), response.headers());
            (502..=504).contains(&status.as_u16()) || classify(status, headers) == Class::EndpointFault
        }
        Err(_) => true,
    }
}

/// Trouble on purpose: a wait, and perhaps an answer.
async fn trouble(stack: &Stack, service: &Service, route: &Route, injected: Injected) -> Option<Response> {
    let (destination, route) = (service.name.clone(), route.name.clone());
    stack.plane().observe(&Event::FaultInjected { destination, route });
    if let Some(delay) = injected.delay {
        tokio::time::sleep(delay).await;
    }
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = injected.abort?;
    Some(answer)
}

/// What the route and the hop change about the request.
fn change(
    stack: &Stack,
    service: &Service,
    route: &Route,
    request: &mut Request,
    record: &mut Record,
) -> Result<(), String> {
    let may_upgrade = matches!(route.kind, Kind::Upgrade { .. });
    let headers = request.headers_mut();
    hop::strip(headers, may_upgrade && hop::wants_upgrade(headers));
    if service.spec.tls == Tls::Off {
        // no proxy is there to do it
        service.policy.strip(&stack.identity, headers);
    }
    record.trace(trace(stack, headers));
    edit::apply(&route.spec.request_headers, headers);
    if let Some(rewrite) = &route.spec.rewrite {
        let (mut head, body) = std::mem::take(request).into_parts();
        edit::rewrite(rewrite, route.spec.matches.prefix.as_deref(), &mut head)?;
        *request = Request::from_parts(head, body);
    }
    Ok(())
}

/// This exchange's span, told to the callee; without tracing, what came goes on untouched.
fn trace(stack: &Stack, headers: &mut HeaderMap) -> Option<Trace> {
    let plane = stack.plane();
    let sampler = plane.parts.sampling.get()?;
    let trace = sampler.enter(headers, || plane.dice.next());
    trace.write(headers);
    Some(trace)
}

/// The service that shares this one's requests and gets this one.
fn split(stack: &Stack, service: &Service, route: &Route, request: &Request) -> Option<Arc<Service>> {
    let sticky = route.spec.split.as_ref()?.sticky.as_ref();
    let value = sticky.and_then(|key| stack.hashed(request).value(key));
    let to = route.split.as_ref()?.choose(value, &stack.plane().dice);
    if *to == service.name { None } else { stack.service(to) }
}

fn answered(response: Response, record: &mut Record) -> Response {
    record.head(response.status(), response.headers());
    response
}
