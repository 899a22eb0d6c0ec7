//! What a bucket allows: sizes and media types.

use base::Body;
use serde_json::json;

use super::{SCHEMA, content, object, post, refused, upload};
use crate::support::{App, at, run};

const LIMITED: &str = "
    insert into storage.buckets (id, name, file_size_limit, allowed_mime_types)
    values ('small', 'small', 10, null), ('images', 'images', null, '{image/*, application/pdf}');
";

#[test]
fn an_object_over_the_buckets_limit_is_refused() {
    run(async {
        let app = App::with(LIMITED).await;
        let service = app.service();
        let chunked =
            || Body::from_stream(futures_util::stream::iter([std::io::Result::Ok("123456"), Ok("78901")]));

        upload(&service, "small/fits", "1234567890").send().await.expect(200);
        let declared = upload(&service, "small/declared", "12345678901").send().await;

        assert_eq!(at(&declared.json(), "/error"), &json!("Payload too large"));
        refused(declared, 413, "EntityTooLarge");
        refused(
            service.post(&object("small", "chunked")).body(chunked()).send().await,
            413,
            "EntityTooLarge",
        );
        refused(
            upload(&service, "small/fits", "12345678901").header("x-upsert", "true").send().await,
            413,
            "EntityTooLarge",
        );
        assert_eq!(content(&service, "small/fits").await.as_deref(), Some("1234567890"), "it is not harmed");
        assert_eq!(app.value("select count(*) from storage.objects").await, json!(1));
        super::eventually("nothing else is on disk", async || super::blobs(&app).len() == 1).await;
    });
}

#[test]
fn only_media_types_of_the_list_are_taken() {
    run(async {
        let app = App::with(LIMITED).await;
        let service = app.service();
        for (kind, allowed) in [
            ("image/png", true),
            ("IMAGE/JPEG", true),
            ("image/svg+xml; charset=utf-8", true),
            ("application/pdf", true),
            ("application/json", false),
            ("text/html", false),
            ("imagery/png", false),
        ] {
            let call =
                upload(&service, "images/a", "x").header("content-type", kind).header("x-upsert", "true");
            let reply = call.send().await;
            if allowed {
                assert_eq!(reply.status, 200, "{kind}: {}", reply.text());
            } else {
                assert_eq!(at(&reply.json(), "/error"), &json!("invalid_mime_type"), "{kind}");
                refused(reply, 415, "InvalidMimeType");
            }
        }
    });
}

#[test]
fn moves_and_copies_keep_to_the_rules_of_where_they_go() {
    run(async {
        let app = App::with(&format!("{SCHEMA}{LIMITED}")).await;
        let service = app.service();
        upload(&service, "files/text", "longer than ten").send().await.expect(200);
        for (to, status, code) in [("images", 415, "InvalidMimeType"), ("small", 413, "EntityTooLarge")] {
            for verb in ["object/move", "object/copy"] {
                let body = json!({
                    "bucketId": "files", "sourceKey": "text", "destinationBucket": to, "destinationKey": "text"
                });
                refused(post(&service, verb, body).send().await, status, code);
            }
        }
    });
}

#[test]
fn an_empty_folder_is_kept_by_an_empty_placeholder_of_any_type() {
    run(async {
        let app = App::with(LIMITED).await;
        let service = app.service();

        upload(&service, "images/folder/.emptyFolderPlaceholder", "").send().await.expect(200);
        let full = upload(&service, "images/other/.emptyFolderPlaceholder", "x").send().await;

        refused(full, 413, "EntityTooLarge");
    });
}
