//! What is known of an object, and how it gets another name, a twin, or an end.

use serde_json::{Value, json};

use super::{SCHEMA, blobs, content, download, eventually, names, object, post, refused, upload, upload_all};
use crate::support::{App, at, run};

/// {"a":1} in base64.
const METADATA: &str = "eyJhIjoxfQ==";

fn route(from: &str, to: &str) -> Value {
    json!({"bucketId": "files", "sourceKey": from, "destinationKey": to})
}

#[test]
fn an_object_tells_of_itself() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload(&ann, "files/a.txt", "hello").header("x-metadata", METADATA).send().await.expect(200);

        let info = ann.get("/storage/v1/object/info/files/a.txt").send().await.expect(200);

        let stored = download(&ann, "files/a.txt").send().await.expect(200);
        assert_eq!(info.json()["etag"], json!(stored.header("etag")));
        insta::assert_json_snapshot!(info.json(), {
            ".id" => "[id]", ".version" => "[id]", ".etag" => "[hash]", ".created_at" => "[time]",
            ".last_modified" => "[time]",
        }, @r#"
        {
          "id": "[id]",
          "name": "a.txt",
          "version": "[id]",
          "bucket_id": "files",
          "size": 5,
          "content_type": "text/plain",
          "cache_control": "no-cache",
          "content_encoding": null,
          "etag": "[hash]",
          "metadata": {
            "a": 1
          },
          "last_modified": "[time]",
          "created_at": "[time]",
          "archived_at": null,
          "is_delete_marker": false,
          "is_versioned": false
        }
        "#);
        let same = ann.get("/storage/v1/object/info/authenticated/files/a.txt").send().await.expect(200);
        assert_eq!(same.json(), info.json());
        refused(ann.get("/storage/v1/object/info/files/nothing").send().await, 404, "NoSuchKey");
        refused(
            app.nobody().get("/storage/v1/object/info/public/files/a.txt").send().await,
            404,
            "NoSuchBucket",
        );
    });
}

#[test]
fn a_moved_object_is_the_same_one_elsewhere() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload_all(&ann, &["a.txt", "taken.txt"]).await;
        let id = app.value("select id from storage.objects where name = 'a.txt'").await;

        let moved = post(&ann, "object/move", route("a.txt", "b/c.txt")).send().await.expect(200).json();

        assert_eq!(moved, json!({"message": "Successfully moved", "Id": id, "Key": "b/c.txt"}));
        assert_eq!(content(&ann, "files/b/c.txt").await.as_deref(), Some("a.txt"));
        refused(download(&ann, "files/a.txt").send().await, 404, "NoSuchKey");
        let mut elsewhere = route("b/c.txt", "d.txt");
        elsewhere["destinationBucket"] = json!("open");
        post(&ann, "object/move", elsewhere).send().await.expect(200);
        assert_eq!(content(&app.nobody(), "public/open/d.txt").await.as_deref(), Some("a.txt"));
        refused(post(&ann, "object/move", route("b/c.txt", "x")).send().await, 404, "NoSuchKey");
        upload_all(&ann, &["e.txt"]).await;
        let onto = post(&ann, "object/move", route("e.txt", "taken.txt")).send().await;
        assert_eq!(at(&onto.expect(400).json(), "/statusCode"), &json!("409"));
        assert_eq!(content(&ann, "files/taken.txt").await.as_deref(), Some("taken.txt"));
    });
}

#[test]
fn a_copy_is_an_object_of_its_own() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let call = upload(&ann, "files/a.txt", "one")
            .header("x-metadata", METADATA)
            .header("cache-control", "max-age=7");
        call.send().await.expect(200);

        let copied = post(&ann, "object/copy", route("a.txt", "b.txt")).send().await.expect(200).json();
        upload(&ann, "files/a.txt", "two").header("x-upsert", "true").send().await.expect(200);

        assert_eq!((&copied["Key"], &copied["name"]), (&json!("files/b.txt"), &json!("b.txt")));
        assert_eq!(copied["user_metadata"], json!({"a": 1}));
        let copy = download(&ann, "files/b.txt").send().await.expect(200);
        assert_eq!((copy.text().as_str(), copy.header("cache-control")), ("one", "max-age=7"));
        assert_eq!(copy.header("content-type"), "text/plain");
        ann.delete(&object("files", "a.txt")).send().await.expect(200);
        eventually("the source is gone from disk", async || blobs(&app).len() == 1).await;
        assert_eq!(content(&ann, "files/b.txt").await.as_deref(), Some("one"));
    });
}

#[test]
fn a_copy_may_have_metadata_of_its_own() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload(&ann, "files/a.txt", "one").header("x-metadata", METADATA).send().await.expect(200);
        upload_all(&ann, &["taken.txt"]).await;
        let mut request = route("a.txt", "taken.txt");
        request["copyMetadata"] = json!(false);
        request["metadata"] = json!({"cacheControl": "max-age=3", "mimetype": "text/csv"});

        refused(post(&ann, "object/copy", request.clone()).send().await, 409, "KeyAlreadyExists");
        // {"b":2} in base64
        let call = post(&ann, "object/copy", request)
            .header("x-upsert", "true")
            .header("x-metadata", "eyJiIjoyfQ==");
        call.send().await.expect(200);

        let copy = download(&ann, "files/taken.txt").send().await.expect(200);
        assert_eq!((copy.text().as_str(), copy.header("content-type")), ("one", "text/csv"));
        assert_eq!(copy.header("cache-control"), "max-age=3");
        let info = ann.get("/storage/v1/object/info/files/taken.txt").send().await.expect(200).json();
        assert_eq!(info["metadata"], json!({"b": 2}));
        refused(post(&ann, "object/copy", route("nothing", "x")).send().await, 404, "NoSuchKey");
    });
}

#[test]
fn what_is_removed_is_gone_from_disk_too() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload_all(&ann, &["a.txt", "b.txt", "c.txt", "d.txt"]).await;

        let one = ann.delete(&object("files", "a.txt")).send().await.expect(200).json();
        let many =
            ann.delete("/storage/v1/object/files").json(json!({"prefixes": ["c.txt", "nothing", "b.txt"]}));
        let many = many.send().await.expect(200).json();

        assert_eq!(one, json!({"message": "Successfully deleted"}));
        let mut removed = names(&many);
        removed.sort_unstable();
        assert_eq!(removed, ["b.txt", "c.txt"]);
        assert_eq!(many[0]["bucket_id"], json!("files"));
        refused(ann.delete(&object("files", "a.txt")).send().await, 404, "NoSuchKey");
        refused(download(&ann, "files/b.txt").send().await, 404, "NoSuchKey");
        eventually("one file is left", async || blobs(&app).len() == 1).await;
        assert_eq!(content(&ann, "files/d.txt").await.as_deref(), Some("d.txt"));
        for prefixes in [json!([]), json!(vec!["a"; 1001])] {
            let call = ann.delete("/storage/v1/object/files").json(json!({"prefixes": prefixes}));
            refused(call.send().await, 400, "InvalidRequest");
        }
    });
}
