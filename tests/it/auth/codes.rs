//! One-time codes under attack: used twice, at once, guessed, late.

use futures_util::future::join_all;
use serde_json::json;

use super::{Letter, assert_refused, confirming, sign_up, verify};
use crate::support::{App, at, run};

const ANN: &str = "ann@example.com";

/// A project with one open confirmation, and its mail.
async fn unconfirmed() -> (App, Letter) {
    let app = confirming().await;
    sign_up(&app, "ann").await.expect(200);
    let letter = Letter::newest(&app, ANN, 1).await;
    (app, letter)
}

/// A code of six digits that is another.
fn wrong(code: &str, n: u32) -> String {
    let right: u32 = code.parse().expect("digits");
    format!("{:06}", (right + 1 + n) % 1_000_000)
}

#[test]
fn a_code_used_by_ten_at_once_makes_one_session() {
    run(async {
        let (app, letter) = unconfirmed().await;

        let replies = join_all((0..10).map(|_| verify(&app, "signup", ANN, &letter.code))).await;

        let (used, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!(used.len(), 1);
        refused.into_iter().for_each(|reply| assert_refused(reply, 403, "otp_expired"));
        assert_eq!(app.value("select count(*) from auth.sessions").await, json!(1));
    });
}

#[test]
fn a_link_followed_by_ten_at_once_makes_one_session() {
    run(async {
        let (app, letter) = unconfirmed().await;

        let landings = join_all((0..10).map(|_| letter.follow(&app))).await;

        let used = landings.iter().filter(|landing| !landing.get("access_token").is_empty()).count();
        let refused = landings.iter().filter(|landing| landing.get("error_code") == "otp_expired").count();
        assert_eq!((used, refused), (1, 9));
        assert_eq!(app.value("select count(*) from auth.sessions").await, json!(1));
    });
}

#[test]
fn after_ten_wrong_codes_not_even_the_right_one_is_looked_at() {
    run(async {
        let (app, letter) = unconfirmed().await;
        for n in 0..10 {
            assert_refused(verify(&app, "signup", ANN, &wrong(&letter.code, n)).await, 403, "otp_expired");
        }

        let eleventh = verify(&app, "signup", ANN, &wrong(&letter.code, 10)).await;

        assert!(
            eleventh.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds))
        );
        assert_refused(eleventh, 429, "over_request_rate_limit");
        assert_refused(verify(&app, "email", ANN, &letter.code).await, 429, "over_request_rate_limit");
        let get = format!("/auth/v1/verify?type=signup&email={ANN}&token={}", letter.code);
        assert_refused(app.nobody().get(&get).send().await, 429, "over_request_rate_limit");
        // whoever has the mail is not locked out, nor is anybody else
        letter.follow(&app).await.signed_in(&app);
        assert_refused(verify(&app, "signup", "bob@example.com", "123456").await, 403, "otp_expired");
    });
}

#[test]
fn a_code_works_for_its_address_and_its_purpose_alone() {
    run(async {
        let (app, letter) = unconfirmed().await;
        sign_up(&app, "bob").await.expect(200);
        let bobs = Letter::newest(&app, "bob@example.com", 1).await;

        assert_refused(verify(&app, "signup", "bob@example.com", &letter.code).await, 403, "otp_expired");
        for kind in ["recovery", "magiclink", "email_change"] {
            assert_refused(verify(&app, kind, ANN, &letter.code).await, 403, "otp_expired");
        }
        assert_refused(verify(&app, "anything", ANN, &letter.code).await, 400, "validation_failed");

        let session = verify(&app, "signup", ANN, &letter.code).await.expect(200).json();
        assert_eq!(at(&session, "/user/email"), &json!(ANN));
        verify(&app, "signup", "bob@example.com", &bobs.code).await.expect(200);
    });
}

#[test]
fn what_is_older_than_an_hour_has_expired() {
    run(async {
        let (app, letter) = unconfirmed().await;
        app.sql("update auth.one_time_tokens set created_at = created_at - interval '1 hour'").await;

        assert_refused(verify(&app, "signup", ANN, &letter.code).await, 403, "otp_expired");

        assert_eq!(letter.follow(&app).await.get("error_code"), "otp_expired");
    });
}

#[test]
fn a_link_checker_that_asks_with_head_burns_nothing() {
    run(async {
        let (app, letter) = unconfirmed().await;
        let path = letter.link.split_once("/auth/").map(|(_, rest)| format!("/auth/{rest}")).unwrap();

        app.nobody().call(http::Method::HEAD, &path).send().await.expect(200);

        letter.follow(&app).await.signed_in(&app);
    });
}
