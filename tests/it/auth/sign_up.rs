//! Signing up where addresses count as confirmed, and anonymously.

use futures_util::future::join_all;
use serde_json::json;

use super::{assert_refused, claims, credentials, refresh, sign_in, sign_up, with_settings};
use crate::support::{App, PASSWORD, at, run};

#[test]
fn signing_up_answers_a_session() {
    run(async {
        let app = App::new().await;
        let body = json!({"email": "Ann@Example.com", "password": PASSWORD, "data": {"name": "Ann"}});

        let reply = app.anon().post("/auth/v1/signup").json(body).send().await.expect(200);

        assert_eq!(reply.header("cache-control"), "no-store");
        insta::assert_json_snapshot!(reply.json(), {
            ".access_token" => "[token]",
            ".expires_at" => "[seconds]",
            ".refresh_token" => "[token]",
            ".**.id" => "[id]",
            ".**.sub" => "[id]",
            ".**.user_id" => "[id]",
            ".**.identity_id" => "[id]",
            ".**.email_confirmed_at" => "[time]",
            ".**.confirmed_at" => "[time]",
            ".**.last_sign_in_at" => "[time]",
            ".**.created_at" => "[time]",
            ".**.updated_at" => "[time]",
        }, @r#"
        {
          "access_token": "[token]",
          "token_type": "bearer",
          "expires_in": 3600,
          "expires_at": "[seconds]",
          "refresh_token": "[token]",
          "user": {
            "id": "[id]",
            "aud": "authenticated",
            "role": "authenticated",
            "email": "ann@example.com",
            "email_confirmed_at": "[time]",
            "phone": "",
            "confirmed_at": "[time]",
            "last_sign_in_at": "[time]",
            "app_metadata": {
              "provider": "email",
              "providers": [
                "email"
              ]
            },
            "user_metadata": {
              "sub": "[id]",
              "name": "Ann",
              "email": "ann@example.com",
              "email_verified": true,
              "phone_verified": false
            },
            "identities": [
              {
                "identity_id": "[id]",
                "id": "[id]",
                "user_id": "[id]",
                "identity_data": {
                  "sub": "[id]",
                  "email": "ann@example.com",
                  "email_verified": true,
                  "phone_verified": false
                },
                "provider": "email",
                "last_sign_in_at": "[time]",
                "created_at": "[time]",
                "updated_at": "[time]",
                "email": "ann@example.com"
              }
            ],
            "created_at": "[time]",
            "updated_at": "[time]",
            "is_anonymous": false
          }
        }
        "#);
    });
}

#[test]
fn an_access_token_says_who_it_is_for_and_is_proved_by_the_public_keys() {
    run(async {
        let app = App::new().await;
        let session = sign_up(&app, "ann").await.expect(200).json();

        let claims = claims(&app, at(&session, "/access_token").as_str().unwrap()).await;

        assert_eq!(at(&claims, "/sub"), at(&session, "/user/id"));
        assert_eq!(at(&claims, "/exp"), at(&session, "/expires_at"));
        assert_eq!(at(&claims, "/iss"), &json!(format!("http://{}/auth/v1", app.anon().host())));
        insta::assert_json_snapshot!(claims, {
            ".iss" => "[url]",
            ".**.sub" => "[id]",
            ".exp" => "[seconds]",
            ".iat" => "[seconds]",
            ".amr[].timestamp" => "[seconds]",
            ".session_id" => "[id]",
        }, @r#"
        {
          "iss": "[url]",
          "sub": "[id]",
          "aud": "authenticated",
          "exp": "[seconds]",
          "iat": "[seconds]",
          "email": "ann@example.com",
          "phone": "",
          "app_metadata": {
            "provider": "email",
            "providers": [
              "email"
            ]
          },
          "user_metadata": {
            "sub": "[id]",
            "email": "ann@example.com",
            "email_verified": true,
            "phone_verified": false
          },
          "role": "authenticated",
          "aal": "aal1",
          "amr": [
            {
              "method": "password",
              "timestamp": "[seconds]"
            }
          ],
          "session_id": "[id]",
          "is_anonymous": false
        }
        "#);
    });
}

#[test]
fn the_key_set_shows_no_secret_and_may_be_cached() {
    run(async {
        let app = App::new().await;

        let reply = app.nobody().get("/auth/v1/.well-known/jwks.json").send().await.expect(200);

        assert_eq!(reply.header("cache-control"), "public, max-age=600");
        let keys = reply.json();
        let keys = at(&keys, "/keys").as_array().unwrap();
        assert!(!keys.is_empty());
        for key in keys {
            assert_eq!(
                (&key["kty"], &key["alg"], &key["crv"]),
                (&json!("EC"), &json!("ES256"), &json!("P-256"))
            );
            assert_eq!((key.get("d"), key.get("k")), (None, None));
        }
    });
}

#[test]
fn a_taken_address_is_refused_in_any_spelling() {
    run(async {
        let app = App::new().await;
        sign_up(&app, "ann").await.expect(200);

        let again = sign_up(&app, "ann").await;
        let shouted = sign_up(&app, "ANN").await;

        assert_eq!(at(&again.json(), "/msg"), &json!("User already registered"));
        assert_refused(again, 422, "user_already_exists");
        assert_refused(shouted, 422, "user_already_exists");
        sign_in(&app, "ann", PASSWORD).await.expect(200);
    });
}

#[test]
fn of_eight_who_sign_up_with_one_address_at_once_one_gets_it() {
    run(async {
        let app = App::new().await;

        let replies = join_all((0..8).map(|_| sign_up(&app, "ann"))).await;

        let (made, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!((made.len(), refused.len()), (1, 7));
        refused.into_iter().for_each(|reply| assert_refused(reply, 422, "user_already_exists"));
        assert_eq!(app.value("select count(*) from auth.users").await, json!(1));
        assert_eq!(app.value("select count(*) from auth.identities").await, json!(1));
        assert_eq!(app.value("select count(*) from auth.sessions").await, json!(1));
    });
}

#[test]
fn signing_up_can_be_switched_off() {
    run(async {
        let closed = with_settings(json!({"enable_signup": false})).await;
        let no_mail = with_settings(json!({"email": {"enable_signup": false}})).await;

        let refused = sign_up(&closed, "ann").await;

        assert_eq!(at(&refused.json(), "/msg"), &json!("Signups not allowed for this instance"));
        assert_refused(refused, 422, "signup_disabled");
        assert_refused(sign_up(&no_mail, "ann").await, 400, "email_provider_disabled");
        assert_refused(sign_in(&no_mail, "ann", PASSWORD).await, 422, "email_provider_disabled");
        let settings = closed.anon().get("/auth/v1/settings").send().await.expect(200).json();
        assert_eq!(at(&settings, "/disable_signup"), &json!(true));
    });
}

#[test]
fn phone_numbers_are_off_until_there_is_a_way_to_reach_them() {
    run(async {
        let app = App::new().await;
        let body = json!({"phone": "+15555551212", "password": PASSWORD});

        let reply = app.anon().post("/auth/v1/signup").json(body.clone()).send().await;

        assert_refused(reply, 400, "phone_provider_disabled");
        let reply = app.anon().post("/auth/v1/token?grant_type=password").json(body).send().await;
        assert_refused(reply, 422, "phone_provider_disabled");
    });
}

#[test]
fn nobody_signs_in_anonymously_unless_the_project_allows_it() {
    run(async {
        let app = App::new().await;

        let reply = app.anon().post("/auth/v1/signup").json(json!({})).send().await;

        assert_eq!(at(&reply.json(), "/msg"), &json!("Anonymous sign-ins are disabled"));
        assert_refused(reply, 422, "anonymous_provider_disabled");
    });
}

#[test]
fn an_anonymous_user_becomes_a_permanent_one_with_an_address() {
    run(async {
        let app = with_settings(json!({"enable_anonymous_sign_ins": true})).await;
        let body = json!({"data": {"cart": 3}});

        let session = app.anon().post("/auth/v1/signup").json(body).send().await.expect(200).json();

        let user = at(&session, "/user");
        assert_eq!((at(user, "/is_anonymous"), at(user, "/email")), (&json!(true), &json!("")));
        assert_eq!((at(user, "/user_metadata"), at(user, "/identities")), (&json!({"cart": 3}), &json!([])));
        let guest = app.signed_in(&session);
        let shown = claims(&app, guest.token.as_ref().unwrap()).await;
        assert_eq!(
            (at(&shown, "/is_anonymous"), at(&shown, "/amr/0/method")),
            (&json!(true), &json!("anonymous"))
        );
        let alone = guest.put("/auth/v1/user").json(json!({"password": PASSWORD})).send().await;
        assert_refused(alone, 422, "validation_failed");

        let user = guest.put("/auth/v1/user").json(credentials("ann")).send().await.expect(200).json();

        assert_eq!((at(&user, "/id"), at(&user, "/is_anonymous")), (&json!(guest.id), &json!(false)));
        assert_eq!(at(&user, "/email"), &json!("ann@example.com"));
        assert_eq!(at(&user, "/app_metadata"), &json!({"provider": "email", "providers": ["email"]}));
        let renewed = app.signed_in(&refresh(&app, &guest.refresh_token).await.expect(200).json());
        assert_eq!(at(&claims(&app, renewed.token.as_ref().unwrap()).await, "/is_anonymous"), &json!(false));
        let ann = app.signed_in(&sign_in(&app, "ann", PASSWORD).await.expect(200).json());
        assert_eq!(ann.id, guest.id);
    });
}
