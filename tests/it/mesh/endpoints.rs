//! One of three endpoints goes bad in each way it can: the others carry the load.

use std::time::Duration;

use super::support::{Mood, Origin, Proxy, Sample, client, failures, load};
use crate::support::{process::folder, run};

/// What happens to the bad one.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Killed,
    Moody(Mood),
}

const TROUBLES: [Trouble; 4] = [
    Trouble::Killed,
    Trouble::Moody(Mood::Failing),
    Trouble::Moody(Mood::Slow),
    Trouble::Moody(Mood::Overloaded),
];

struct Outcome {
    samples: Vec<Sample>,
    /// The bad endpoint's part of the requests after the first five seconds.
    share: f64,
}

/// 500 requests a second; after one second the first of three endpoints goes bad.
async fn with(trouble: Trouble, seconds: u64) -> Outcome {
    let origins = [Origin::start().await, Origin::start().await, Origin::start().await];
    let endpoints: Vec<String> = origins.iter().map(|o| format!("{{address: '{}'}}", o.address)).collect();
    let folder = folder();
    let socket = folder.path().join("out.sock");
    let proxy = Proxy::start(&format!(
        "
trust_domain: test.local
services:
  caller: {{}}
  origin:
    tls: off
    callers: [caller]
    discovery: {{static: [{}]}}
    routes: [{{kind: unary, deadline_ms: 5000}}]
sidecar:
  workloads: [{{service: caller, outbound: [{{listen: 'unix:{}'}}]}}]
",
        endpoints.join(", "),
        socket.display()
    ));
    let calls = client(&socket);
    let loading =
        tokio::spawn(
            async move { load(&calls, "http://origin.mesh/", 500, Duration::from_secs(seconds)).await },
        );
    tokio::time::sleep(Duration::from_secs(1)).await;
    match trouble {
        Trouble::Killed => origins[0].kill(),
        Trouble::Moody(mood) => origins[0].set(mood),
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before: Vec<u64> = origins.iter().map(Origin::count).collect();
    let samples = loading.await.unwrap();
    let after: Vec<u64> =
        origins.iter().zip(before).map(|(origin, before)| origin.count() - before).collect();
    drop(proxy);
    Outcome { samples, share: after[0] as f64 / after.iter().sum::<u64>() as f64 }
}

fn check(trouble: Trouble, seconds: u64) {
    let outcome = run(with(trouble, seconds));
    let (failed, total) = (failures(&outcome.samples), outcome.samples.len());
    println!("{trouble:?}: {failed} of {total} failed, its share {:.2} %", outcome.share * 100.0);
    assert!(failed * 1000 <= total, "{trouble:?}: {failed} of {total} failed");
    assert!(outcome.share < 0.02, "{trouble:?}: its share is {:.2} %", outcome.share * 100.0);
}

#[test]
fn a_bad_endpoint_costs_almost_nothing() {
    for trouble in TROUBLES {
        check(trouble, 8);
    }
}

#[test]
#[ignore = "four minutes"]
fn a_bad_endpoint_costs_almost_nothing_in_a_minute() {
    for trouble in TROUBLES {
        check(trouble, 60);
    }
}
