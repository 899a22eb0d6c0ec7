//! Buckets: made, seen, changed, emptied and deleted.

use serde_json::{Value, json};

use super::{SCHEMA, eventually, names, post, refused, upload, upload_all};
use crate::support::{App, at, run};

const BUCKETS: &str = "/storage/v1/bucket";

#[test]
fn a_bucket_is_made_changed_and_deleted() {
    run(async {
        let app = App::new().await;
        let service = app.service();
        let new = json!({
            "id": "avatars", "name": "avatars", "public": false, "file_size_limit": "1MB",
            "allowed_mime_types": ["image/png"]
        });

        let created = post(&service, "bucket", new).send().await.expect(200).json();
        let bucket = service.get(&format!("{BUCKETS}/avatars")).send().await.expect(200).json();
        let changes = json!({"public": true, "file_size_limit": null});
        let updated =
            service.put(&format!("{BUCKETS}/avatars")).json(changes).send().await.expect(200).json();
        let after = service.get(&format!("{BUCKETS}/avatars")).send().await.expect(200).json();
        let deleted =
            service.delete(&format!("{BUCKETS}/avatars")).json(json!({})).send().await.expect(200).json();

        assert_eq!(created, json!({"name": "avatars"}));
        insta::assert_json_snapshot!(bucket, {".created_at" => "[time]", ".updated_at" => "[time]"}, @r#"
        {
          "id": "avatars",
          "name": "avatars",
          "owner": "",
          "public": false,
          "type": "STANDARD",
          "file_size_limit": 1000000,
          "allowed_mime_types": [
            "image/png"
          ],
          "created_at": "[time]",
          "updated_at": "[time]",
          "versioning_status": "DISABLED"
        }
        "#);
        assert_eq!(updated, json!({"message": "Successfully updated"}));
        assert_eq!((&after["public"], &after["file_size_limit"]), (&json!(true), &Value::Null));
        assert_eq!(after["allowed_mime_types"], json!(["image/png"]), "what was not named stays");
        assert_eq!(deleted, json!({"message": "Successfully deleted"}));
        refused(service.get(&format!("{BUCKETS}/avatars")).send().await, 404, "NoSuchBucket");
    });
}

#[test]
fn what_is_wrong_with_a_bucket_is_said() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        upload(&service, "files/a.txt", "a").send().await.expect(200);
        let new = |body: Value| post(&service, "bucket", body).send();
        let change = |id: &str, body: Value| service.put(&format!("{BUCKETS}/{id}")).json(body).send();

        let duplicate = new(json!({"name": "files"})).await;

        assert_eq!(at(&duplicate.json(), "/error"), &json!("Duplicate"));
        refused(duplicate, 409, "BucketAlreadyExists");
        refused(new(json!({"name": "a/b"})).await, 400, "InvalidBucketName");
        refused(new(json!({"name": " a"})).await, 400, "InvalidBucketName");
        refused(new(json!({"name": "x".repeat(101)})).await, 400, "InvalidBucketName");
        refused(new(json!({})).await, 400, "InvalidRequest");
        refused(new(json!({"name": "a", "file_size_limit": "900GB"})).await, 413, "EntityTooLarge");
        refused(new(json!({"name": "a", "allowed_mime_types": ["png"]})).await, 415, "InvalidMimeType");
        refused(change("files", json!({"unknown": 1})).await, 400, "InvalidRequest");
        refused(change("nothing", json!({"public": true})).await, 404, "NoSuchBucket");
        refused(service.delete(&format!("{BUCKETS}/files")).send().await, 409, "ResourceNotEmpty");
        refused(service.delete(&format!("{BUCKETS}/nothing")).send().await, 404, "NoSuchBucket");
    });
}

#[test]
fn buckets_are_searched_sorted_and_paged() {
    run(async {
        let app = App::new().await;
        let service = app.service();
        for name in ["beta", "alpha", "Alphabet", "gamma"] {
            post(&service, "bucket", json!({"name": name})).send().await.expect(200);
        }
        for (query, expected) in [
            ("", vec!["Alphabet", "alpha", "beta", "gamma"]),
            ("?search=ALPHA", vec!["Alphabet", "alpha"]),
            ("?sortColumn=name&sortOrder=desc&limit=2", vec!["gamma", "beta"]),
            ("?sortColumn=created_at&offset=1", vec!["alpha", "Alphabet", "gamma"]),
            ("?search=%25", vec![]),
        ] {
            let list = service.get(&format!("{BUCKETS}{query}")).send().await.expect(200).json();
            assert_eq!(names(&list), expected, "{query}");
        }
        for query in ["?limit=0", "?sortColumn=owner", "?sortOrder=up"] {
            refused(service.get(&format!("{BUCKETS}{query}")).send().await, 400, "InvalidRequest");
        }
    });
}

#[test]
fn without_a_policy_nobody_but_the_service_sees_or_makes_buckets() {
    run(async {
        let app = App::with(SCHEMA).await;
        for actor in [app.anon(), app.user("ann").await] {
            assert_eq!(actor.get(BUCKETS).send().await.expect(200).json(), json!([]));
            refused(actor.get(&format!("{BUCKETS}/files")).send().await, 404, "NoSuchBucket");
            refused(post(&actor, "bucket", json!({"name": "mine"})).send().await, 403, "AccessDenied");
            let change = actor.put(&format!("{BUCKETS}/files")).json(json!({"public": true}));
            refused(change.send().await, 404, "NoSuchBucket");
            refused(actor.delete(&format!("{BUCKETS}/files")).send().await, 404, "NoSuchBucket");
            post(&actor, "bucket/files/empty", json!({})).send().await.expect(403);
        }
    });
}

#[test]
fn a_policy_on_buckets_lets_users_make_their_own() {
    run(async {
        let app =
            App::with("create policy own on storage.buckets for all to authenticated using (owner_id = auth.uid()::text)")
                .await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);

        post(&ann, "bucket", json!({"name": "hers"})).send().await.expect(200);

        let list = ann.get(BUCKETS).send().await.expect(200).json();
        assert_eq!((names(&list), &list[0]["owner"]), (vec!["hers"], &json!(ann.id)));
        assert_eq!(bob.get(BUCKETS).send().await.expect(200).json(), json!([]));
    });
}

#[test]
fn emptying_a_bucket_deletes_its_objects_and_no_others() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        upload_all(&service, &["a.txt", "b/c.txt"]).await;
        upload(&service, "open/kept.txt", "kept").send().await.expect(200);

        let reply = post(&service, "bucket/files/empty", json!({})).send().await.expect(200).json();

        assert_eq!(
            reply["message"],
            json!("Empty bucket has been queued. Completion may take up to an hour.")
        );
        eventually("the bucket can be deleted", async || {
            service.delete(&format!("{BUCKETS}/files")).send().await.status.is_success()
        })
        .await;
        eventually("only the other's bytes are there", async || super::blobs(&app).len() == 1).await;
        assert_eq!(super::content(&service, "open/kept.txt").await.as_deref(), Some("kept"));
        refused(post(&service, "bucket/nothing/empty", json!({})).send().await, 404, "NoSuchBucket");
    });
}
