//! Time that is left shrinks from hop to hop, and work that nobody waits for ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::serve::{Listener, serve};
use base::{Body, Request, Response, header};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::support::{Authority, Proxy, client};
use crate::support::{process::folder, run};

/// A program that never answers, tells how much time it was given, and when it is given up.
struct Patient {
    told_ms: Arc<AtomicU64>,
    asked: Arc<Notify>,
    left: Arc<Notify>,
}

/// Fires when a request's work is dropped.
struct Leaving(Arc<Notify>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn patient(socket: &std::path::Path, stop: CancellationToken) -> Patient {
    let patient = Patient { told_ms: Arc::default(), asked: Arc::default(), left: Arc::default() };
    let (told, asked, left) = (patient.told_ms.clone(), patient.asked.clone(), patient.left.clone());
    let service = tower::service_fn(move |request: Request| {
        let millis = header::deadline(request.headers()).unwrap_or_default().as_millis();
        told.store(u64::try_from(millis).unwrap(), Ordering::Relaxed);
        let (asked, leaving) = (asked.clone(), Leaving(left.clone()));
        async move {
            asked.notify_one();
            std::future::pending::<()>().await;
            drop(leaving);
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    tokio::spawn(serve(Listener::unix(socket).unwrap(), service, stop, Duration::ZERO));
    patient
}

#[test]
fn a_deadline_shrinks_on_its_way_and_a_caller_that_leaves_ends_the_work() {
    run(async {
        let (folder, authority, stop) = (folder(), Authority::new(), CancellationToken::new());
        let socket = |name: &str| folder.path().join(name);
        let patient = patient(&socket("program"), stop.clone());
        let callee = Proxy::start(&format!(
            "
trust_domain: test.local
services:
  slow: {{callers: [caller], routes: [{{kind: unary, deadline_ms: 5000}}]}}
  caller: {{}}
sidecar:
  inbound: 127.0.0.1:0
  {}
  workloads: [{{service: slow, program: 'unix:{}', {}}}]
",
            authority.roots(),
            socket("program").display(),
            authority.identity("slow"),
        ));
        let _caller = Proxy::start(&format!(
            "
trust_domain: test.local
services:
  slow:
    discovery: {{static: [{{address: '{}'}}]}}
    routes: [{{kind: unary, deadline_ms: 5000}}]
  caller: {{}}
sidecar:
  {}
  workloads: [{{service: caller, outbound: [{{listen: 'unix:{}'}}], {}}}]
",
            callee.inbound(),
            authority.roots(),
            socket("out").display(),
            authority.identity("caller"),
        ));
        let calls = client(&socket("out"));
        let request = |deadline: &str| {
            let request = http::Request::get("http://slow.mesh/").header(header::DEADLINE, deadline);
            request.body(Body::empty()).unwrap()
        };

        let late = calls.send(request("200")).await.unwrap();
        assert_eq!(late.status(), http::StatusCode::GATEWAY_TIMEOUT);
        let told = patient.told_ms.load(Ordering::Relaxed);
        assert!((1..=200).contains(&told), "the program was told {told} ms");
        tokio::time::timeout(Duration::from_secs(5), patient.left.notified()).await.expect("the work ends");

        // `notified` keeps one wake-up: the first request's is used up before the second is sent
        patient.asked.notified().await;
        let calling = tokio::spawn(async move { calls.send(request("4000")).await.map(drop) });
        patient.asked.notified().await;
        calling.abort();
        let ended = tokio::time::timeout(Duration::from_secs(2), patient.left.notified()).await;
        ended.expect("a caller that leaves ends the work long before the deadline");
        stop.cancel();
    });
}
