//! One project's database is dead, and its clients go on asking: another project does not notice.

use std::time::Duration;

use base::Secret;
use common::project::Endpoint;
use platform::provision::Login;

use super::support::{Sample, failures, load_with, quantile};
use crate::support::{Actor, App, run};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 20);
                     ALTER TABLE t DISABLE ROW LEVEL SECURITY; GRANT SELECT ON t TO anon;";

/// A port that takes connections and says nothing: a database whose machine hangs.
fn black_hole() -> (std::net::TcpListener, Endpoint) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = Secret::new(format!("postgres://nobody:x@127.0.0.1:{port}/nothing"));
    (listener, Endpoint::parse(&url).unwrap())
}

async fn reads(actor: Actor, rate: u32, seconds: u64) -> Vec<Sample> {
    load_with(rate, Duration::from_secs(seconds), move || {
        let call = actor.get("/rest/v1/t?select=id");
        async move { call.try_send().await.is_ok_and(|reply| reply.status.is_success()) }
    })
    .await
}

/// Another project's latency, of which `part` of the requests are below, beside the dead one and beside a live one. A
/// short run on a busy machine can say that of its middle alone.
fn check(seconds: u64, part: f64) {
    run(async {
        let (dead, well) = (App::with(TABLE).await, App::with(TABLE).await);
        for app in [&dead, &well] {
            app.anon().get("/rest/v1/t?select=id").send().await.expect(200);
        }
        let (control, _) = tokio::join!(reads(well.anon(), 50, seconds), reads(dead.anon(), 200, seconds));
        let (_listener, nowhere) = black_hole();
        let services = ["auth", "data", "storage", "owner", "admin"];
        let logins = services.map(|service| Login { service, endpoint: nowhere.clone() });
        let platform = &dead.stack.up.platform;
        platform.set_logins(&dead.project.reference, &logins).await.unwrap();

        let (beside, refused) =
            tokio::join!(reads(well.anon(), 50, seconds), reads(dead.anon(), 200, seconds));

        let [control, beside_dead] = [&control, &beside].map(|samples| quantile(samples, part));
        println!(
            "{control:?} beside a project that is well, {beside_dead:?} beside one whose database is dead"
        );
        assert!(failures(&refused) > refused.len() / 2, "the database is dead");
        assert_eq!(failures(&beside), 0);
        // on a busy machine single answers take milliseconds whatever else goes on
        assert!(
            beside_dead <= (control * 3 / 2).max(Duration::from_millis(25)),
            "it went from {control:?} to {beside_dead:?}"
        );
    });
}

#[test]
fn a_dead_database_of_one_project_is_not_another_ones_trouble() {
    check(4, 0.5);
}

#[test]
#[ignore = "two minutes"]
fn a_dead_database_of_one_project_is_not_another_ones_trouble_for_a_minute() {
    check(60, 0.99);
}
