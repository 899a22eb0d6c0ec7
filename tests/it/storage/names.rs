//! Names of buckets and objects: what is allowed means what it says, also where it looks like a route.

use serde_json::json;

use super::{content, download, object, post, refused, upload};
use crate::support::{App, run};

#[test]
fn keys_may_have_blanks_empty_folders_and_signs() {
    run(async {
        let app =
            App::with("insert into storage.buckets (id, name) values ('with blank', 'with blank')").await;
        let service = app.service();
        let keys = [
            ("a%20b.txt", "a b.txt"),
            ("a//b.txt", "a//b.txt"),
            ("a/b.txt", "a/b.txt"),
            ("it's(1)+&$@=;:,!.txt", "it's(1)+&$@=;:,!.txt"),
            ("a%2Fc.txt", "a/c.txt"),
            ("q%3Fx=1", "q?x=1"),
        ];
        for (path, key) in keys {
            let reply =
                upload(&service, &format!("with%20blank/{path}"), key).send().await.expect(200).json();
            assert_eq!(reply["Key"], json!(format!("with blank/{key}")));
        }
        for (path, key) in keys {
            assert_eq!(content(&service, &format!("with%20blank/{path}")).await.as_deref(), Some(key));
        }
    });
}

#[test]
fn keys_beyond_the_rule_are_refused_by_every_verb() {
    run(async {
        let app = App::with(super::SCHEMA).await;
        let service = app.service();
        upload(&service, "files/a.txt", "a").send().await.expect(200);
        for (path, key) in [
            ("%C3%A9t%C3%A9.txt", "été.txt"),
            ("100%25.txt", "100%.txt"),
            ("a%23b", "a#b"),
            ("%5Ba%5D", "[a]"),
        ] {
            refused(upload(&service, &format!("files/{path}"), "x").send().await, 400, "InvalidKey");
            refused(download(&service, &format!("files/{path}")).send().await, 400, "InvalidKey");
            for verb in ["object/move", "object/copy"] {
                let route = json!({"bucketId": "files", "sourceKey": "a.txt", "destinationKey": key});
                refused(post(&service, verb, route).send().await, 400, "InvalidKey");
            }
        }
    });
}

#[test]
fn a_project_may_allow_keys_in_any_language() {
    run(async {
        let app = App::with(super::SCHEMA).await;
        app.settings("storage", json!({"unicode_keys": true})).await;
        let service = app.service();

        let reply =
            upload(&service, "files/%C3%A9t%C3%A9/%E6%97%A5.txt", "x").send().await.expect(200).json();

        assert_eq!(reply["Key"], json!("files/été/日.txt"));
        assert_eq!(content(&service, "files/%C3%A9t%C3%A9/%E6%97%A5.txt").await.as_deref(), Some("x"));
    });
}

#[test]
fn a_bucket_named_like_a_route_works() {
    run(async {
        let app = App::with(
            "insert into storage.buckets (id, name, public)
             values ('public', 'public', true), ('sign', 'sign', false), ('list', 'list', false)",
        )
        .await;
        let service = app.service();
        for bucket in ["public", "sign", "list"] {
            service.put(&object(bucket, "a/b.txt")).body(bucket).send().await.expect(200);
            let path = format!("authenticated/{bucket}/a/b.txt");
            assert_eq!(content(&service, &path).await.as_deref(), Some(bucket));
        }

        upload(&service, "public/a/c.txt", "c").send().await.expect(200);

        assert_eq!(content(&app.nobody(), "public/public/a/c.txt").await.as_deref(), Some("c"));
        service.delete(&object("public", "a/c.txt")).send().await.expect(200);
        refused(download(&app.nobody(), "public/public/a/c.txt").send().await, 404, "NoSuchKey");
    });
}
