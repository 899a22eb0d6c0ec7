//! Who may do what: row-level security over every verb, and tokens whose role is not for callers.

use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{SCHEMA, content, download, head, names, object, post, refused, upload, upload_all};
use crate::support::{Actor, App, Reply, run};

/// What each verb on ann's `files/a.txt` answers: the true status, and 200 if there is none.
async fn matrix(actor: &Actor) -> Vec<(&'static str, String)> {
    let status = |reply: &Reply| match &reply.json()["statusCode"] {
        Value::String(status) => status.clone(),
        _ => reply.status.as_u16().to_string(),
    };
    let route = |to: &str| json!({"bucketId": "files", "sourceKey": "a.txt", "destinationKey": to});
    let call = |verb: &'static str, method: Method, path: &str| {
        (verb, actor.call(method, &format!("/storage/v1/{path}")))
    };
    let calls = [
        call("download", Method::GET, "object/files/a.txt"),
        call("download authenticated", Method::GET, "object/authenticated/files/a.txt"),
        call("download public", Method::GET, "object/public/files/a.txt"),
        call("head", Method::HEAD, "object/files/a.txt"),
        call("info", Method::GET, "object/info/files/a.txt"),
        ("sign", post(actor, "object/sign/files/a.txt", json!({"expiresIn": 60}))),
        ("sign upsert", actor.post("/storage/v1/object/upload/sign/files/a.txt").header("x-upsert", "true")),
        ("copy", post(actor, "object/copy", route(&format!("copy-{}", actor.id)))),
        ("create", upload(actor, &format!("files/new-{}", actor.id), "new")),
        ("upsert", upload(actor, "files/a.txt", "changed").header("x-upsert", "true")),
        ("put", actor.put(&object("files", "a.txt")).body("changed")),
        ("move", post(actor, "object/move", route(&format!("moved-{}", actor.id)))),
        call("delete", Method::DELETE, "object/files/b.txt"),
    ];
    let mut answers = Vec::new();
    for (verb, call) in calls {
        answers.push((verb, status(&call.send().await)));
    }
    answers
}

#[test]
fn owners_and_the_service_alone_reach_objects() {
    run(async {
        let app = App::with(SCHEMA).await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let mut answers = Vec::new();
        for actor in [&ann, &app.service(), &bob, &app.anon()] {
            for key in ["a.txt", "b.txt"] {
                upload(&ann, &format!("files/{key}"), key)
                    .header("x-upsert", "true")
                    .send()
                    .await
                    .expect(200);
            }
            answers.push(matrix(actor).await);
        }

        for (name, text) in [("files/a.txt", "a.txt"), ("files/b.txt", "b.txt")] {
            assert_eq!(content(&ann, name).await.as_deref(), Some(text), "others changed nothing");
        }
        let by_verb: Vec<_> = (0..answers[0].len())
            .map(|n| {
                let [ann, service, bob, anon] = [0, 1, 2, 3].map(|actor: usize| answers[actor][n].1.as_str());
                (answers[0][n].0, ann, service, bob, anon)
            })
            .collect();
        assert_eq!(
            by_verb,
            [
                ("download", "200", "200", "404", "404"),
                ("download authenticated", "200", "200", "404", "404"),
                ("download public", "404", "404", "404", "404"),
                ("head", "200", "200", "400", "400"),
                ("info", "200", "200", "404", "404"),
                ("sign", "200", "200", "404", "404"),
                ("sign upsert", "200", "200", "403", "403"),
                ("copy", "200", "200", "404", "404"),
                // under a name of one's own
                ("create", "200", "200", "200", "403"),
                ("upsert", "200", "200", "403", "403"),
                ("put", "200", "200", "403", "403"),
                ("move", "200", "200", "404", "404"),
                ("delete", "200", "200", "403", "403"),
            ]
        );
    });
}

#[test]
fn removing_or_signing_many_skips_what_is_not_ones_own() {
    run(async {
        let app = App::with(SCHEMA).await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        upload_all(&ann, &["a.txt"]).await;
        upload_all(&bob, &["b.txt"]).await;
        let both = json!({"prefixes": ["a.txt", "b.txt"]});

        let removed =
            bob.delete("/storage/v1/object/files").json(both.clone()).send().await.expect(200).json();
        let by_anon =
            app.anon().delete("/storage/v1/object/files").json(both).send().await.expect(200).json();

        assert_eq!((names(&removed), by_anon), (vec!["b.txt"], json!([])));
        assert_eq!(content(&ann, "files/a.txt").await.as_deref(), Some("a.txt"));
    });
}

#[test]
fn a_caller_may_upload_what_it_may_not_see() {
    run(async {
        let app = App::with(
            "insert into storage.buckets (id, name) values ('files', 'files');
             create policy drop_off on storage.objects for insert to anon with check (bucket_id = 'files');",
        )
        .await;
        let anon = app.anon();

        upload(&anon, "files/letter.txt", "dear").send().await.expect(200);

        refused(download(&anon, "files/letter.txt").send().await, 404, "NoSuchKey");
        refused(
            upload(&anon, "files/letter.txt", "x").header("x-upsert", "true").send().await,
            403,
            "AccessDenied",
        );
        assert_eq!(content(&app.service(), "files/letter.txt").await.as_deref(), Some("dear"));
    });
}

#[test]
fn policies_see_the_folder_the_type_and_the_operation() {
    run(async {
        let app = App::with(
            "insert into storage.buckets (id, name) values ('files', 'files');
             create policy add on storage.objects for insert to authenticated with check (
                 (storage.foldername(name))[1] = auth.uid()::text and metadata->>'mimetype' = 'text/plain'
                 and storage.extension(name) = 'txt');
             create policy read on storage.objects for select to authenticated using (
                 storage.allow_only_operation('object.get_authenticated'));",
        )
        .await;
        let ann = app.user("ann").await;
        let name = format!("files/{}/a.txt", ann.id);

        upload(&ann, &name, "a").send().await.expect(200);

        refused(upload(&ann, "files/other/a.txt", "a").send().await, 403, "AccessDenied");
        refused(upload(&ann, &format!("{name}.exe"), "a").send().await, 403, "AccessDenied");
        let csv = upload(&ann, &format!("files/{}/b.txt", ann.id), "a").header("content-type", "text/csv");
        refused(csv.send().await, 403, "AccessDenied");
        download(&ann, &name).send().await.expect(200);
        assert_eq!(head(&ann, &name).await.status, 400, "another operation");
        let list = post(&ann, "object/list/files", json!({"prefix": ann.id})).send().await.expect(200).json();
        assert_eq!(list, json!([]));
    });
}

#[test]
fn a_role_that_is_not_for_callers_is_refused() {
    run(async {
        let app = App::with(SCHEMA).await;
        upload_all(&app.service(), &["a.txt"]).await;
        let secret = EncodingKey::from_secret(app.jwt_secret().expose().as_bytes());
        for role in
            ["none", "supabase_storage_admin", "supabase_admin", "postgres", "authenticator", "nobody", ""]
        {
            let claims = json!({"role": role, "sub": "x", "exp": 9_999_999_999_u64});
            let token = encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
            let actor = app.anon().with_token(&token);
            for call in [
                actor.get("/storage/v1/bucket/files"),
                download(&actor, "files/a.txt"),
                upload(&actor, "files/b.txt", "b"),
                actor.delete(&object("files", "a.txt")),
            ] {
                let reply = call.send().await;
                assert!(reply.status.is_client_error(), "{role}: {} {}", reply.status, reply.text());
            }
        }
        assert_eq!(app.value("select count(*) from storage.objects").await, json!(1));
    });
}
