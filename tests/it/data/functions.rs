//! Functions: how arguments reach them, what becomes of what they return, and what they decide about the answer.

use http::Method;
use serde_json::json;

use super::{OBJECT, assert_part, assert_refused, ids, read, rest};
use crate::support::{Actor, App, run};

const SCHEMA: &str = r#"
    create table public.items (id int primary key, n int);
    insert into public.items values (1, 10), (2, 20), (3, 30);
    create function public.add(a int, b int default 1) returns int language sql immutable as 'select a + b';
    create function public.total(variadic ns int[]) returns bigint language sql immutable
        as 'select sum(n) from unnest(ns) as n';
    create function public.above(than int) returns setof public.items language sql stable
        as 'select * from public.items where n > than';
    create function public.first() returns public.items language sql stable
        as 'select * from public.items order by id limit 1';
    create function public.pairs() returns table (x int, y text) language sql stable as $$ values (1, 'a'), (2, 'b') $$;
    create function public.words() returns setof text language sql stable as $$ values ('a'), ('b') $$;
    create function public.bounds(out lo int, out hi int) language sql stable
        as 'select min(n), max(n) from public.items';
    create function public.nothing() returns void language sql as '';
    create function public.pick(a int) returns text language sql immutable as $$ select 'one' $$;
    create function public.pick(a int, b int) returns text language sql immutable as $$ select 'two' $$;
    create function public.same(x int) returns text language sql immutable as $$ select 'int' $$;
    create function public.same(x text) returns text language sql immutable as $$ select 'text' $$;
    create function public.whole(jsonb) returns jsonb language sql immutable as 'select $1';
    create function public.plain(text) returns text language sql immutable as 'select upper($1)';
    create function public.renumber() returns int language sql
        as 'update public.items set n = n + 1 where id = 1 returning n';
    create function public.renumber_stable() returns int language sql stable
        as 'select public.renumber()';
    create function public.answer(status text, headers text) returns text language plpgsql as $$
    begin
        perform set_config('response.status', status, true), set_config('response.headers', headers, true);
        return 'done';
    end $$;
    create function public.refuse(state text, message text, detail text, hint text) returns void
        language plpgsql as $$
    begin
        raise exception using errcode = state, message = message, detail = detail, hint = hint;
    end $$;
"#;

async fn functions() -> (App, Actor) {
    let app = App::with(SCHEMA).await;
    let service = app.service();
    (app, service)
}

#[test]
fn a_function_is_called_by_get_and_by_post() {
    run(async {
        let (_app, service) = functions().await;
        for (path, body, expected) in [
            ("add?a=1&b=2", json!({"a": 1, "b": 2}), json!(3)),
            ("add?a=1", json!({"a": 1}), json!(2)),
            ("total?ns=1&ns=2&ns=3", json!({"ns": [1, 2, 3]}), json!(6)),
            ("first", json!({}), json!({"id": 1, "n": 10})),
            ("pairs", json!({}), json!([{"x": 1, "y": "a"}, {"x": 2, "y": "b"}])),
            ("words", json!({}), json!(["a", "b"])),
            ("bounds", json!({}), json!({"lo": 10, "hi": 30})),
            ("pick?a=1", json!({"a": 1}), json!("one")),
            ("pick?a=1&b=2", json!({"a": 1, "b": 2}), json!("two")),
        ] {
            let name = path.split('?').next().unwrap_or_default();
            let got = service.get(&rest(&format!("rpc/{path}"))).send().await.expect(200);
            let posted = service.post(&rest(&format!("rpc/{name}"))).json(body).send().await.expect(200);
            assert_eq!((got.json(), posted.json()), (expected.clone(), expected), "{path}");
        }
        let void = service.post(&rest("rpc/nothing")).json(json!({})).send().await.expect(204);
        assert!(void.body.is_empty());
        let head = service.call(Method::HEAD, &rest("rpc/add?a=1")).send().await.expect(200);
        assert!(head.body.is_empty());
    });
}

#[test]
fn rows_that_a_function_returns_are_read_as_a_tables() {
    run(async {
        let (_app, service) = functions().await;

        assert_eq!(ids(&service, "rpc/above?than=5&n=lt.30&select=id&order=id.desc").await, json!([2, 1]));
        assert_eq!(read(&service, "rpc/above?than=5&select=number:n&id=eq.1").await, json!([{"number": 10}]));
        let page =
            service.post(&rest("rpc/above?select=id&order=id&limit=1&offset=1")).json(json!({"than": 5}));
        let page = page.header("prefer", "count=exact").send().await;
        assert_part(&page, 206, "1-1/3");
        assert_eq!(page.json(), json!([{"id": 2}]));
        let one = service.get(&rest("rpc/above?than=25")).header("accept", OBJECT).send().await.expect(200);
        assert_eq!(one.json(), json!({"id": 3, "n": 30}));
        let many = service.get(&rest("rpc/above?than=5")).header("accept", OBJECT).send().await;
        assert_refused(&many, 406, "PGRST116");
        let csv =
            service.get(&rest("rpc/pairs?x=eq.2")).header("accept", "text/csv").send().await.expect(200);
        assert_eq!(csv.text(), "x,y\n2,b");
    });
}

