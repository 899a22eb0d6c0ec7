//! What is pushed: thousands of routes under traffic, and what a proxy cannot take.

use std::fmt::Write;

use super::support::{ECHO, Plane, SECOND, traffic};
use crate::mesh::support::{failures, get, quantile};
use crate::support::process::wait_until;
use crate::support::run;

/// Services with 5,000 routes together, which `web` may call.
fn many_routes() -> String {
    let mut text = ECHO.to_owned();
    for service in 0..50 {
        write!(text, "---\nkind: Service\nname: s{service}\nspec:\n  callers: [web]\n  routes:\n").unwrap();
        for route in 0..99 {
            writeln!(text, "    - {{ path: /r{route}/, kind: unary, deadline_ms: 1000 }}").unwrap();
        }
        text.push_str("    - { kind: unary, deadline_ms: 1000 }\n");
    }
    text
}

#[test]
fn five_thousand_routes_come_without_a_stall() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        let (_origin, _echo, web) = plane.echoing().await;
        let calls = web.calls();

        let before = traffic(&calls, 4).await.unwrap();
        let during = traffic(&calls, 8);
        tokio::time::sleep(SECOND).await;
        plane.apply(&many_routes());
        plane.settled(2);
        let during = during.await.unwrap();

        let [before_p99, during_p99] = [&before, &during].map(|samples| quantile(samples, 0.99));
        println!("p99 {before_p99:?} before, {during_p99:?} while 5,000 routes came");
        assert_eq!(failures(&during), 0);
        assert!(get(&calls, "http://s7.mesh/r98/").await.is_some(), "it knows the new services");
    });
}

/// A newer version of the control plane wrote it: a row that this one's check would not let pass.
#[test]
fn what_a_proxy_cannot_take_is_told_and_the_rest_is_in_force() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        let (_origin, _echo, web) = plane.echoing().await;
        let calls = web.calls();

        // a service without a last route that matches everything, and another change beside it
        let mut store = plane.store.connect().await;
        sqlx::query(
            r#"INSERT INTO control.revisions (author, reason, resources)
               SELECT 'a newer version', '', (
                   SELECT jsonb_agg(CASE WHEN d->>'name' = 'echo'
                       THEN jsonb_set(d, '{spec,routes}', '[{"kind":"unary","deadline_ms":9,"path":"/only"}]') ELSE d END)
                   FROM jsonb_array_elements(resources) d
               ) || '[{"kind":"Service","name":"fresh","spec":{"callers":["web"],"routes":[{"kind":"unary","deadline_ms":5}]}}]'
               FROM control.revisions ORDER BY id DESC LIMIT 1"#,
        )
        .execute(&mut store)
        .await
        .unwrap();
        sqlx::query("SELECT pg_notify('meshbase_control', 'resources')").execute(&mut store).await.unwrap();

        let rejected = |status: &serde_json::Value| {
            let proxies = status["proxies"].as_array().unwrap();
            proxies.iter().filter(|proxy| proxy["rejected"]["service/echo"].is_string()).count()
        };
        wait_until("both proxies say what they do not take", || {
            let output = plane.try_mesh(&["check"]);
            !output.status.success() && rejected(&serde_json::from_slice(&output.stdout).unwrap()) == 2
        });
        assert_eq!(
            get(&calls, "http://echo.mesh/").await.map(|s| s.as_u16()),
            Some(200),
            "the last good one"
        );
        assert_eq!(
            get(&calls, "http://fresh.mesh/").await.map(|s| s.as_u16()),
            Some(503),
            "known, and nowhere"
        );

        plane.apply(ECHO);
        plane.settled(2);
    });
}
