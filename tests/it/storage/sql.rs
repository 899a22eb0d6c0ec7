//! The storage tables as the project's owner uses them: they are part of the interface.

use serde_json::{Value, json};

use super::{SCHEMA, blobs, content, download, eventually, refused, upload, upload_all};
use crate::support::{App, run};

/// What the functions for policies make of names, outside of a request.
const FUNCTIONS: &str = "select to_jsonb(array[
    to_jsonb(storage.foldername('a/b/c.tar.gz')), to_jsonb(storage.filename('a/b/c.tar.gz')),
    to_jsonb(storage.extension('a/b/c.tar.gz')), to_jsonb(storage.foldername('c.txt')),
    to_jsonb(coalesce(storage.operation(), '')), to_jsonb(storage.allow_any_operation(array['object.list']))])";

#[test]
fn rows_deleted_by_sql_take_their_bytes_along() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        upload_all(&ann, &["a.txt", "b.txt", "c.txt"]).await;

        app.sql("delete from storage.objects where name in ('a.txt', 'b.txt')").await;

        refused(download(&ann, "files/a.txt").send().await, 404, "NoSuchKey");
        // any removal wakes the worker, which otherwise looks once a minute
        ann.delete("/storage/v1/object/files")
            .json(json!({"prefixes": ["nothing"]}))
            .send()
            .await
            .expect(200);
        eventually("their bytes are gone", async || blobs(&app).len() == 1).await;
        let sizes = app.value("select to_jsonb(s) from storage.get_size_by_bucket() as s").await;
        assert_eq!(sizes, json!({"bucket_id": "files", "size": 5}));
        assert_eq!(content(&ann, "files/c.txt").await.as_deref(), Some("c.txt"));
    });
}

#[test]
fn the_owner_makes_buckets_and_policies_by_sql() {
    run(async {
        let app = App::new().await;
        app.sql("insert into storage.buckets (id, name, public) values ('made', 'made', false)").await;
        let ann = app.user("ann").await;
        refused(upload(&ann, "made/a.txt", "a").send().await, 403, "AccessDenied");

        app.sql(
            "create policy all_made on storage.objects for all to authenticated
             using (bucket_id = 'made') with check (bucket_id = 'made')",
        )
        .await;

        upload(&ann, "made/a.txt", "a").send().await.expect(200);
        app.sql("drop policy all_made on storage.objects").await;
        refused(download(&ann, "made/a.txt").send().await, 404, "NoSuchKey");
    });
}

#[test]
fn functions_for_policies_take_names_apart() {
    run(async {
        let app = App::new().await;

        let values = app.value(FUNCTIONS).await;

        assert_eq!(values, json!([["a", "b"], "c.tar.gz", "gz", [], "", false]));
    });
}

#[test]
fn a_row_made_by_sql_is_listed_and_has_no_bytes() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        app.sql("insert into storage.objects (bucket_id, name, metadata) values ('files', 'ghost', '{\"size\": \"x\"}')").await;

        let reply = download(&service, "files/ghost").send().await;

        refused(reply, 404, "NoSuchKey");
        service.get("/storage/v1/object/info/files/ghost").send().await.expect(200);
        upload(&service, "files/ghost", "flesh").header("x-upsert", "true").send().await.expect(200);
        assert_eq!(content(&service, "files/ghost").await.as_deref(), Some("flesh"));
    });
}

#[test]
fn a_trigger_of_the_owner_may_refuse_and_speaks_to_the_caller() {
    run(async {
        let app = App::with(&format!(
            "{SCHEMA}
             create function public.refuse() returns trigger language plpgsql as
                 $$ begin raise exception 'no more of these'; end $$;
             create trigger refuse before insert on storage.objects for each row
                 when (new.name like '%.exe') execute function public.refuse();"
        ))
        .await;
        let ann = app.user("ann").await;

        let reply = upload(&ann, "files/a.exe", "x").send().await;

        let body: Value = reply.expect(400).json();
        assert_eq!(body["message"], json!("no more of these"));
        upload(&ann, "files/a.txt", "x").send().await.expect(200);
        assert_eq!(blobs(&app).len(), 1, "it was refused before any byte was kept");
    });
}
