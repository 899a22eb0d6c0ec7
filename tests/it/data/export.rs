//! Exports: one line for each row, of any length, sent while they are made.

use std::fmt::Write;

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{assert_part, assert_refused, rest};
use crate::support::process::eventually;
use crate::support::{Actor, App, Call, run};

const SCHEMA: &str = r#"
    create table public.small (id int primary key, name text, doc json);
    insert into public.small values (1, 'a,"b', E'{"x" :\n 1}'), (2, E'two\nlines', null);
    create table public.large (id int primary key, name text);
    insert into public.large select n, 'row number ' || n from generate_series(1, 50000) n;
    create view public.breaking as select id, 1 / (40000 - id) as odds from public.large;
    create view public.endless as select a.id, a.name from public.large a cross join public.large b;
    create function public.numbers(most int) returns setof int language sql stable
        as 'select n from generate_series(1, most) n';
    create function public.told() returns setof public.small language plpgsql stable as $$
    begin
        perform set_config('response.headers', '[{"x-told": "yes"}]', true);
        perform set_config('response.status', '203', true);
        return query select * from public.small order by id;
    end $$;
    create table public.mine (id int primary key, owner uuid default auth.uid());
    create policy own on public.mine to authenticated using (owner = auth.uid());
"#;
const LINES: &str = "application/x-ndjson";
const CSV: &str = "text/csv";

async fn app() -> (App, Actor) {
    let app = App::with(SCHEMA).await;
    app.settings("data", json!({"max_rows": null})).await;
    let service = app.service();
    (app, service)
}

fn get(actor: &Actor, path: &str, accept: &str) -> Call {
    actor.get(&rest(path)).header("accept", accept)
}

#[test]
fn a_short_answer_is_like_any_other() {
    run(async {
        let (_app, service) = app().await;
        let first = r#"{"id":1,"name":"a,\"b","doc":{"x" :  1}}"#;
        let second = r#"{"id":2,"name":"two\nlines","doc":null}"#;

        let lines = get(&service, "small?order=id", LINES).send().await;
        assert_part(&lines, 200, "0-1/*");
        assert_eq!(lines.header("content-type"), "application/x-ndjson; charset=utf-8");
        assert_eq!(lines.text(), format!("{first}\n{second}\n"));
        let counted =
            get(&service, "small?order=id&limit=1", LINES).header("prefer", "count=exact").send().await;
        assert_part(&counted, 206, "0-0/2");
        assert_eq!(counted.text(), format!("{first}\n"));
        let csv = get(&service, "small?select=id,name&id=eq.1", CSV).send().await;
        assert_part(&csv, 200, "0-0/*");
        assert_eq!(csv.text(), "id,name\n1,\"a,\"\"b\"");
        for (accept, empty) in [(LINES, ""), (CSV, "\n")] {
            let none = get(&service, "small?id=eq.0", accept).send().await;
            assert_part(&none, 200, "*/*");
            assert_eq!(none.text(), empty);
        }
        let past = get(&service, "small?offset=9", LINES).header("prefer", "count=exact").send().await;
        assert_refused(&past, 416, "PGRST103");
        let head = service.call(Method::HEAD, &rest("small")).header("accept", LINES).send().await;
        assert_part(&head, 200, "0-1/*");
        assert_refused(&get(&service, "small?nope=eq.1", LINES).send().await, 400, "42703");
        assert_refused(&get(&service, "small?id=eq.x", CSV).send().await, 400, "22P02");
    });
}

