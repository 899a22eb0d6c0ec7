//! Connections that leave HTTP.

use std::time::Duration;

use crate::world::{conform, routes};

const LONG: &str = "- { path: /ws, kind: upgrade, response_ms: 5000, idle_ms: 60000, life_ms: 60000 }\n\
                    - { kind: unary, deadline_ms: 5000 }";

#[tokio::test]
async fn both_sides_hear_each_other_over_a_joined_connection() {
    conform(&routes(LONG), async |world| {
        let mut socket = world.socket("/ws?a=1", "echo").await.unwrap();
        for text in ["hello", &"x".repeat(300_000)] {
            socket.echoes(text).await;
        }
        socket.close().await;

        world.told("exchange gateway>echo /ws* 101").await;
    })
    .await;
}

#[tokio::test]
async fn a_joined_connection_has_an_end_of_silence_and_of_life() {
    for times in ["idle_ms: 800, life_ms: 60000", "idle_ms: 60000, life_ms: 1500"] {
        let route = format!("- {{ path: /ws, kind: upgrade, response_ms: 5000, {times} }}");
        let config = routes(&format!("{route}\n- {{ kind: unary, deadline_ms: 5000 }}"));
        conform(&config, async |world| {
            let mut socket = world.socket("/ws", "echo").await.unwrap();
            socket.echoes("still there").await;

            socket.ends_within(Duration::from_secs(5)).await;

            world.told("exchange gateway>echo /ws* 101").await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_program_may_refuse_to_leave_http() {
    conform(&routes(LONG), async |world| {
        let refused = world.socket("/ws", "401").await.err();

        assert_eq!(refused.as_deref(), Some("401 echo GET /ws"), "in the {} world", world.name);
        world.told("exchange gateway>echo /ws* 401").await;
    })
    .await;
}

#[tokio::test]
async fn a_program_that_panics_before_it_answers_is_a_reset() {
    let config = LONG.replace("life_ms: 60000", "life_ms: 60000, retry: { attempts: 0 }");
    conform(&routes(&config), async |world| {
        let refused = world.socket("/ws", "panic").await.err();

        assert_eq!(refused.as_deref(), Some("502 reset"), "in the {} world", world.name);
        world
            .told(
                "attempt echo reset
                 inbound gateway>echo /ws* 502 reset
                 outbound gateway>echo /ws* 502 reset",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_policy_does_not_name_joins_nothing() {
    let config = crate::world::echo(&format!("callers: [spiffe://test.local/other]\nroutes:\n{LONG}"));
    conform(&config, async |world| {
        let refused = world.socket("/ws", "echo").await.err().unwrap();

        assert!(refused.starts_with("403"), "{refused} in the {} world", world.name);
    })
    .await;
}

#[tokio::test]
async fn only_upgrade_routes_lead_out_of_http() {
    conform(&routes(LONG), async |world| {
        let refused = world.socket("/elsewhere", "echo").await.err();
        assert_eq!(refused.as_deref(), Some("426 no upgrade"), "in the {} world", world.name);

        world.get("/ws").await.is("200 echo GET /ws");
        world.get("/ws").plan("echo").await.is("426 no upgrade");
    })
    .await;
}
