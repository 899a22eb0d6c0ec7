//! Signing in with a password.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{assert_refused, sign_in};
use crate::support::{App, PASSWORD, at, run};

#[test]
fn an_error_names_its_code_as_the_clients_version_expects() {
    run(async {
        let app = App::new().await;
        let call = || {
            app.anon()
                .post("/auth/v1/token?grant_type=password")
                .json(json!({"email": "a@b.c", "password": "x"}))
        };

        let old = call().send().await.expect(400);
        let new = call().header("x-supabase-api-version", "2024-01-01").send().await.expect(400);
        let newer = call().header("x-supabase-api-version", "2030-01-01").send().await.expect(400);

        let message = "Invalid login credentials";
        assert_eq!(old.json(), json!({"code": 400, "error_code": "invalid_credentials", "msg": message}));
        assert_eq!(old.header("x-supabase-api-version"), "");
        for reply in [&new, &newer] {
            assert_eq!(reply.json(), json!({"code": "invalid_credentials", "message": message}));
            assert_eq!(reply.header("x-supabase-api-version"), "2024-01-01");
        }
        for reply in [&old, &new, &newer] {
            assert_eq!(reply.header("x-sb-error-code"), "invalid_credentials");
            assert_eq!(reply.header("content-type"), "application/json");
        }
    });
}

#[test]
fn a_weak_password_tells_its_reasons_in_either_format() {
    run(async {
        let app = App::new().await;
        let call = || {
            app.anon().post("/auth/v1/signup").json(json!({"email": "a@example.com", "password": "12345"}))
        };

        let old = call().send().await.expect(422).json();
        let new = call().header("x-supabase-api-version", "2024-01-01").send().await.expect(422).json();

        assert_eq!(
            (at(&old, "/error_code"), at(&new, "/code")),
            (&json!("weak_password"), &json!("weak_password"))
        );
        for body in [old, new] {
            assert_eq!(at(&body, "/weak_password"), &json!({"reasons": ["length"]}));
        }
    });
}

#[test]
fn a_wrong_password_and_an_unknown_address_are_answered_alike() {
    run(async {
        let app = App::new().await;
        app.user("ann").await;
        let attempt = async |body: Value| {
            let reply = app.anon().post("/auth/v1/token?grant_type=password").json(body).send().await;
            (reply.status.as_u16(), reply.text())
        };

        let wrong = attempt(json!({"email": "ann@example.com", "password": "wrong horse"})).await;

        assert_eq!(wrong.0, 400);
        for body in [
            json!({"email": "nobody@example.com", "password": PASSWORD}),
            json!({"email": "ann@example.com", "password": ""}),
            json!({"email": "ann@example.com"}),
            json!({"email": "ann@example.com", "password": "x".repeat(100_000)}),
            json!({"email": "no address", "password": PASSWORD}),
        ] {
            assert_eq!(attempt(body).await, wrong);
        }
        let neither =
            app.anon().post("/auth/v1/token?grant_type=password").json(json!({"password": PASSWORD}));
        assert_refused(neither.send().await, 400, "validation_failed");
    });
}

#[test]
fn each_sign_in_is_a_session_of_its_own() {
    run(async {
        let app = App::new().await;
        let first = app.user("ann").await;

        let second = app.signed_in(&sign_in(&app, "Ann", PASSWORD).await.expect(200).json());

        assert_eq!(first.id, second.id);
        assert_ne!(first.refresh_token, second.refresh_token);
        assert_eq!(app.value("select count(*) from auth.sessions").await, json!(2));
        first.get("/auth/v1/user").send().await.expect(200);
        second.get("/auth/v1/user").send().await.expect(200);
    });
}

#[test]
fn an_imported_hash_signs_in_and_is_replaced() {
    run(async {
        let app = App::new().await;
        app.sql(
            "insert into auth.users (id, aud, role, email, encrypted_password, email_confirmed_at, instance_id,
                 raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
             values ('11111111-1111-4111-8111-111111111111', 'authenticated', 'authenticated', 'old@example.com',
                 extensions.crypt('correct horse battery', extensions.gen_salt('bf', 6)), now(),
                 '00000000-0000-0000-0000-000000000000', '{}', '{}', now(), now())",
        )
        .await;
        let stored = async || app.value("select encrypted_password from auth.users").await;
        let bcrypt = stored().await;

        assert_refused(sign_in(&app, "old", "wrong horse battery").await, 400, "invalid_credentials");
        assert_eq!(stored().await, bcrypt);
        // at once, so that some find the hash replaced between reading and signing in
        let replies = join_all((0..8).map(|_| sign_in(&app, "old", PASSWORD))).await;

        for reply in replies {
            let old = app.signed_in(&reply.expect(200).json());
            assert_eq!(old.id, "11111111-1111-4111-8111-111111111111");
        }
        let replaced = stored().await;
        assert!(replaced.as_str().unwrap().starts_with("$argon2id$"), "{replaced}");
        sign_in(&app, "old", PASSWORD).await.expect(200);
        assert_eq!(stored().await, replaced, "once is enough");
    });
}