#[test]
fn a_long_answer_has_every_row_once() {
    run(async {
        let (_app, service) = app().await;
        let (mut lines, mut csv) = (String::new(), "id,name".to_owned());
        for n in 1..=50_000 {
            writeln!(lines, r#"{{"id":{n},"name":"row number {n}"}}"#).unwrap();
            write!(csv, "\n{n},\"row number {n}\"").unwrap();
        }

        let all = get(&service, "large?order=id", LINES).send().await;
        assert_part(&all, 200, "*/*");
        assert!(all.text() == lines);
        let table = get(&service, "large?order=id", CSV).header("prefer", "count=exact").send().await;
        assert_part(&table, 200, "0-49999/50000");
        assert!(table.text() == csv);
        let part =
            get(&service, "large?order=id&limit=20000&offset=5", LINES).header("prefer", "count=exact");
        let part = part.send().await;
        assert_part(&part, 206, "5-20004/50000");
        assert_eq!(part.text().lines().count(), 20_000);
    });
}

#[test]
fn functions_and_writes_give_lines_too() {
    run(async {
        let (_app, service) = app().await;

        let numbers = get(&service, "rpc/numbers?most=30000", LINES).send().await.expect(200).text();
        assert!(numbers.starts_with("1\n2\n") && numbers.ends_with("\n30000\n"));
        let told = get(&service, "rpc/told?select=id", LINES).send().await.expect(203);
        assert_eq!((told.text().as_str(), told.header("x-told")), ("{\"id\":1}\n{\"id\":2}\n", "yes"));
        let written = service.post(&rest("small?select=id,doc")).header("accept", LINES);
        let rows = json!([{"id": 3, "doc": {"a": 1}}, {"id": 4, "doc": null}]);
        let written = written.header("prefer", "return=representation").json(rows).send().await.expect(201);
        assert_eq!(written.text(), "{\"id\":3,\"doc\":{\"a\":1}}\n{\"id\":4,\"doc\":null}\n");
        let requests =
            json!({"requests": [{"path": "/small?select=id&limit=1", "headers": {"accept": LINES}}]});
        let batch = service.post(&rest("batch")).json(requests).send().await.expect(200).json();
        assert_eq!(batch.pointer("/responses/0/body"), Some(&Value::from("{\"id\":1}\n")));
    });
}

#[test]
fn an_estimate_is_no_range_and_a_limit_is_kept() {
    run(async {
        let (app, service) = app().await;
        app.sql("create table public.unknown as select n as id from generate_series(1, 40000) n").await;
        for count in ["planned", "estimated"] {
            let path = "unknown?offset=20000";
            let reply = get(&service, path, LINES).header("prefer", &format!("count={count}")).send().await;
            assert!(reply.status.is_success(), "{}", reply.text());
            assert_eq!(reply.text().lines().count(), 20_000);
        }
        let prefer = "handling=strict, max-affected=1";
        let many = get(&service, "rpc/numbers?most=3", CSV).header("prefer", prefer).send().await;
        assert_refused(&many, 400, "PGRST124");
        let counted = get(&service, "rpc/numbers?most=3", LINES).header("prefer", "count=exact").send().await;
        assert_part(&counted, 200, "0-2/3");
    });
}

#[test]
fn rows_of_others_are_not_among_them() {
    run(async {
        let (app, service) = app().await;
        let ann = app.user("ann").await;
        let rows = json!([{"id": 1, "owner": ann.id}, {"id": 2, "owner": null}]);
        service.post(&rest("mine")).json(rows).send().await.expect(201);

        assert_eq!(get(&ann, "mine?select=id", LINES).send().await.expect(200).text(), "{\"id\":1}\n");
        assert_eq!(get(&service, "mine?select=id", CSV).send().await.expect(200).text(), "id\n1\n2");
        assert_eq!(get(&app.anon(), "mine", LINES).send().await.expect(200).text(), "");
    });
}

#[test]
fn what_was_short_is_sent_as_it_comes_when_it_is_long() {
    run(async {
        let (app, service) = app().await;
        app.sql("create table public.growing (id int primary key, name text)").await;
        for accept in [LINES, CSV] {
            for _ in 0..4 {
                let short = get(&service, "growing?select=id,name", accept).send().await;
                assert_part(&short, 200, "*/*");
                assert!(short.text().trim().is_empty(), "{}", short.text());
            }
        }
        app.sql("insert into public.growing select n, repeat('x', 100) from generate_series(1, 50000) n")
            .await;
        for accept in [LINES, CSV] {
            let long = get(&service, "growing?select=id,name", accept).begin().await.unwrap();
            assert!(!long.headers().contains_key("content-length"), "{:?}", long.headers());
            let body = long.into_body().collect().await.unwrap().to_bytes();
            assert!(body.iter().filter(|byte| **byte == b'\n').count() >= 50_000);
        }
    });
}

#[test]
fn slow_readers_leave_connections_to_others() {
    run(async {
        let (app, service) = app().await;
        // more than there are connections, and nobody reads on
        let slow = (0..12).map(|_| tokio::spawn(get(&service, "endless", LINES).begin()));
        let slow: Vec<_> = slow.collect();
        let running = "select count(*) > 1 from pg_stat_activity where datname = current_database()
            and pid <> pg_backend_pid() and query like '%endless%' and state = 'active'";
        eventually("they have begun", async || app.value(running).await == json!(true)).await;

        for _ in 0..20 {
            assert_eq!(
                get(&service, "small?select=id&id=eq.1", "application/json").send().await.expect(200).text(),
                r#"[{"id":1}]"#
            );
        }
        let (mut begun, mut refused) = (Vec::new(), 0);
        for slow in slow {
            let reply = slow.await.unwrap().unwrap();
            match reply.status().as_u16() {
                200 => begun.push(reply),
                429 => refused += 1,
                status => panic!("{status}"),
            }
        }
        assert!(!begun.is_empty() && refused > 0, "{} begun, {refused} refused", begun.len());
        drop(begun);
        get(&service, "large", LINES).send().await.expect(200);
    });
}

#[test]
fn an_answer_that_fails_on_the_way_is_cut_and_leaves_a_clean_connection() {
    run(async {
        let (app, service) = app().await;

        let failed = get(&service, "breaking?order=id", LINES).begin().await.unwrap();
        assert_eq!(failed.status(), 200);
        assert!(failed.into_body().collect().await.is_err(), "a part must not look like the whole");
        // readers that go away, more than there are connections
        for _ in 0..30 {
            let mut begun = get(&service, "large", LINES).begin().await.unwrap();
            begun.body_mut().frame().await.unwrap().unwrap();
        }
        let ann = app.user("ann").await;
        assert_eq!(get(&ann, "mine", LINES).send().await.expect(200).text(), "");
        eventually("no statement is left", async || {
            let running = "select json_agg(query) from pg_stat_activity where datname = current_database()
                and pid <> pg_backend_pid() and state <> 'idle'";
            app.value(running).await.is_null()
        })
        .await;
    });
}
