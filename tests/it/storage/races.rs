//! Many at once, and those who break off.

use base::Body;
use futures_util::future::join_all;
use serde_json::json;

use super::{SCHEMA, blobs, download, eventually, object, post, refused, upload};
use crate::support::{App, run};

/// Lets the leases of all uploads run out.
async fn make_jobs_due(app: &App) {
    let mut connection = app.connect("admin").await;
    sqlx::raw_sql("update meshbase.jobs set due_at = now()").execute(&mut connection).await.unwrap();
}

#[test]
fn of_twenty_that_create_one_key_one_succeeds() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let uploads = (0..20).map(|n| upload(&ann, "files/a.txt", &n.to_string()).send());

        let replies = join_all(uploads).await;

        let winners: Vec<_> = (0..20).filter(|n| replies[*n].status.is_success()).collect();
        assert_eq!(winners.len(), 1, "{replies:?}");
        for reply in replies.into_iter().filter(|reply| !reply.status.is_success()) {
            refused(reply, 409, "KeyAlreadyExists");
        }
        let stored = download(&ann, "files/a.txt").send().await.expect(200);
        assert_eq!(stored.text(), winners[0].to_string(), "what is stored is what was acknowledged");
        // the losers' bytes are discarded when their lease has run out
        make_jobs_due(&app).await;
        ann.delete("/storage/v1/object/files")
            .json(json!({"prefixes": ["nothing"]}))
            .send()
            .await
            .expect(200);
        eventually("the losers' bytes are gone", async || blobs(&app).len() == 1).await;
    });
}

#[test]
fn whoever_reads_while_others_replace_sees_one_version_whole() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let versions = ["a".repeat(300_000), "b".repeat(200_000)];
        let replace =
            |n: usize| upload(&ann, "files/a.txt", &versions[n % 2]).header("x-upsert", "true").send();
        replace(0).await.expect(200);
        let writing = join_all((0..12).map(replace));
        let reading = async {
            let mut torn = 0;
            for _ in 0..20 {
                let reply = download(&ann, "files/a.txt").send().await.expect(200);
                torn += usize::from(!versions.contains(&reply.text()));
            }
            torn
        };

        let (replies, torn) = futures_util::future::join(writing, reading).await;

        assert_eq!(torn, 0);
        assert!(replies.iter().all(|reply| reply.status.is_success()), "{replies:?}");
        assert_eq!(app.value("select count(*) from storage.objects").await, json!(1));
        eventually("one version is left", async || blobs(&app).len() == 1).await;
        assert!(versions.contains(&download(&ann, "files/a.txt").send().await.expect(200).text()));
    });
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload(&ann, "files/there.txt", "whole").send().await.expect(200);
        for (key, upsert) in [("new.txt", "false"), ("there.txt", "true")] {
            let half = [Ok("x".repeat(400_000)), Err(std::io::Error::other("the client is gone"))];
            let body = Body::from_stream(futures_util::stream::iter(half));
            let call = ann.post(&object("files", key)).header("x-upsert", upsert).body(body);

            let outcome = call.try_send().await;

            assert!(outcome.is_err_and(|error| format!("{error:?}").contains("the client is gone")));
        }
        refused(download(&ann, "files/new.txt").send().await, 404, "NoSuchKey");
        assert_eq!(download(&ann, "files/there.txt").send().await.expect(200).text(), "whole");
        eventually("no half of it is on disk", async || blobs(&app).len() == 1).await;
        assert_eq!(app.value("select count(*) from storage.objects").await, json!(1));
    });
}

#[test]
fn a_body_shorter_than_declared_is_no_object() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        let body = Body::from_stream(futures_util::stream::iter([std::io::Result::Ok("short")]));
        let call = ann.post(&object("files", "a.txt")).header("content-length", "100").body(body);

        // whether an answer still comes is up to the connection
        let outcome = call.try_send().await;

        assert!(outcome.is_err() || outcome.is_ok_and(|reply| reply.status.is_client_error()));
        refused(download(&ann, "files/a.txt").send().await, 404, "NoSuchKey");
    });
}

#[test]
fn copies_and_moves_of_one_object_at_once_agree() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload(&ann, "files/a.txt", "one").send().await.expect(200);
        let moves = (0..8).map(|n| {
            let route =
                json!({"bucketId": "files", "sourceKey": "a.txt", "destinationKey": format!("to-{n}.txt")});
            post(&ann, "object/move", route).send()
        });

        let replies = join_all(moves).await;

        let moved = replies.iter().filter(|reply| reply.status.is_success()).count();
        assert_eq!(moved, 1, "{replies:?}");
        assert_eq!(app.value("select count(*) from storage.objects").await, json!(1));
    });
}
