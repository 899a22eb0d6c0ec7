//! Answers in other media types than JSON: the project's own, and PostgreSQL's plans.

use serde_json::json;

use super::{assert_refused, rest};
use crate::support::{App, Reply, run};

const SCHEMA: &str = r#"
    create table public.shops (id int primary key, name text);
    create table public.notes (id int primary key, body text);
    insert into public.shops values (1, 'north'), (2, 'south');
    insert into public.notes values (1, 'one');

    create domain public."text/x-list" as text;
    create domain public."application/x-bytes" as bytea;
    create domain public."application/x-doc" as jsonb;
    create domain public."text/xml" as xml;
    create domain public."*/*" as bytea;

    create function public.listed(state public."text/x-list", item public.shops) returns public."text/x-list"
        language sql as $$ select (state || (item).name || ';')::public."text/x-list" $$;
    create aggregate public.list_of_shops(public.shops) (
        sfunc = public.listed, stype = public."text/x-list", initcond = '');
    create function public.appended(state public."application/x-bytes", item anyelement) returns public."application/x-bytes"
        language sql as $$ select (coalesce(state, '') || decode('00ff', 'hex'))::public."application/x-bytes" $$;
    create aggregate public.bytes_of_any(anyelement) (sfunc = public.appended, stype = public."application/x-bytes");
    create function public.whatever(state public."*/*", item public.notes) returns public."*/*" language sql
        as $$ select convert_to('any: ' || (item).body, 'utf8')::public."*/*" $$;
    create aggregate public.notes_as_anything(public.notes) (sfunc = public.whatever, stype = public."*/*");

    create function public.page() returns public."text/xml" language sql
        as $$ select '<a>b</a>'::public."text/xml" $$;
    create function public.doc() returns public."application/x-doc" language sql
        as $$ select '{"a": 1}'::jsonb::public."application/x-doc" $$;
    create function public.echo(text) returns public."text/x-list" language sql
        as $$ select $1::public."text/x-list" $$;
"#;

async fn accepting(app: &App, path: &str, media_type: &str) -> Reply {
    app.service().get(&rest(path)).header("accept", media_type).send().await
}

#[test]
fn an_aggregate_or_a_function_writes_the_media_type_of_its_domain() {
    run(async {
        let app = App::with(SCHEMA).await;
        for (path, accept, content_type, body) in [
            ("shops?order=id", "text/x-list", "text/x-list", &b"north;south;"[..]),
            ("shops?id=eq.2", "image/png, text/x-list;q=0.5", "text/x-list", b"south;"),
            ("shops", "application/x-bytes", "application/x-bytes", &[0, 255, 0, 255]),
            ("shops?select=id", "application/x-bytes", "application/x-bytes", &[0, 255, 0, 255]),
            ("rpc/page", "text/xml", "text/xml; charset=utf-8", b"<a>b</a>"),
            ("rpc/doc", "application/x-doc", "application/x-doc", b"{\"a\": 1}"),
            ("notes", "text/html", "application/octet-stream", b"any: one"),
            ("notes", "application/json", "application/octet-stream", b"any: one"),
            ("notes?select=id", "application/json", "application/json; charset=utf-8", b"[{\"id\":1}]"),
        ] {
            let reply = accepting(&app, path, accept).await.expect(200);
            assert_eq!(reply.body, body, "{path} as {accept}");
            assert_eq!(reply.header("content-type"), content_type, "{path} as {accept}");
        }
    });
}

#[test]
fn what_nobody_writes_is_not_acceptable() {
    run(async {
        let app = App::with(SCHEMA).await;
        // a handler of whole rows has no say over a part of their columns, nor over another relation's
        for (path, accept) in
            [("shops?select=id", "text/x-list"), ("shops", "text/html"), ("rpc/page", "application/x-doc")]
        {
            assert_refused(&accepting(&app, path, accept).await, 406, "PGRST107");
        }
    });
}

#[test]
fn writes_and_documents_have_media_types_too() {
    run(async {
        let app = App::with(SCHEMA).await;
        let made = app.service().post(&rest("shops")).json(json!([{"id": 3, "name": "west"}]));
        let made = made.header("accept", "text/x-list").header("prefer", "return=representation");
        assert_eq!(made.send().await.expect(201).text(), "west;");

        let echo =
            app.service().post(&rest("rpc/echo")).header("content-type", "text/plain").body("as it came");
        assert_eq!(echo.header("accept", "text/x-list").send().await.expect(200).text(), "as it came");
    });
}

#[test]
fn a_plan_is_shown_to_those_who_may_see_it() {
    run(async {
        let plan = "application/vnd.pgrst.plan+json; for=\"text/csv\"; options=verbose";
        assert_refused(&accepting(&App::with(SCHEMA).await, "shops", plan).await, 406, "PGRST107");

        let app = App::with(SCHEMA).await;
        app.settings("data", json!({"plan_enabled": true})).await;
        let reply = accepting(&app, "shops", plan).await.expect(200);
        assert_eq!(reply.header("content-type"), format!("{plan}; charset=utf-8"));
        assert_eq!(reply.json()[0]["Plan"]["Node Type"], "Aggregate");
        assert!(reply.json()[0]["Plan"]["Output"].is_array());

        let text = accepting(&app, "shops?id=eq.1", "application/vnd.pgrst.plan").await.expect(200);
        assert!(text.text().starts_with("Aggregate  (cost="), "{}", text.text());
        let analysed = "application/vnd.pgrst.plan; options=analyze";
        let delete = app.service().delete(&rest("shops?id=eq.1")).header("accept", analysed);
        let delete = delete.header("prefer", "tx=rollback").send().await.expect(200);
        assert!(delete.text().contains("actual time"), "{}", delete.text());
        assert_eq!(app.value("select count(*) from public.shops").await, json!(2));
    });
}
