//! Recovering a password.

use http::StatusCode;
use serde_json::json;

use super::{Letter, SITE, assert_refused, is_signed_in, mailing, sign_in, verify};
use crate::support::{App, PASSWORD, Reply, run};

const ANN: &str = "ann@example.com";

async fn recover(app: &App, email: &str) -> Reply {
    app.anon().post("/auth/v1/recover").json(json!({"email": email})).send().await
}

#[test]
fn an_unknown_address_is_answered_like_a_known_one() {
    run(async {
        let app = App::new().await;
        app.user("ann").await;
        let answer = |reply: Reply| -> (StatusCode, String, String) {
            (reply.status, reply.text(), reply.header("x-sb-error-code").to_owned())
        };

        let (known, unknown) = (recover(&app, ANN).await, recover(&app, "nobody@example.com").await);
        // and again, too soon
        let (known_again, unknown_again) =
            (recover(&app, ANN).await, recover(&app, "nobody@example.com").await);

        assert_eq!(known.json(), json!({}));
        assert_eq!(answer(known), answer(unknown));
        assert!(
            known_again.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds))
        );
        assert_eq!(known_again.header("x-sb-error-code"), unknown_again.header("x-sb-error-code"));
        assert_refused(known_again, 429, "over_email_send_rate_limit");
        Letter::newest(&app, ANN, 1).await;
        assert_eq!(app.mails("nobody@example.com").await.len(), 0);
    });
}

#[test]
fn the_link_signs_in_and_a_new_password_can_be_set() {
    run(async {
        let app = mailing().await;
        let thief = app.user("ann").await;
        recover(&app, "Ann@Example.com").await.expect(200);
        let letter = Letter::newest(&app, ANN, 1).await;

        let landing = letter.follow(&app).await;

        assert_eq!(letter.subject, "Reset your password");
        assert_eq!((landing.page.as_str(), landing.get("type")), (SITE, "recovery"));
        let ann = landing.signed_in(&app);
        ann.put("/auth/v1/user").json(json!({"password": "a new password"})).send().await.expect(200);
        assert!(is_signed_in(&ann).await && !is_signed_in(&thief).await);
        sign_in(&app, "ann", "a new password").await.expect(200);
        assert_refused(sign_in(&app, "ann", PASSWORD).await, 400, "invalid_credentials");
        assert_eq!(letter.follow(&app).await.get("error_code"), "otp_expired");
    });
}

#[test]
fn the_code_signs_in_and_the_newest_one_alone() {
    run(async {
        let app = mailing().await;
        app.user("ann").await;
        recover(&app, ANN).await.expect(200);
        let first = Letter::newest(&app, ANN, 1).await;
        recover(&app, ANN).await.expect(200);
        let second = Letter::newest(&app, ANN, 2).await;

        assert_eq!(first.follow(&app).await.get("error_code"), "otp_expired");

        verify(&app, "recovery", ANN, &second.code).await.expect(200);
        assert_refused(verify(&app, "recovery", ANN, &second.code).await, 403, "otp_expired");
    });
}

#[test]
fn a_change_of_password_takes_open_mails_with_it() {
    run(async {
        let app = mailing().await;
        let ann = app.user("ann").await;
        recover(&app, ANN).await.expect(200);
        let letter = Letter::newest(&app, ANN, 1).await;

        ann.put("/auth/v1/user").json(json!({"password": "a new password"})).send().await.expect(200);

        assert_eq!(letter.follow(&app).await.get("error_code"), "otp_expired");
        assert_refused(verify(&app, "recovery", ANN, &letter.code).await, 403, "otp_expired");
    });
}
