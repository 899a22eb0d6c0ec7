//! Downloads: headers, conditions, parts, and what keeps a stored file from acting in a browser.

use super::{SCHEMA, download, head, object, refused, upload};
use crate::support::{Actor, App, run};

const CONTENT: &str = "0123456789";

async fn stored(app: &App) -> Actor {
    let ann = app.user("ann").await;
    let call = upload(&ann, "files/digits.txt", CONTENT).header("cache-control", "max-age=5");
    call.send().await.expect(200);
    ann
}

#[test]
fn a_download_tells_what_it_is() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = stored(&app).await;
        for name in ["files/digits.txt", "authenticated/files/digits.txt"] {
            let reply = download(&ann, name).send().await.expect(200);
            let alone = head(&ann, name).await.expect(200);

            assert_eq!((reply.text().as_str(), alone.body.len()), (CONTENT, 0));
            assert!(reply.header("etag").starts_with('"') && reply.header("etag").ends_with('"'));
            assert!(reply.header("last-modified").ends_with(" GMT"), "{:?}", reply.headers);
            for (header, value) in [
                ("content-type", "text/plain"),
                ("content-length", "10"),
                ("cache-control", "max-age=5"),
                ("accept-ranges", "bytes"),
                ("x-robots-tag", "none"),
            ] {
                assert_eq!((reply.header(header), alone.header(header)), (value, value), "{header}");
            }
            for header in ["etag", "last-modified"] {
                assert_eq!(reply.header(header), alone.header(header));
            }
        }
        assert_eq!(head(&ann, "files/nothing").await.status, 400);
    });
}

#[test]
fn who_has_it_already_gets_304() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = stored(&app).await;
        let reply = download(&ann, "files/digits.txt").send().await.expect(200);
        let (etag, modified) = (reply.header("etag"), reply.header("last-modified"));
        for (header, value, status) in [
            ("if-none-match", etag, 304),
            ("if-none-match", &format!("\"x\", W/{etag}"), 304),
            ("if-none-match", "\"x\"", 200),
            ("if-modified-since", modified, 304),
            ("if-modified-since", "Sat, 01 Jan 2000 00:00:00 GMT", 200),
        ] {
            let conditional = download(&ann, "files/digits.txt").header(header, value).send().await;
            assert_eq!(conditional.status, status, "{header}: {value}");
            assert_eq!(conditional.text(), if status == 304 { "" } else { CONTENT });
            assert_eq!(conditional.header("etag"), etag);
        }

        upload(&ann, "files/digits.txt", "changed").header("x-upsert", "true").send().await.expect(200);

        let changed =
            download(&ann, "files/digits.txt").header("if-none-match", etag).send().await.expect(200);
        assert_eq!(changed.text(), "changed");
    });
}

#[test]
fn a_part_is_served_if_it_can_be() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = stored(&app).await;
        let part = |range: &str| download(&ann, "files/digits.txt").header("range", range).send();
        for (range, content, place) in [
            ("bytes=0-2", "012", "bytes 0-2/10"),
            ("bytes=3-5", "345", "bytes 3-5/10"),
            ("bytes=7-", "789", "bytes 7-9/10"),
            ("bytes=-4", "6789", "bytes 6-9/10"),
            ("bytes=8-99", "89", "bytes 8-9/10"),
            ("bytes=-99", CONTENT, "bytes 0-9/10"),
        ] {
            let reply = part(range).await.expect(206);
            assert_eq!((reply.text().as_str(), reply.header("content-range")), (content, place), "{range}");
            assert_eq!(reply.header("content-length"), content.len().to_string(), "{range}");
        }
        for range in ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=5-2", "bytes=x", "bytes=0-1,4-5"] {
            let reply = part(range).await.expect(416);
            assert_eq!(reply.header("content-range"), "bytes */10", "{range}");
            assert_eq!(reply.json()["code"], "InvalidRange");
        }
        assert_eq!(part("lines=0-2").await.expect(200).text(), CONTENT, "a unit that means nothing");
        let stale =
            download(&ann, "files/digits.txt").header("range", "bytes=0-2").header("if-range", "\"old\"");
        assert_eq!(stale.send().await.expect(200).text(), CONTENT, "a part of another version is of no use");
    });
}

#[test]
fn a_stored_page_does_not_act() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let page = "<script>alert(1)</script>";
        upload(&ann, "open/page.html", page)
            .header("content-type", "text/HTML; charset=utf-8")
            .send()
            .await
            .expect(200);

        let reply = download(&app.nobody(), "public/open/page.html").send().await.expect(200);

        assert_eq!((reply.text().as_str(), reply.header("content-type")), (page, "text/plain"));
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("content-security-policy"), "sandbox");
    });
}

#[test]
fn a_download_to_be_saved_has_a_name() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = stored(&app).await;
        for (query, disposition) in [
            ("", ""),
            ("?download", "attachment;"),
            ("?download=", "attachment;"),
            ("?download=a.txt", "attachment; filename=a.txt; filename*=UTF-8''a.txt"),
            (
                "?download=%C3%A9t%C3%A9%22.txt",
                "attachment; filename=%C3%A9t%C3%A9%22.txt; filename*=UTF-8''%C3%A9t%C3%A9%22.txt",
            ),
        ] {
            let reply = download(&ann, &format!("files/digits.txt{query}")).send().await.expect(200);
            assert_eq!(reply.header("content-disposition"), disposition, "{query}");
        }
    });
}

#[test]
fn a_public_bucket_is_open_to_read_and_to_nothing_else() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload(&ann, "open/a.txt", "open").send().await.expect(200);
        upload(&ann, "files/a.txt", "closed").send().await.expect(200);
        let nobody = app.nobody();

        let public = download(&nobody, "public/open/a.txt").send().await.expect(200);
        assert_eq!(public.text(), "open");
        head(&nobody, "public/open/a.txt").await.expect(200);
        nobody.get("/storage/v1/object/info/public/open/a.txt").send().await.expect(200);
        assert_eq!(download(&app.anon(), "open/a.txt").send().await.expect(200).text(), "open");
        // what is there but closed looks like what is not there
        let closed = download(&nobody, "public/files/a.txt").send().await;
        let missing = download(&nobody, "public/nothing/a.txt").send().await;
        assert_eq!(closed.json(), missing.json());
        for reply in [closed, missing] {
            assert!(!reply.text().contains("closed"));
            refused(reply, 404, "NoSuchBucket");
        }
        refused(upload(&app.anon(), "open/b.txt", "b").send().await, 403, "AccessDenied");
        refused(app.anon().delete(&object("open", "a.txt")).send().await, 403, "AccessDenied");
    });
}

#[test]
fn an_object_whose_bytes_are_gone_says_so_and_is_not_cached() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = stored(&app).await;
        std::fs::remove_file(&super::blobs(&app)[0]).unwrap();

        let reply = download(&ann, "files/digits.txt").send().await;

        assert_eq!(reply.header("cache-control"), "no-store");
        refused(reply, 404, "NoSuchKey");
    });
}
