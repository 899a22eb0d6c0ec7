//! Signed URLs: whoever holds one may do what it says, and nothing else.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{SCHEMA, content, download, post, refused, signed_path, upload};
use crate::support::{Actor, App, run};

async fn sign(actor: &Actor, name: &str) -> String {
    let call = post(actor, &format!("object/sign/{name}"), json!({"expiresIn": 60}));
    signed_path(&call.send().await.expect(200).json(), "/signedURL")
}

async fn sign_upload(actor: &Actor, name: &str, upsert: &str) -> String {
    let call = actor.post(&format!("/storage/v1/object/upload/sign/{name}")).header("x-upsert", upsert);
    let answer = call.send().await.expect(200).json();
    assert!(answer["url"].as_str().unwrap().ends_with(answer["token"].as_str().unwrap()), "{answer}");
    signed_path(&answer, "/url")
}

#[test]
fn a_signed_url_opens_one_object_to_anybody() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        for name in ["files/a.txt", "files/with%20blank.txt"] {
            upload(&ann, name, "secret").header("cache-control", "max-age=9").send().await.expect(200);
        }

        let path = sign(&ann, "files/a.txt").await;
        let reply = app.nobody().get(&path).send().await.expect(200);

        assert_eq!((reply.text().as_str(), reply.header("content-type")), ("secret", "text/plain"));
        assert!(reply.header("expires").ends_with(" GMT"), "{:?}", reply.headers);
        assert_eq!(reply.header("cache-control"), "");
        let saved = app.nobody().get(&format!("{path}&download=b.txt")).send().await.expect(200);
        assert_eq!(saved.header("content-disposition"), "attachment; filename=b.txt; filename*=UTF-8''b.txt");
        let part = app.nobody().get(&path).header("range", "bytes=0-1").send().await.expect(206);
        assert_eq!(part.text(), "se");
        let blank = sign(&ann, "files/with%20blank.txt").await.replace(' ', "%20");
        app.nobody().get(&blank).send().await.expect(200);
    });
}

#[test]
fn many_are_signed_at_once_and_each_says_if_it_could_not_be() {
    run(async {
        let app = App::with(SCHEMA).await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        upload(&ann, "files/a.txt", "a").send().await.expect(200);
        upload(&bob, "files/b.txt", "b").send().await.expect(200);
        let many =
            |paths: Value| post(&ann, "object/sign/files", json!({"expiresIn": 60, "paths": paths})).send();

        let signed = many(json!(["b.txt", "a.txt", "nothing"])).await.expect(200).json();

        let error = json!("Either the object does not exist or you do not have access to it");
        assert_eq!(signed[0], json!({"path": "b.txt", "signedURL": null, "error": error}));
        assert_eq!(signed[2], json!({"path": "nothing", "signedURL": null, "error": error}));
        assert_eq!((&signed[1]["path"], &signed[1]["error"]), (&json!("a.txt"), &Value::Null));
        let reply = app.nobody().get(&signed_path(&signed, "/1/signedURL")).send().await.expect(200);
        assert_eq!(reply.text(), "a");
        refused(many(json!([])).await, 400, "InvalidRequest");
        refused(many(json!(vec!["a.txt"; 1001])).await, 400, "InvalidRequest");
        for expires_in in [json!(0), json!(-1), json!(1e18), json!(null), json!("soon")] {
            let call = post(&ann, "object/sign/files/a.txt", json!({"expiresIn": expires_in}));
            refused(call.send().await, 400, "InvalidRequest");
        }
    });
}

