//! Signing up where addresses are confirmed by mail.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    Letter, SITE, assert_refused, claims, confirming, credentials, is_signed_in, sign_in, sign_up, verify,
    with_settings,
};
use crate::support::{App, PASSWORD, at, run};

const ANN: &str = "ann@example.com";

/// The names of an object's members.
fn names(object: &Value) -> Vec<&String> {
    object.as_object().expect("an object").keys().collect()
}

async fn resend(app: &App, kind: &str, email: &str) {
    let body = json!({"type": kind, "email": email});
    let reply = app.anon().post("/auth/v1/resend").json(body).send().await.expect(200);
    assert_eq!(reply.json(), json!({}));
}

#[test]
fn signing_up_answers_a_user_who_is_yet_to_confirm() {
    run(async {
        let app = confirming().await;

        let user = sign_up(&app, "ann").await.expect(200).json();

        assert_eq!((at(&user, "/email"), at(&user, "/access_token")), (&json!(ANN), &Value::Null));
        assert_eq!(
            (at(&user, "/email_confirmed_at"), at(&user, "/confirmed_at")),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(at(&user, "/user_metadata/email_verified"), &json!(false));
        assert!(at(&user, "/confirmation_sent_at").is_string());
        assert_refused(sign_in(&app, "ann", PASSWORD).await, 400, "email_not_confirmed");
        assert_refused(sign_in(&app, "ann", "wrong horse").await, 400, "invalid_credentials");
    });
}

#[test]
fn the_link_signs_in_once() {
    run(async {
        let app = confirming().await;
        sign_up(&app, "ann").await.expect(200);
        let letter = Letter::newest(&app, ANN, 1).await;

        let landing = letter.follow(&app).await;

        assert_eq!(letter.subject, "Confirm your email address");
        assert_eq!(landing.page, SITE);
        let shown: Vec<_> = landing.fragment.keys().map(String::as_str).collect();
        assert_eq!(
            shown,
            ["access_token", "expires_at", "expires_in", "refresh_token", "sb", "token_type", "type"]
        );
        assert_eq!((landing.get("token_type"), landing.get("type")), ("bearer", "signup"));
        let ann = landing.signed_in(&app);
        let user = ann.get("/auth/v1/user").send().await.expect(200).json();
        assert!(at(&user, "/email_confirmed_at").is_string());
        assert_eq!(at(&user, "/user_metadata/email_verified"), &json!(true));
        assert_eq!(at(&user, "/identities/0/identity_data/email_verified"), &json!(true));
        assert_eq!(at(&claims(&app, ann.token.as_ref().unwrap()).await, "/amr/0/method"), &json!("otp"));
        sign_in(&app, "ann", PASSWORD).await.expect(200);

        let again = letter.follow(&app).await;

        assert_eq!(again.page, SITE);
        assert_eq!((again.get("error"), again.get("error_code")), ("access_denied", "otp_expired"));
        assert_eq!(
            (again.get("error_description"), again.get("access_token")),
            ("Email link is invalid or has expired", "")
        );
        assert!(is_signed_in(&ann).await, "the second try hurts nobody");
    });
}

#[test]
fn the_code_of_the_mail_does_what_its_link_does() {
    run(async {
        let app = confirming().await;
        for (name, kind) in [("ann", "signup"), ("bob", "email")] {
            let address = format!("{name}@example.com");
            sign_up(&app, name).await.expect(200);
            let letter = Letter::newest(&app, &address, 1).await;

            let session = verify(&app, kind, &address.to_uppercase(), &letter.code).await.expect(200).json();

            assert_eq!(at(&session, "/user/email"), &json!(address));
            assert!(is_signed_in(&app.signed_in(&session)).await);
            assert_refused(verify(&app, kind, &address, &letter.code).await, 403, "otp_expired");
            assert_eq!(letter.follow(&app).await.get("error_code"), "otp_expired", "the link went with it");
        }
    });
}

#[test]
fn the_links_token_can_be_posted() {
    run(async {
        let app = confirming().await;
        sign_up(&app, "ann").await.expect(200);
        let hash = Letter::newest(&app, ANN, 1).await.token_hash();
        let post = |body: Value| app.anon().post("/auth/v1/verify").json(body).send();

        assert_refused(post(json!({"type": "recovery", "token_hash": hash})).await, 403, "otp_expired");
        let both = post(json!({"type": "signup", "token_hash": hash, "email": ANN})).await;
        assert_refused(both, 400, "validation_failed");
        let session = post(json!({"type": "signup", "token_hash": hash})).await.expect(200).json();

        assert_eq!(at(&session, "/user/email"), &json!(ANN));
        assert_refused(post(json!({"type": "signup", "token_hash": hash})).await, 403, "otp_expired");
    });
}

#[test]
fn a_taken_address_looks_like_a_fresh_one() {
    run(async {
        let app = confirming().await;
        let signed_up = async || {
            let mut body = credentials("ann");
            body["data"] = json!({"name": "Eve"});
            app.anon().post("/auth/v1/signup").json(body).send().await.expect(200).json()
        };
        let fresh = sign_up(&app, "ann").await.expect(200).json();
        let letter = Letter::newest(&app, ANN, 1).await;
        verify(&app, "signup", ANN, &letter.code).await.expect(200);

        let fake = signed_up().await;

        assert_eq!(names(&fake), names(&fresh));
        assert_eq!((at(&fake, "/email"), at(&fake, "/aud")), (at(&fresh, "/email"), at(&fresh, "/aud")));
        assert_eq!(at(&fake, "/app_metadata"), at(&fresh, "/app_metadata"));
        assert_eq!(at(&fake, "/identities"), &json!([]), "which is how clients know");
        let id = at(&fake, "/id").as_str().unwrap();
        assert_ne!(json!(id), fresh["id"]);
        app.service().get(&format!("/auth/v1/admin/users/{id}")).send().await.expect(404);
        assert_ne!(signed_up().await["id"], fake["id"]);
        assert_eq!(app.mails(ANN).await.len(), 1);
        sign_in(&app, "ann", PASSWORD).await.expect(200);
    });
}

#[test]
fn who_signs_up_again_unconfirmed_gets_a_new_mail_and_changes_nothing() {
    run(async {
        let app = confirming().await;
        let mut body = credentials("ann");
        body["data"] = json!({"secret": "of the first"});
        app.anon().post("/auth/v1/signup").json(body).send().await.expect(200);
        let first = Letter::newest(&app, ANN, 1).await;

        let body = json!({"email": ANN, "password": "another password", "data": {"name": "Eve"}});
        let again = app.anon().post("/auth/v1/signup").json(body).send().await.expect(200);

        assert!(!again.text().contains("of the first"), "{}", again.text());
        let second = Letter::newest(&app, ANN, 2).await;
        assert_eq!(
            first.follow(&app).await.get("error_code"),
            "otp_expired",
            "the newer mail replaces the older"
        );
        second.follow(&app).await.signed_in(&app);
        sign_in(&app, "ann", PASSWORD).await.expect(200);
        assert_refused(sign_in(&app, "ann", "another password").await, 400, "invalid_credentials");
    });
}

#[test]
fn of_eight_who_sign_up_at_once_one_user_is_made_and_one_mail_sent() {
    run(async {
        let app = with_settings(json!({"email": {"enable_confirmations": true}})).await;

        let replies = join_all((0..8).map(|_| sign_up(&app, "ann"))).await;

        let (made, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!((made.len(), refused.len()), (1, 7));
        refused.into_iter().for_each(|reply| assert_refused(reply, 429, "over_email_send_rate_limit"));
        assert_eq!(app.value("select count(*) from auth.users").await, json!(1));
        Letter::newest(&app, ANN, 1).await;
    });
}

#[test]
fn a_confirmation_is_sent_again_on_request_and_to_nobody_else() {
    run(async {
        let app = confirming().await;
        sign_up(&app, "ann").await.expect(200);
        let first = Letter::newest(&app, ANN, 1).await;

        resend(&app, "signup", "nobody@example.com").await;
        resend(&app, "email_change", ANN).await;
        resend(&app, "signup", ANN).await;

        let second = Letter::newest(&app, ANN, 2).await;
        assert_refused(verify(&app, "signup", ANN, &first.code).await, 403, "otp_expired");
        verify(&app, "signup", ANN, &second.code).await.expect(200);
        resend(&app, "signup", ANN).await;
        // mails go out in order: with this one here, none of those before is still under way
        sign_up(&app, "bob").await.expect(200);
        Letter::newest(&app, "bob@example.com", 1).await;
        assert_eq!((app.mails(ANN).await.len(), app.mails("nobody@example.com").await.len()), (2, 0));
    });
}
