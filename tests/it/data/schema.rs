//! The schema: what the API shows follows what the database holds, and is closed until it is opened.

use http::Method;
use serde_json::json;

use super::{assert_refused, ids, read, rest};
use crate::support::process::eventually;
use crate::support::{App, run};

#[test]
fn a_changed_schema_is_served_at_once() {
    run(async {
        let app = App::with("create table public.early (id int primary key)").await;
        let service = app.service();
        assert_eq!(read(&service, "early").await, json!([]));

        app.sql("create table public.late (id int primary key, early int); insert into public.late values (1, 1);").await;
        assert_eq!(read(&service, "late").await, json!([{"id": 1, "early": 1}]));

        app.sql("alter table public.late add column n int default 7").await;
        assert_eq!(read(&service, "late").await, json!([{"id": 1, "early": 1, "n": 7}]));
        service.post(&rest("late")).json(json!({"id": 2, "n": 8})).send().await.expect(201);
    });
}

#[test]
fn new_relationships_and_functions_are_served_at_once() {
    run(async {
        let app = App::with(
            "create table public.early (id int primary key);
             create table public.late (id int primary key, early int);
             insert into public.early values (1);
             insert into public.late values (1, 1);",
        )
        .await;
        let service = app.service();
        assert_refused(&service.get(&rest("late?select=early(id)")).send().await, 400, "PGRST200");

        app.sql("alter table public.late add foreign key (early) references public.early").await;
        assert_eq!(read(&service, "late?select=early(id)").await, json!([{"early": {"id": 1}}]));

        app.sql("create function public.three() returns int language sql as 'select 3'").await;
        assert_eq!(read(&service, "rpc/three").await, json!(3));
    });
}

#[test]
fn what_is_gone_is_an_error_of_the_clients() {
    run(async {
        let app = App::with(
            "create table public.t (id int primary key, gone int, kept int default 1);
             insert into public.t values (1, 1, 1);
             create function public.f() returns int language sql as 'select 1';",
        )
        .await;
        let service = app.service();
        let insert = |body| {
            service.post(&rest("t?select=*")).header("prefer", "return=representation").json(body).send()
        };
        for n in 2..5 {
            // often enough to be prepared
            read(&service, "t").await;
            read(&service, "t?select=gone").await;
            read(&service, "rpc/f").await;
            insert(json!({"id": n, "gone": n})).await.expect(201);
        }

        app.sql("alter table public.t drop column gone; delete from public.t where id > 1; drop function public.f();").await;

        assert_refused(&service.get(&rest("t?select=gone")).send().await, 400, "42703");
        assert_eq!(insert(json!({"id": 8, "gone": 8})).await.status, 400);
        assert_eq!(service.get(&rest("rpc/f")).send().await.status, 404);
        assert_eq!(read(&service, "t").await, json!([{"id": 1, "kept": 1}]));
        assert_eq!(insert(json!({"id": 9})).await.expect(201).json(), json!([{"id": 9, "kept": 1}]));

        app.sql("alter table public.t rename to u").await;
        assert_eq!(service.get(&rest("t")).send().await.status, 404);
        assert_eq!(ids(&service, "u?order=id").await, json!([1, 9]));
    });
}

#[test]
fn a_database_that_does_not_notify_is_asked() {
    run(async {
        let app = App::new().await;
        app.settings("data", json!({"schema_poll_seconds": 1})).await;
        let mut admin = app.connect("admin").await;
        let silence =
            "drop event trigger meshbase_schema_changed; drop event trigger meshbase_schema_dropped";
        sqlx::raw_sql(silence).execute(&mut admin).await.unwrap();
        let shown = async |table: &str| {
            let root = app.service().get(&rest("")).send().await.expect(200).json();
            root["paths"].get(format!("/{table}")).is_some()
        };
        assert!(!shown("late").await);

        // the listener reads everything once of itself; what comes after that it hears by asking alone
        app.sql("create table public.early (id int primary key)").await;
        eventually("the first new table is shown", async || shown("early").await).await;
        app.sql("create table public.late (id int primary key)").await;

        eventually("the new table is shown", async || shown("late").await).await;
    });
}