#[test]
fn a_token_is_good_for_its_object_and_use_alone() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        for name in ["files/a.txt", "files/b.txt"] {
            upload(&ann, name, "kept").send().await.expect(200);
        }
        let token = |path: &str| path.rsplit_once('=').unwrap().1.to_owned();
        let down = token(&sign(&ann, "files/a.txt").await);
        let up = token(&sign_upload(&ann, "files/a.txt", "true").await);
        let nobody = app.nobody();
        let get = |name: &str, token: &str| {
            nobody.get(&format!("/storage/v1/object/sign/{name}?token={token}")).send()
        };
        let put = |name: &str, token: &str| {
            nobody.put(&format!("/storage/v1/object/upload/sign/{name}?token={token}")).body("stolen").send()
        };

        refused(get("files/b.txt", &down).await, 400, "InvalidSignature");
        refused(get("open/a.txt", &down).await, 400, "InvalidSignature");
        refused(get("files/a.txt", &up).await, 400, "InvalidSignature");
        refused(put("files/a.txt", &down).await, 400, "InvalidSignature");
        refused(put("files/b.txt", &up).await, 400, "InvalidSignature");
        // tokens of users, and tokens that the API secret signs, are of another kind
        let claims = json!({"url": "files/a.txt", "scope": "download", "iat": 1, "exp": 9_999_999_999_u64});
        let secret = EncodingKey::from_secret(app.jwt_secret().expose().as_bytes());
        let forged = encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
        for token in [&forged, ann.token.as_ref().unwrap(), &app.access.anon_key, &down[..down.len() - 2], ""]
        {
            refused(get("files/a.txt", token).await, 400, "InvalidJWT");
        }
        // and what a URL grants, no session does
        let session = app.anon().with_token(&down);
        refused(download(&session, "authenticated/files/a.txt").send().await, 403, "AccessDenied");
        for name in ["files/a.txt", "files/b.txt"] {
            assert_eq!(content(&ann, name).await.as_deref(), Some("kept"));
        }
    });
}

#[test]
fn a_signed_url_lasts_as_long_as_was_asked_for() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload(&ann, "files/a.txt", "a").send().await.expect(200);
        let call = post(&ann, "object/sign/files/a.txt", json!({"expiresIn": 1}));
        let path = signed_path(&call.send().await.expect(200).json(), "/signedURL");

        super::eventually("it has expired", async || {
            !app.nobody().get(&path).send().await.status.is_success()
        })
        .await;

        refused(app.nobody().get(&path).send().await, 400, "InvalidJWT");
    });
}

#[test]
fn a_signed_upload_is_used_once() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let path = sign_upload(&ann, "files/a.txt", "false").await;
        let put = |content: &'static str| {
            app.nobody().put(&path).header("content-type", "text/csv").body(content).send()
        };

        let reply = put("one").await.expect(200).json();

        assert_eq!(reply, json!({"Key": "files/a.txt"}));
        refused(put("two").await, 409, "KeyAlreadyExists");
        let stored = download(&ann, "files/a.txt").send().await.expect(200);
        assert_eq!((stored.text().as_str(), stored.header("content-type")), ("one", "text/csv"));
        let owner = app.value("select owner_id from storage.objects").await;
        assert_eq!(owner, json!(ann.id), "it belongs to who signed");
    });
}

#[test]
fn an_upload_is_signed_by_those_who_could_upload() {
    run(async {
        let app = App::with(SCHEMA).await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        upload(&ann, "files/a.txt", "a").send().await.expect(200);
        let sign = |actor: &Actor, name: &str, upsert: &str| {
            actor.post(&format!("/storage/v1/object/upload/sign/{name}")).header("x-upsert", upsert).send()
        };

        refused(sign(&app.anon(), "files/b.txt", "false").await, 403, "AccessDenied");
        refused(sign(&bob, "files/a.txt", "true").await, 403, "AccessDenied");
        refused(sign(&ann, "files/a.txt", "false").await, 409, "KeyAlreadyExists");
        refused(sign(&ann, "nothing/a.txt", "false").await, 404, "NoSuchBucket");
        let path = sign_upload(&ann, "files/a.txt", "true").await;
        app.nobody().put(&path).body("b").send().await.expect(200);
        assert_eq!(content(&ann, "files/a.txt").await.as_deref(), Some("b"));
        assert_eq!(
            app.value("select count(*) from storage.objects").await,
            json!(1),
            "signing makes nothing"
        );
    });
}
