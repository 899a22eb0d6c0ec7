//! When everything fails, retries must not make it worse; also not when three proxies in a row could retry.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::serve::{Listener, serve};
use base::{Body, Request, Response, header};
use common::Outbound;
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::support::{Mood, Origin, Proxy, client, get, load};
use crate::support::{process::folder, run};

const RATE: u32 = 100;

/// A program that calls `next` for each request and says 502 when that fails. It forwards the request's id, as the
/// service contract asks.
fn relay(socket: &Path, next: Outbound, url: &'static str, stop: CancellationToken) {
    let listener = Listener::unix(socket).unwrap();
    let service = tower::service_fn(move |request: Request| {
        let next = next.clone();
        async move {
            let mut call = http::Request::get(url).body(Body::empty()).unwrap();
            if let Some(id) = request.headers().get(header::REQUEST_ID) {
                call.headers_mut().insert(header::REQUEST_ID, id.clone());
            }
            let good = next.send(call).await.is_ok_and(|answer| answer.status().is_success());
            let mut response = Response::new(Body::empty());
            *response.status_mut() = if good { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
            Ok::<_, Infallible>(response)
        }
    });
    tokio::spawn(serve(listener, service, stop, Duration::ZERO));
}

/// The client's proxy → a, beside its proxy → b, beside its proxy → the origin. Returns the client's socket.
struct Chain {
    first: PathBuf,
    _proxies: Vec<Proxy>,
    _folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn chain(origin: &Origin) -> Chain {
    let (folder, authority, stop) = (folder(), super::support::Authority::new(), CancellationToken::new());
    let socket = |name: &str| folder.path().join(format!("{name}.sock"));
    let service = |name: &str, address: &str, tls: &str, callers: &str| {
        format!(
            "  {name}: {{tls: {tls}, callers: [{callers}], discovery: {{static: [{{address: '{address}'}}]}}, routes: [{{kind: unary, deadline_ms: 5000}}]}}\n"
        )
    };
    let hop = |name: &str, caller: &str, services: &str, has_program: bool| {
        let program =
            if has_program { format!("program: 'unix:{}', ", socket(name).display()) } else { String::new() };
        let inbound = if has_program { "  inbound: 127.0.0.1:0\n" } else { "" };
        let own = match has_program {
            true => format!("  {caller}: {{}}\n{}", service(name, "127.0.0.1:1", "mutual", caller)),
            false => format!("  {name}: {{}}\n"),
        };
        Proxy::start(&format!(
            "
trust_domain: test.local
services:
{own}{services}
sidecar:
{inbound}  {}
  workloads: [{{service: {name}, {program}outbound: [{{listen: 'unix:{}'}}], {}}}]
",
            authority.roots(),
            socket(&format!("{name}-out")).display(),
            authority.identity(name),
        ))
    };
    let b = hop("b", "a", &service("origin", &origin.address.to_string(), "off", "b"), true);
    relay(&socket("b"), client(&socket("b-out")), "http://origin.mesh/", stop.clone());
    let a = hop("a", "client", &service("b", b.inbound(), "mutual", ""), true);
    relay(&socket("a"), client(&socket("a-out")), "http://b.mesh/", stop.clone());
    let first = hop("client", "", &service("a", a.inbound(), "mutual", ""), false);
    Chain { first: socket("client-out"), _proxies: vec![b, a, first], _folder: folder, stop }
}

fn check(seconds: u64) {
    run(async {
        let origin = Origin::start().await;
        let chain = chain(&origin);
        let calls = client(&chain.first);
        assert_eq!(get(&calls, "http://a.mesh/").await, Some(StatusCode::OK));
        origin.set(Mood::Failing);
        let before = origin.count();

        let started = std::time::Instant::now();
        let samples = load(&calls, "http://a.mesh/", RATE, Duration::from_secs(seconds)).await;
        // the budget allows ten a second anyhow, also in the second that has begun
        let anyhow = 10.0 * (started.elapsed().as_secs_f64() + 1.0);

        let (sent, seen) = (samples.len() as f64, (origin.count() - before) as f64);
        println!("{sent} requests, the origin saw {seen}: {:.2} times", seen / sent);
        assert!(samples.iter().all(|sample| !sample.good));
        assert!(seen <= sent * 1.2 + anyhow, "{sent} requests became {seen}");
    });
}

#[test]
fn a_total_failure_is_not_multiplied_along_a_chain() {
    check(5);
}

#[test]
#[ignore = "a minute"]
fn a_total_failure_is_not_multiplied_along_a_chain_in_a_minute() {
    check(60);
}
