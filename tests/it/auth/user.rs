//! A signed-in user's own account.

use serde_json::{Value, json};

use super::{
    Letter, assert_refused, is_signed_in, mailing, refresh, sign_in, sign_up, verify, with_settings,
};
use crate::support::{Actor, App, PASSWORD, at, run};

const OLD: &str = "ann@example.com";
const NEW: &str = "new@example.com";

async fn update(actor: &Actor, changes: Value) -> Value {
    actor.put("/auth/v1/user").json(changes).send().await.expect(200).json()
}

async fn email(actor: &Actor) -> Value {
    at(&actor.get("/auth/v1/user").send().await.expect(200).json(), "/email").clone()
}

#[test]
fn a_key_is_no_user() {
    run(async {
        let app = App::new().await;

        for actor in [app.anon(), app.service()] {
            assert_refused(actor.get("/auth/v1/user").send().await, 403, "bad_jwt");
            assert_refused(actor.put("/auth/v1/user").json(json!({})).send().await, 403, "bad_jwt");
        }
        let signed_out = app.user("ann").await.get("/auth/v1/user").without("authorization").send().await;
        assert_refused(signed_out, 403, "bad_jwt");
    });
}

#[test]
fn a_new_password_ends_all_other_sessions() {
    run(async {
        let app = App::new().await;
        let (here, elsewhere) = (app.user("ann").await, app.user("ann").await);
        let put = |password: &str| here.put("/auth/v1/user").json(json!({"password": password})).send();

        assert_refused(put(PASSWORD).await, 422, "same_password");
        assert_refused(put("short").await, 422, "weak_password");
        assert!(is_signed_in(&elsewhere).await, "so far nothing changed");
        put("a new password").await.expect(200);

        assert!(is_signed_in(&here).await && !is_signed_in(&elsewhere).await);
        refresh(&app, &here.refresh_token).await.expect(200);
        assert_refused(refresh(&app, &elsewhere.refresh_token).await, 400, "refresh_token_not_found");
        assert_refused(sign_in(&app, "ann", PASSWORD).await, 400, "invalid_credentials");
        sign_in(&app, "ann", "a new password").await.expect(200);
    });
}

#[test]
fn metadata_is_merged_and_null_deletes() {
    run(async {
        let app = App::new().await;
        let ann = app.user("ann").await;
        update(&ann, json!({"data": {"name": "Ann", "color": "red", "nested": {"a": 1, "b": 2}}})).await;

        let user =
            update(&ann, json!({"data": {"color": null, "age": 7, "nested": {"a": null}, "absent": null}}))
                .await;

        let metadata = at(&user, "/user_metadata");
        assert_eq!((&metadata["name"], &metadata["age"]), (&json!("Ann"), &json!(7)));
        assert_eq!((metadata.get("color"), metadata.get("absent")), (None, None));
        assert_eq!(metadata["nested"], json!({"a": null}), "one level deep");
        assert_eq!(ann.get("/auth/v1/user").send().await.json(), user);
        let large = ann.put("/auth/v1/user").json(json!({"data": {"x": "y".repeat(20_000)}})).send().await;
        assert_refused(large, 400, "validation_failed");
        assert_eq!(ann.get("/auth/v1/user").send().await.json(), user);
    });
}

#[test]
fn what_is_not_the_users_to_change_stays() {
    run(async {
        let app = App::new().await;
        let ann = app.user("ann").await;
        let before = ann.get("/auth/v1/user").send().await.json();

        let after = update(
            &ann,
            json!({
                "id": "00000000-0000-0000-0000-000000000000", "role": "service_role", "aud": "admin",
                "app_metadata": {"admin": true}, "email_confirm": true, "ban_duration": "none", "is_anonymous": true,
            }),
        )
        .await;

        for member in ["id", "role", "aud", "app_metadata", "email", "is_anonymous"] {
            assert_eq!(after[member], before[member], "{member}");
        }
    });
}