#[test]
fn a_new_table_is_closed_until_a_policy_opens_it() {
    run(async {
        let app =
            App::with("create table public.notes (id int primary key); insert into public.notes values (1);")
                .await;
        let (anon, ann, service) = (app.anon(), app.user("ann").await, app.service());
        let insert = json!({"id": 2});

        for actor in [&anon, &ann] {
            assert_eq!(read(actor, "notes").await, json!([]));
            actor.patch(&rest("notes?id=eq.1")).json(json!({"id": 3})).send().await.expect(204);
            actor.delete(&rest("notes?id=eq.1")).send().await.expect(204);
        }
        assert_refused(&anon.post(&rest("notes")).json(insert.clone()).send().await, 401, "42501");
        assert_refused(&ann.post(&rest("notes")).json(insert.clone()).send().await, 403, "42501");
        assert_eq!(ids(&service, "notes").await, json!([1]));

        app.sql("create policy open on public.notes for all to authenticated using (true)").await;
        ann.post(&rest("notes")).json(insert).send().await.expect(201);
        assert_eq!(ids(&ann, "notes?order=id").await, json!([1, 2]));
        assert_eq!(read(&anon, "notes").await, json!([]));
    });
}

#[test]
fn another_schema_is_chosen_by_profile() {
    run(async {
        let app = App::new().await;
        app.settings("data", json!({"schemas": ["public", "extra"]})).await;
        app.sql(
            "create schema extra; create schema hidden;
             grant usage on schema extra, hidden to anon, service_role;
             create table public.notes (id int primary key);
             create table extra.notes (id int primary key);
             create table hidden.notes (id int primary key);
             grant all on extra.notes, hidden.notes to anon, service_role;
             insert into public.notes values (1);
             insert into extra.notes values (2);
             create function extra.which() returns text language sql as $$ select 'extra' $$;",
        )
        .await;
        let service = app.service();
        let get = |path: &str, schema: &str| service.get(&rest(path)).header("accept-profile", schema).send();

        let extra = get("notes", "extra").await.expect(200);
        assert_eq!((extra.json(), extra.header("content-profile")), (json!([{"id": 2}]), "extra"));
        let default = service.get(&rest("notes")).send().await.expect(200);
        assert_eq!((default.json(), default.header("content-profile")), (json!([{"id": 1}]), "public"));
        let posted = service.post(&rest("notes")).header("content-profile", "extra").json(json!({"id": 3}));
        posted.send().await.expect(201);
        let call = service.post(&rest("rpc/which")).header("content-profile", "extra").json(json!({}));
        assert_eq!(call.send().await.expect(200).json(), json!("extra"));
        assert_refused(&service.get(&rest("rpc/which")).send().await, 404, "PGRST202");
        assert_refused(&get("notes", "hidden").await, 406, "PGRST106");

        let anon = app.anon().get(&rest("notes")).header("accept-profile", "extra").send().await;
        assert_eq!(anon.expect(200).json(), json!([]), "a table there is closed from the start too");
    });
}

#[test]
fn options_and_the_description_say_what_there_is() {
    run(async {
        let app = App::with(
            "create table public.notes (id int primary key, body text);
             create view public.counted as select count(*) as n from public.notes;
             create function public.pure() returns int language sql immutable as 'select 1';
             create function public.act() returns int language sql volatile as 'select 1';",
        )
        .await;
        let service = app.service();

        for (path, allowed) in [
            ("notes", "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"),
            ("counted", "OPTIONS,GET,HEAD"),
            ("rpc/pure", "OPTIONS,GET,HEAD,POST"),
            ("rpc/act", "OPTIONS,POST"),
        ] {
            let reply = service.call(Method::OPTIONS, &rest(path)).send().await.expect(200);
            assert_eq!(reply.header("allow"), allowed, "{path}");
        }
        let described = read(&service, "").await;
        let paths: Vec<_> = described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        for path in ["/notes", "/counted", "/rpc/pure", "/rpc/act"] {
            assert!(paths.contains(&path), "{path}: {paths:?}");
        }
    });
}
