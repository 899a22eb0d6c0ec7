//! Uploads: raw, as a form, over an object that is there.

use base::Body;
use bytes::Bytes;
use common::usage::Usage;
use serde_json::{Value, json};

use super::{SCHEMA, content, download, object, refused, upload};
use crate::support::{App, at, run};

#[test]
fn a_raw_upload_is_stored_with_what_its_headers_say() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        // {"camera":"old"} in base64
        let call = ann
            .post(&object("files", "a/cat.png"))
            .header("content-type", "image/png")
            .header("cache-control", "max-age=60")
            .header("x-metadata", "eyJjYW1lcmEiOiJvbGQifQ==")
            .body("cat");

        let reply = call.send().await.expect(200).json();

        assert_eq!(at(&reply, "/Key"), &json!("files/a/cat.png"));
        let row = app.value("select to_jsonb(o) from storage.objects as o").await;
        assert_eq!(row["id"], reply["Id"]);
        assert_eq!(row["owner_id"], json!(ann.id));
        assert_eq!(row["owner"], json!(ann.id));
        assert_eq!(row["user_metadata"], json!({"camera": "old"}));
        assert_eq!(row["path_tokens"], json!(["a", "cat.png"]));
        insta::assert_json_snapshot!(row["metadata"], {".eTag" => "[hash]", ".lastModified" => "[time]"}, @r#"
        {
          "eTag": "[hash]",
          "size": 3,
          "mimetype": "image/png",
          "cacheControl": "max-age=60",
          "lastModified": "[time]",
          "contentLength": 3,
          "httpStatusCode": 200
        }
        "#);
        let stored = download(&ann, "files/a/cat.png").send().await.expect(200);
        assert_eq!((stored.text().as_str(), stored.header("content-type")), ("cat", "image/png"));
        assert_eq!(stored.header("cache-control"), "max-age=60");
    });
}

#[test]
fn a_form_upload_takes_the_file_after_its_fields() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let form = "--X\r\nContent-Disposition: form-data; name=\"cacheControl\"\r\n\r\n3600\r\n\
                    --X\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{\"a\": 1}\r\n\
                    --X\r\nContent-Disposition: form-data; name=\"\"; filename=\"blob\"\r\n\
                    Content-Type: text/csv\r\n\r\nx,y\r\n1,2\r\n--X--\r\n";
        let send = |body: &str| {
            let call = ann
                .post(&object("files", "table.csv"))
                .header("content-type", "multipart/form-data; boundary=X");
            call.body(body.to_owned()).send()
        };

        let reply = send(form).await.expect(200).json();

        assert_eq!(reply["Key"], json!("files/table.csv"));
        let stored = download(&ann, "files/table.csv").send().await.expect(200);
        assert_eq!(stored.text(), "x,y\r\n1,2");
        assert_eq!(
            (stored.header("content-type"), stored.header("cache-control")),
            ("text/csv", "max-age=3600")
        );
        assert_eq!(app.value("select user_metadata from storage.objects").await, json!({"a": 1}));
        // cut off before the closing boundary, and without a file
        assert_eq!(send(&form[..form.len() - 12]).await.status, 400);
        assert_eq!(send("--X--\r\n").await.status, 400);
    });
}

#[test]
fn an_object_is_replaced_only_by_those_who_say_so() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let first = upload(&ann, "files/a.txt", "one").send().await.expect(200).json();

        refused(upload(&ann, "files/a.txt", "two").send().await, 409, "KeyAlreadyExists");
        assert_eq!(content(&ann, "files/a.txt").await.as_deref(), Some("one"));
        refused(
            upload(&ann, "files/a.txt", "two").header("x-upsert", "false").send().await,
            409,
            "KeyAlreadyExists",
        );

        let upserted =
            upload(&ann, "files/a.txt", "two").header("x-upsert", "true").send().await.expect(200).json();
        assert_eq!(content(&ann, "files/a.txt").await.as_deref(), Some("two"));
        let put = ann.put(&object("files", "a.txt")).header("content-type", "text/csv").body("three");
        let put: Value = put.send().await.expect(200).json();

        assert_eq!((&upserted, &put), (&first, &first), "it is the same object");
        let stored = download(&ann, "files/a.txt").send().await.expect(200);
        assert_eq!((stored.text().as_str(), stored.header("content-type")), ("three", "text/csv"));
        let fresh = ann.put(&object("files", "b.txt")).body("new").send().await.expect(200).json();
        assert_eq!(fresh["Key"], json!("files/b.txt"), "PUT makes what is not there");
    });
}

#[test]
fn what_is_replaced_leaves_the_disk() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        for content in ["one", "two", "three"] {
            upload(&ann, "files/a.txt", content).header("x-upsert", "true").send().await.expect(200);
        }

        super::eventually("one version is left", async || super::blobs(&app).len() == 1).await;

        assert_eq!(content(&ann, "files/a.txt").await.as_deref(), Some("three"));
    });
}

#[test]
fn twenty_megabytes_stream_through_unchanged() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let bytes: Vec<u8> =
            (0..20_u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        // of no declared length
        let pieces: Vec<_> =
            bytes.chunks(60_001).map(|piece| std::io::Result::Ok(Bytes::copy_from_slice(piece))).collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));

        ann.post(&object("files", "large.bin")).body(body).send().await.expect(200);

        let reply = download(&ann, "files/large.bin").send().await.expect(200);
        assert_eq!(reply.header("content-length"), bytes.len().to_string());
        assert_eq!(reply.header("content-type"), "application/octet-stream");
        assert!(reply.body == bytes, "the content is the same");
    });
}

#[test]
fn an_upload_that_says_nothing_of_itself_is_only_bytes() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;

        upload(&ann, "files/a", "x").without("content-type").send().await.expect(200);

        let stored = download(&ann, "files/a").send().await.expect(200);
        assert_eq!(stored.header("content-type"), "application/octet-stream");
        assert_eq!(stored.header("cache-control"), "no-cache");
    });
}

#[test]
fn an_empty_object_is_an_object() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;

        upload(&ann, "files/empty.txt", "").send().await.expect(200);

        let reply = download(&ann, "files/empty.txt").send().await.expect(200);
        assert_eq!((reply.body.len(), reply.header("content-length")), (0, "0"));
    });
}

#[test]
fn the_platform_is_told_what_a_project_takes_up_and_nobody_else_is() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        for (name, bytes) in [("a.txt", "one"), ("b.txt", "three")] {
            upload(&ann, &format!("files/{name}"), bytes).send().await.expect(200);
        }
        let usage = || app.stack.up.platform.usage(&app.project.reference);

        assert_eq!(usage().await.unwrap(), Usage { objects: 2, bytes: 8 });
        ann.delete(&object("files", "b.txt")).send().await.expect(200);
        assert_eq!(usage().await.unwrap(), Usage { objects: 1, bytes: 3 });
        app.service().get("/storage/v1/internal/usage").send().await.expect(403);

        // what somebody wrote there by hand neither breaks nor lowers it
        for size in ["1e400", "-5", "\"many\"", "null"] {
            app.sql(&format!(
                "insert into storage.objects (bucket_id, name, version, metadata) \
                 values ('files', '{size}', 'v', '{{\"size\": {size}}}')"
            ))
            .await;
        }
        assert!(usage().await.unwrap().bytes >= 3);
    });
}