#[test]
fn arguments_choose_the_function() {
    run(async {
        let (_app, service) = functions().await;
        let post = |name: &str, body: serde_json::Value| {
            service.post(&rest(&format!("rpc/{name}"))).json(body).send()
        };

        assert_refused(&post("add", json!({})).await, 404, "PGRST202");
        assert_refused(&post("add", json!({"a": 1, "c": 2})).await, 404, "PGRST202");
        assert_refused(&service.get(&rest("rpc/add?b=1")).send().await, 404, "PGRST202");
        assert_refused(&post("pick", json!({"b": 1})).await, 404, "PGRST202");
        assert_refused(&post("same", json!({"x": 1})).await, 300, "PGRST203");
        assert_refused(&post("add", json!({"a": "x"})).await, 400, "22P02");

        for body in [json!({"any": ["thing"]}), json!([{"any": 1}, {"any": 2}])] {
            assert_eq!(post("whole", body.clone()).await.expect(200).json(), body);
        }
        let plain = service.post(&rest("rpc/plain")).header("content-type", "text/plain").body("loud");
        assert_eq!(plain.send().await.expect(200).json(), json!("LOUD"));
    });
}

#[test]
fn a_read_changes_nothing() {
    run(async {
        let (_app, service) = functions().await;

        for call in [
            service.get(&rest("rpc/renumber")),
            service.call(Method::GET, &rest("rpc/renumber_stable")),
            service.post(&rest("rpc/renumber_stable")).json(json!({})),
        ] {
            assert_refused(&call.send().await, 405, "25006");
        }
        assert_refused(&service.put(&rest("rpc/renumber")).json(json!({})).send().await, 405, "PGRST101");
        assert_refused(&service.delete(&rest("rpc/renumber")).send().await, 405, "PGRST101");
        assert_eq!(read(&service, "items?select=n&order=id").await, json!([{"n": 10}, {"n": 20}, {"n": 30}]));
        let called = service.post(&rest("rpc/renumber")).json(json!({})).send().await.expect(200);
        assert_eq!(called.json(), json!(11));
    });
}

#[test]
fn a_function_sets_status_and_headers() {
    run(async {
        let (_app, service) = functions().await;
        let answer = |status: &str, headers: &str| {
            service.post(&rest("rpc/answer")).json(json!({"status": status, "headers": headers})).send()
        };

        let reply = answer("418", r#"[{"x-a": "1"}, {"set-cookie": "b=2"}, {"set-cookie": "c=3"}]"#)
            .await
            .expect(418);
        assert_eq!((reply.json(), reply.header("x-a")), (json!("done"), "1"));
        assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 2);
        let typed = answer("", r#"[{"content-type": "text/x-own"}]"#).await.expect(200);
        assert_eq!(typed.header("content-type"), "text/x-own");
        assert_refused(&answer("", r#"{"x-a": "1"}"#).await, 500, "PGRST111");
        assert_refused(&answer("teapot", "").await, 500, "PGRST112");
    });
}

#[test]
fn a_function_raises_the_answer() {
    run(async {
        let (_app, service) = functions().await;
        let raise = |state: &str, message: &str, detail: &str| {
            let body = json!({"state": state, "message": message, "detail": detail, "hint": "pay"});
            service.post(&rest("rpc/refuse")).json(body).send()
        };

        let refused = raise("PT402", "Payment required", "quota exceeded").await;
        assert_refused(&refused, 402, "PT402");
        let expected = json!({"code": "PT402", "message": "Payment required", "details": "quota exceeded", "hint": "pay"});
        assert_eq!(refused.json(), expected);
        assert_refused(&raise("P0001", "no", "").await, 400, "P0001");
        assert_refused(&raise("PT000", "no", "").await, 500, "PT000");
        let message = r#"{"code": "own", "message": "Moved", "details": "there"}"#;
        let moved = raise("PGRST", message, r#"{"status": 307, "headers": {"location": "/there"}}"#).await;
        assert_eq!((moved.status.as_u16(), moved.header("location")), (307, "/there"));
        assert_eq!(
            moved.json(),
            json!({"code": "own", "message": "Moved", "details": "there", "hint": null})
        );
        assert_refused(&raise("PGRST", "not JSON", "{}").await, 500, "PGRST121");
    });
}
