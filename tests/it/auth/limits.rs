//! How often one client may ask.

use serde_json::json;

use super::{assert_refused, is_signed_in, refresh, sign_in, sign_up, with_settings};
use crate::support::{PASSWORD, Reply, run};

/// Asserts that the reply says when to come back.
#[track_caller]
fn assert_put_off(reply: &Reply) {
    let seconds = reply.header("retry-after").parse::<u64>();
    assert!(seconds.as_ref().is_ok_and(|seconds| (1..=300).contains(seconds)), "{seconds:?}");
}

#[test]
fn a_client_that_asks_too_often_is_refused_for_a_while() {
    run(async {
        let limits = json!({"include_loopback": true, "sign_in_sign_ups": 2, "token_refresh": 2});
        let app = with_settings(json!({"rate_limit": limits})).await;
        let other = with_settings(json!({"rate_limit": limits})).await;
        sign_up(&app, "ann").await.expect(200);
        sign_up(&app, "bob").await.expect(200);
        sign_in(&app, "ann", PASSWORD).await.expect(200);
        sign_in(&app, "ann", "wrong horse").await.expect(400);

        for refused in [sign_up(&app, "eve").await, sign_in(&app, "ann", PASSWORD).await] {
            assert_put_off(&refused);
            assert_refused(refused, 429, "over_request_rate_limit");
        }
        sign_up(&other, "eve").await.expect(200);
    });
}

#[test]
fn a_refresh_too_many_is_put_off_and_the_session_stays() {
    run(async {
        let app = with_settings(json!({"rate_limit": {"include_loopback": true, "token_refresh": 2}})).await;
        let ann = app.user("ann").await;
        for _ in 0..2 {
            refresh(&app, &ann.refresh_token).await.expect(200);
        }

        let put_off = refresh(&app, &ann.refresh_token).await.expect(503);

        assert_put_off(&put_off);
        assert!(is_signed_in(&ann).await);
    });
}

#[test]
fn a_project_sends_no_more_mails_an_hour_than_it_allows() {
    run(async {
        let app = with_settings(json!({
            "email": {"enable_confirmations": true, "max_frequency": "0s"},
            "rate_limit": {"include_loopback": true, "email_sent": 2},
        }))
        .await;
        sign_up(&app, "ann").await.expect(200);
        sign_up(&app, "bob").await.expect(200);

        let third = sign_up(&app, "eve").await;

        assert!(third.headers.contains_key("retry-after"));
        assert_refused(third, 429, "over_email_send_rate_limit");
        assert_eq!(app.value("select count(*) from auth.users").await, json!(2));
    });
}
