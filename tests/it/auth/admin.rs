//! The project's own back end manages users.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{assert_refused, is_signed_in, refresh, sign_in, sign_up, with_settings};
use crate::support::{App, PASSWORD, at, run};

const USERS: &str = "/auth/v1/admin/users";

async fn create(app: &App, user: Value) -> Value {
    app.service().post(USERS).json(user).send().await.expect(200).json()
}

/// A token of the project's own back end, made with the shared secret.
fn token(app: &App, claims: &Value) -> String {
    let key = EncodingKey::from_secret(app.jwt_secret().expose().as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

#[test]
fn users_are_made_read_changed_and_deleted() {
    run(async {
        let app = App::new().await;
        let service = app.service();

        let made = create(
            &app,
            json!({
                "email": "Ann@Example.com", "password": PASSWORD, "email_confirm": true,
                "user_metadata": {"name": "Ann"}, "app_metadata": {"plan": "free"},
            }),
        )
        .await;

        assert_eq!(
            (at(&made, "/email"), at(&made, "/role")),
            (&json!("ann@example.com"), &json!("authenticated"))
        );
        assert_eq!(at(&made, "/user_metadata"), &json!({"name": "Ann"}));
        assert_eq!(
            at(&made, "/app_metadata"),
            &json!({"plan": "free", "provider": "email", "providers": ["email"]})
        );
        assert_eq!(at(&made, "/identities/0/provider"), &json!("email"));
        sign_in(&app, "ann", PASSWORD).await.expect(200);
        let path = format!("{USERS}/{}", made["id"].as_str().unwrap());
        assert_eq!(at(&service.get(&path).send().await.expect(200).json(), "/id"), &made["id"]);

        let changes = json!({
            "email": "anna@example.com", "password": "a new password", "role": "editor",
            "user_metadata": {"name": null, "age": 7}, "app_metadata": {"plan": "paid"},
        });
        let changed = service.put(&path).json(changes).send().await.expect(200).json();

        assert_eq!(
            (at(&changed, "/email"), at(&changed, "/role")),
            (&json!("anna@example.com"), &json!("editor"))
        );
        assert_eq!(at(&changed, "/user_metadata"), &json!({"age": 7}));
        assert_eq!(at(&changed, "/app_metadata/plan"), &json!("paid"));
        let anna = app.signed_in(&sign_in(&app, "anna", "a new password").await.expect(200).json());

        assert_eq!(service.delete(&path).send().await.expect(200).json(), json!({}));

        for call in [service.get(&path), service.put(&path).json(json!({})), service.delete(&path)] {
            assert_refused(call.send().await, 404, "user_not_found");
        }
        assert_refused(anna.get("/auth/v1/user").send().await, 403, "user_not_found");
        for table in ["users", "identities", "sessions", "mfa_amr_claims"] {
            assert_eq!(app.value(&format!("select count(*) from auth.{table}")).await, json!(0), "{table}");
        }
    });
}

#[test]
fn a_user_who_cannot_be_made_as_asked_is_not_made() {
    run(async {
        let app = App::new().await;
        let ann = create(&app, json!({"email": "ann@example.com"})).await;
        for (user, status, code) in [
            (json!({}), 400, "validation_failed"),
            (json!({"email": "ANN@example.com"}), 422, "email_exists"),
            (json!({"id": ann["id"], "email": "b@example.com"}), 400, "validation_failed"),
            (json!({"id": "x", "email": "b@example.com"}), 400, "bad_json"),
            (json!({"email": "b@example.com", "password": "short"}), 422, "weak_password"),
            (
                json!({"email": "b@example.com", "password": PASSWORD, "password_hash": "$2a$"}),
                400,
                "validation_failed",
            ),
            (json!({"email": "b@example.com", "password_hash": "md5"}), 400, "validation_failed"),
            (json!({"email": "b@example.com", "role": "x".repeat(300)}), 400, "validation_failed"),
            (json!({"email": "b@example.com", "aud": "x".repeat(300)}), 400, "validation_failed"),
            (json!({"email": "b@example.com", "ban_duration": "forever"}), 400, "validation_failed"),
        ] {
            let reply = app.service().post(USERS).json(user.clone()).send().await;
            assert_eq!((reply.status.as_u16(), reply.header("x-sb-error-code")), (status, code), "{user}");
        }
        let elsewhere = format!(
            "{USERS}/{}",
            create(&app, json!({"phone": "15555551212"})).await["id"].as_str().unwrap()
        );
        let taken = app.service().put(&elsewhere).json(json!({"email": "ann@example.com"})).send().await;
        assert_refused(taken, 422, "email_exists");
        let taken = app.service().post(USERS).json(json!({"phone": "+1 555 555 1212"})).send().await;
        assert_refused(taken, 422, "phone_exists");
        assert_eq!(app.value("select count(*) from auth.users").await, json!(2));
    });
}

#[test]
fn an_unconfirmed_user_signs_in_once_confirmed() {
    run(async {
        let app = App::new().await;
        let made = create(&app, json!({"email": "ann@example.com", "password": PASSWORD})).await;
        assert_refused(sign_in(&app, "ann", PASSWORD).await, 400, "email_not_confirmed");

        let path = format!("{USERS}/{}", made["id"].as_str().unwrap());
        app.service().put(&path).json(json!({"email_confirm": true})).send().await.expect(200);

        sign_in(&app, "ann", PASSWORD).await.expect(200);
    });
}

#[test]
fn pages_name_the_next_and_the_last() {
    run(async {
        let app = App::new().await;
        for name in ["a", "b", "c", "d", "e"] {
            create(&app, json!({"email": format!("{name}@example.com")})).await;
        }
        let page = async |query: &str| {
            let reply = app.service().get(&format!("{USERS}?{query}")).send().await.expect(200);
            let users = reply.json();
            let users = at(&users, "/users").as_array().unwrap();
            let emails: Vec<String> =
                users.iter().map(|user| user["email"].as_str().unwrap().to_owned()).collect();
            (emails.join(" "), reply.header("x-total-count").to_owned(), reply.header("link").to_owned())
        };
        let link = |page: u32, rel: &str| {
            format!("<http://{}{USERS}?page={page}&per_page=2>; rel=\"{rel}\"", app.anon().host())
        };

        let (first, second, third) = (
            page("page=1&per_page=2").await,
            page("page=2&per_page=2").await,
            page("page=3&per_page=2").await,
        );

        assert_eq!(
            first,
            (
                "e@example.com d@example.com".into(),
                "5".into(),
                format!("{}, {}", link(2, "next"), link(3, "last"))
            )
        );
        assert_eq!(
            second,
            (
                "c@example.com b@example.com".into(),
                "5".into(),
                format!("{}, {}", link(3, "next"), link(3, "last"))
            )
        );
        assert_eq!(third, ("a@example.com".into(), "5".into(), link(3, "last")));
        assert_eq!(page("page=9&per_page=2").await.0, "");
        assert_eq!(
            (page("").await.0.split(' ').count(), page("filter=B@exa").await.0.as_str()),
            (5, "b@example.com")
        );
        for query in ["page=0", "page=x", "per_page=-1"] {
            let reply = app.service().get(&format!("{USERS}?{query}")).send().await;
            assert_refused(reply, 400, "validation_failed");
        }
    });
}

#[test]
fn a_ban_shuts_out_until_it_is_lifted() {
    run(async {
        let app = App::new().await;
        let ann = app.user("ann").await;
        let path = format!("{USERS}/{}", ann.id);
        let ban = async |duration: &str| {
            let reply = app.service().put(&path).json(json!({"ban_duration": duration})).send().await;
            reply.expect(200).json()
        };

        assert!(at(&ban("24h").await, "/banned_until").is_string());

        assert_refused(sign_in(&app, "ann", PASSWORD).await, 400, "user_banned");
        assert_refused(sign_in(&app, "ann", "wrong horse").await, 400, "invalid_credentials");
        ann.get("/auth/v1/user").send().await.expect(403);
        refresh(&app, &ann.refresh_token).await.expect(400);
        assert_eq!(at(&ban("none").await, "/banned_until"), &Value::Null);
        sign_in(&app, "ann", PASSWORD).await.expect(200);
    });
}

#[test]
fn a_soft_deletion_keeps_the_row_and_forgets_who_it_was() {
    run(async {
        let app = App::new().await;
        let ann = app.user("ann").await;
        let path = format!("{USERS}/{}", ann.id);
        let delete = || app.service().delete(&path).json(json!({"should_soft_delete": true})).send();

        assert_eq!(delete().await.expect(200).json(), json!({}));

        let kept = app.service().get(&path).send().await.expect(200);
        assert!(at(&kept.json(), "/deleted_at").is_string());
        assert!(!kept.text().contains("ann@"), "{}", kept.text());
        assert!(!is_signed_in(&ann).await);
        assert_refused(refresh(&app, &ann.refresh_token).await, 400, "refresh_token_not_found");
        assert_refused(sign_in(&app, "ann", PASSWORD).await, 400, "invalid_credentials");
        delete().await.expect(200);
        let again = app.signed_in(&sign_up(&app, "ann").await.expect(200).json());
        assert_ne!(again.id, ann.id, "the address is free");
    });
}

#[test]
fn a_service_token_needs_neither_an_expiry_nor_a_users_id() {
    run(async {
        let app = App::new().await;
        for claims in [
            json!({"role": "service_role", "sub": "1234567890"}),
            json!({"role": "supabase_admin", "sub": "1234567890", "iat": 0}),
            json!({"role": "service_role"}),
        ] {
            let server = app.anon().with_token(&token(&app, &claims));
            server.get(USERS).send().await.expect(200);
        }
    });
}

#[test]
fn nobody_else_is_an_admin() {
    run(async {
        let app = with_settings(json!({"enable_anonymous_sign_ins": true})).await;
        let ann = app.user("ann").await;
        let guest =
            app.anon().post("/auth/v1/signup").json(json!({"data": {"role": "service_role"}})).send().await;
        let guest = app.signed_in(&guest.expect(200).json());
        let textual = token(&app, &json!({"role": ["service_role"], "sub": ann.id}));
        let path = format!("{USERS}/{}", ann.id);
        for actor in [&app.anon(), &ann, &guest, &app.anon().with_token(&textual)] {
            for call in [
                actor.get(USERS),
                actor.post(USERS).json(json!({"email": "eve@example.com"})),
                actor.get(&path),
                actor.put(&path).json(json!({"role": "service_role"})),
                actor.delete(&path),
            ] {
                let reply = call.header("x-supabase-api-version", "2024-01-01").send().await;
                assert_eq!(at(&reply.json(), "/message"), &json!("User not allowed"));
                assert_refused(reply, 403, "not_admin");
            }
        }
        assert_eq!(app.value("select count(*) from auth.users").await, json!(2));
    });
}

#[test]
fn a_user_can_be_imported_with_a_hash() {
    run(async {
        let app = App::new().await;
        let hash =
            app.value("select extensions.crypt('correct horse battery', extensions.gen_salt('bf', 6))").await;

        create(&app, json!({"email": "ann@example.com", "password_hash": hash, "email_confirm": true})).await;

        sign_in(&app, "ann", PASSWORD).await.expect(200);
    });
}