#[test]
fn a_change_of_address_is_confirmed_at_both() {
    run(async {
        let app = mailing().await;
        let ann = app.user("ann").await;

        let user = update(&ann, json!({"email": "New@Example.com"})).await;

        assert_eq!((at(&user, "/email"), at(&user, "/new_email")), (&json!(OLD), &json!(NEW)));
        let (to_old, to_new) = (Letter::newest(&app, OLD, 1).await, Letter::newest(&app, NEW, 1).await);
        let half_way = to_old.follow(&app).await;
        assert!(half_way.get("message").starts_with("Confirmation link accepted"), "{:?}", half_way.fragment);
        assert_eq!(half_way.get("access_token"), "");
        assert_eq!(email(&ann).await, json!(OLD));
        assert_eq!(to_old.follow(&app).await.get("error_code"), "otp_expired", "one address is not two");
        assert_eq!(email(&ann).await, json!(OLD));
        let session = verify(&app, "email_change", NEW, &to_new.code).await.expect(200).json();

        assert_eq!((at(&session, "/user/id"), at(&session, "/user/email")), (&json!(ann.id), &json!(NEW)));
        assert_eq!(
            (at(&session, "/user/new_email"), at(&session, "/user/user_metadata/email")),
            (&Value::Null, &json!(NEW))
        );
        assert_eq!(at(&session, "/user/identities/0/email"), &json!(NEW));
        assert_eq!(email(&ann).await, json!(NEW));
        sign_in(&app, "new", PASSWORD).await.expect(200);
        assert_refused(sign_in(&app, "ann", PASSWORD).await, 400, "invalid_credentials");
        sign_up(&app, "ann").await.expect(200);
    });
}

#[test]
fn the_new_address_may_confirm_first() {
    run(async {
        let app = mailing().await;
        let ann = app.user("ann").await;
        update(&ann, json!({"email": NEW})).await;
        let (to_old, to_new) = (Letter::newest(&app, OLD, 1).await, Letter::newest(&app, NEW, 1).await);

        let half_way = verify(&app, "email_change", NEW, &to_new.code).await.expect(200).json();

        assert_eq!(at(&half_way, "/code"), &json!("200"));
        assert!(at(&half_way, "/msg").as_str().unwrap().starts_with("Confirmation link accepted"));
        assert_eq!(email(&ann).await, json!(OLD));
        to_old.follow(&app).await.signed_in(&app);
        assert_eq!(email(&ann).await, json!(NEW));
    });
}

#[test]
fn a_project_may_ask_the_new_address_alone() {
    run(async {
        let app =
            with_settings(json!({"email": {"double_confirm_changes": false, "max_frequency": "0s"}})).await;
        let ann = app.user("ann").await;
        update(&ann, json!({"email": NEW})).await;

        Letter::newest(&app, NEW, 1).await.follow(&app).await.signed_in(&app);

        assert_eq!(email(&ann).await, json!(NEW));
        assert_eq!(app.mails(OLD).await.len(), 0);
    });
}

#[test]
fn a_later_change_of_address_replaces_the_earlier_one() {
    run(async {
        let app = mailing().await;
        let ann = app.user("ann").await;
        update(&ann, json!({"email": "typo@example.com"})).await;
        let (to_old, to_typo) =
            (Letter::newest(&app, OLD, 1).await, Letter::newest(&app, "typo@example.com", 1).await);
        to_old.follow(&app).await;

        update(&ann, json!({"email": NEW})).await;

        assert_eq!(to_typo.follow(&app).await.get("error_code"), "otp_expired");
        // what the old address said of the earlier change does not count for this one
        let half_way = Letter::newest(&app, NEW, 1).await.follow(&app).await;
        assert!(half_way.get("message").starts_with("Confirmation link accepted"), "{:?}", half_way.fragment);
        assert_eq!(email(&ann).await, json!(OLD));
        Letter::newest(&app, OLD, 2).await.follow(&app).await.signed_in(&app);
        assert_eq!(email(&ann).await, json!(NEW));
    });
}

#[test]
fn nobody_gets_an_address_that_is_somebody_elses() {
    run(async {
        let app = mailing().await;
        let (ann, _bob) = (app.user("ann").await, app.user("bob").await);
        let taken = ann.put("/auth/v1/user").json(json!({"email": "bob@example.com"})).send().await;
        assert_refused(taken, 422, "email_exists");

        update(&ann, json!({"email": NEW})).await;
        let (to_old, to_new) = (Letter::newest(&app, OLD, 1).await, Letter::newest(&app, NEW, 1).await);
        sign_up(&app, "new").await.expect(200);
        to_old.follow(&app).await;

        assert_eq!(to_new.follow(&app).await.get("error_code"), "email_exists");
        assert_eq!(email(&ann).await, json!(OLD));
    });
}
