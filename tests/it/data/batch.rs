//! Batches: several requests in one transaction, each answered as if it came alone, or none done.

use http::Method;
use serde_json::{Value, json};

use super::{assert_refused, ids, read, rest};
use crate::support::{Actor, App, Reply, at, run};

const SCHEMA: &str = r#"
    create table public.lists (id int generated always as identity primary key, name text not null, owner uuid default auth.uid());
    create table public.items (
        id int generated always as identity primary key, list_id int not null references public.lists,
        what text not null, note jsonb);
    create policy own on public.lists to authenticated using (owner = auth.uid());
    create function public.become(who text) returns text language sql
        as $$ select set_config('role', who, true) || set_config('request.jwt.claims', '{"sub":"forged"}', true) $$;
    create function public.whoami() returns json language sql stable
        as $$ select json_build_object('role', current_user, 'sub', auth.jwt()->>'sub',
            'method', current_setting('request.method'), 'path', current_setting('request.path')) $$;
    create function public.teapot() returns text language sql as $$
        select set_config('response.status', '202', true)
            || set_config('response.headers', '[{"x-tea": "green"}]', true) $$;
    create function public.remember(text text) returns text language sql stable
        as $$ select set_config('app.remembered', text, true) $$;
    create function public.remembered() returns text language sql stable
        as $$ select coalesce(current_setting('app.remembered', true), '') $$;
    create function public.zone() returns text language sql stable as $$ select current_setting('timezone') $$;
    create function public.add_list(name text) returns int language sql
        as 'insert into public.lists (name) values (name) returning id';
"#;
const WHOLE: &str = "return=representation";

async fn lists() -> (App, Actor) {
    let app = App::with(SCHEMA).await;
    let service = app.service();
    (app, service)
}

async fn batch(actor: &Actor, requests: Value) -> Reply {
    actor.post(&rest("batch")).json(json!({"requests": requests})).send().await
}

/// The answers to a batch that succeeds.
async fn answers(actor: &Actor, requests: Value) -> Value {
    at(&batch(actor, requests).await.expect(200).json(), "/responses").clone()
}

fn post(path: &str, body: Value) -> Value {
    json!({"method": "POST", "path": path, "body": body})
}

#[test]
fn later_requests_refer_to_results_of_earlier_ones() {
    run(async {
        let (_app, service) = lists().await;
        let answers = answers(
            &service,
            json!([
                {"id": "list", "method": "POST", "path": "/lists?select=id", "headers": {"Prefer": WHOLE},
                    "body": [{"name": "a"}, {"name": "b"}]},
                {"id": "items", "method": "POST", "path": "/items?select=id,what", "headers": {"prefer": WHOLE},
                    "body": [{"list_id": {"$result": "list[0].id"}, "what": "x", "note": {"$result": "list"}},
                        {"list_id": {"$result": "list[1].id"}, "what": "a, (b) \"c\"", "note": {"$ref": "#/x"}}]},
                {"path": "/items?select=what,list_id,note&list_id=in.({{list[*].id}})&order=id"},
                {"path": "/items?select=id&what=eq.{{items[1].what}}"},
                {"path": "/items?select=id&or=(what.eq.{{items[1].what}},id.eq.0)"},
                {"method": "PATCH", "path": "/lists?id=eq.{{list[0].id}}&select=name", "headers": {"prefer": WHOLE},
                    "body": {"name": {"$result": "items[0].what"}}},
                {"method": "DELETE", "path": "/items?list_id=eq.{{list[1].id}}", "headers": {"prefer": "count=exact"}},
                {"method": "HEAD", "path": "/items", "headers": {"prefer": "count=exact"}},
                {"id": "name", "path": "/rpc/zone"},
                {"method": "POST", "path": "/lists?select=name", "headers": {"prefer": WHOLE},
                    "body": {"name": {"$result": "name"}}},
            ]),
        )
        .await;

        let body = |index: usize| at(&answers, &format!("/{index}/body"));
        assert_eq!(
            at(&answers, "/0"),
            &json!({"id": "list", "status": 201, "body": [{"id": 1}, {"id": 2}], "headers": {
            "content-profile": "public", "content-range": "*/*", "content-type": "application/json; charset=utf-8", "preference-applied": WHOLE}})
        );
        assert_eq!(
            body(2),
            &json!([{"what": "x", "list_id": 1, "note": [{"id": 1}, {"id": 2}]},
                {"what": "a, (b) \"c\"", "list_id": 2, "note": {"$ref": "#/x"}}])
        );
        assert_eq!((body(3), body(4)), (&json!([{"id": 2}]), &json!([{"id": 2}])));
        assert_eq!(body(5), &json!([{"name": "x"}]));
        assert_eq!(
            (at(&answers, "/6/status"), at(&answers, "/6/headers/content-range")),
            (&json!(204), &json!("*/1"))
        );
        assert_eq!((at(&answers, "/7/headers/content-range"), body(7)), (&json!("0-0/1"), &Value::Null));
        assert_eq!(at(body(9), "/0/name"), body(8));
    });
}

#[test]
fn one_failure_undoes_all_and_is_named() {
    run(async {
        let (_app, service) = lists().await;
        let list = post("/lists", json!({"name": "a"}));

        for (request, status, code) in [
            (post("/lists", json!({"name": null})), 400, "23502"),
            (post("/lists", json!({"nope": 1})), 400, "PGRST204"),
            (post("/items", json!({"list_id": {"$result": "list[0].id"}})), 400, "MB100"),
            (json!({"path": "/lists?id=eq.0", "headers": {"accept": super::OBJECT}}), 406, "PGRST116"),
            (json!({"path": "/lists?offset=9", "headers": {"prefer": "count=exact"}}), 416, "PGRST103"),
            (json!({"path": "/lists", "headers": {"prefer": "tx=commit"}}), 400, "MB100"),
            (json!({"path": "/"}), 400, "MB100"),
            (json!({"path": "/lists", "method": "OPTIONS"}), 400, "MB100"),
            (json!({"path": "/lists", "headers": {"apikey": "x"}}), 400, "MB100"),
        ] {
            let reply = batch(&service, json!([list, request, list])).await;
            assert_refused(&reply, status, code);
            assert!(code == "PGRST103" || reply.text().contains("request '1': "), "{}", reply.text());
        }
        assert_refused(&batch(&service, json!([])).await, 400, "MB100");
        assert_refused(&service.post(&rest("batch")).json(json!([list])).send().await, 400, "PGRST102");

        assert_eq!(read(&service, "lists").await, json!([]));
        assert_eq!(batch(&service, json!([list, list])).await.status, 200);
        assert_eq!(ids(&service, "lists?order=id").await.as_array().map(Vec::len), Some(2));
    });
}

#[test]
fn a_request_leaves_nothing_to_the_next() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        app.service().post(&rest("lists")).json(json!({"name": "hidden"})).send().await.expect(201);

        let answers = answers(
            &ann,
            json!([
                {"path": "/rpc/whoami"},
                post("/rpc/become", json!({"who": "service_role"})),
                {"path": "/rpc/whoami"},
                {"path": "/lists"},
                post("/rpc/teapot", json!({})),
                {"path": "/lists"},
                {"method": "POST", "path": "/lists?on_conflict=id", "body": {"name": "x"},
                    "headers": {"prefer": "resolution=merge-duplicates"}},
                {"method": "POST", "path": "/lists?on_conflict=id", "body": {"name": "y"},
                    "headers": {"prefer": "resolution=merge-duplicates"}},
            ]),
        )
        .await;

        let before = at(&answers, "/0/body");
        assert_eq!(
            (at(before, "/role"), at(before, "/method"), at(before, "/path")),
            (&json!("authenticated"), &json!("GET"), &json!("/rpc/whoami"))
        );
        assert_eq!(at(&answers, "/2/body"), before);
        assert_eq!(at(&answers, "/3/body"), &json!([]));
        assert_eq!(
            (at(&answers, "/4/status"), at(&answers, "/4/headers/x-tea")),
            (&json!(202), &json!("green"))
        );
        assert_eq!((at(&answers, "/5/status"), at(&answers, "/5/headers").get("x-tea")), (&json!(200), None));
        assert_eq!((at(&answers, "/6/status"), at(&answers, "/7/status")), (&json!(201), &json!(201)));
    });
}

#[test]
fn what_a_request_sets_holds_for_it_alone() {
    run(async {
        let (_app, service) = lists().await;
        let set = json!({"path": "/rpc/remember?text=x"});
        let zoned = json!({"path": "/rpc/zone", "headers": {"prefer": "timezone=Asia/Tokyo"}});
        let plain = json!({"path": "/rpc/zone"});

        let answers = answers(&service, json!([set, {"path": "/rpc/remembered"}, zoned, plain])).await;

        assert_eq!(at(&answers, "/1/body"), &json!(""));
        assert_eq!(at(&answers, "/2/body"), &json!("Asia/Tokyo"));
        assert_ne!(at(&answers, "/3/body"), &json!("Asia/Tokyo"));
    });
}

#[test]
fn what_is_deep_or_large_is_refused_at_once() {
    run(async {
        let (app, service) = lists().await;
        app.sql(
            "create function public.large() returns text language sql as $$ select repeat('x', 20000000) $$",
        )
        .await;
        let deep = format!(
            r#"{{"requests":[{{"path":"/lists"}},{{"method":"POST","path":"/lists","body":{}{{"$result":"a[0]"}}{}}}]}}"#,
            "[".repeat(50_000),
            "]".repeat(50_000)
        );
        let call = service.post(&rest("batch")).header("content-type", "application/json").body(deep);
        assert_refused(&call.send().await, 400, "PGRST102");
        let long = json!([{"path": format!("/lists?a={}{}", "{".repeat(100_000), "}}")}]);
        assert_refused(&batch(&service, long).await, 400, "MB100");
        let large = json!({"path": "/rpc/large"});
        assert_refused(&batch(&service, json!([large, large])).await, 400, "MB100");
        assert_eq!(batch(&service, json!([{"path": "/lists"}])).await.status, 200);
    });
}

#[test]
fn a_read_cannot_write_and_does_not_keep_others_from_it() {
    run(async {
        let (_app, service) = lists().await;
        let writes = |method: &str| match method {
            "GET" => json!({"path": "/rpc/add_list?name=x"}),
            _ => post("/rpc/add_list", json!({"name": "x"})),
        };

        for requests in [json!([writes("GET")]), json!([writes("POST"), writes("GET")])] {
            assert_refused(&batch(&service, requests).await, 405, "25006");
        }
        assert_eq!(read(&service, "lists").await, json!([]));
        let requests =
            json!([{"path": "/lists"}, writes("POST"), {"path": "/lists?select=name"}, writes("POST")]);
        assert_eq!(at(&answers(&service, requests).await, "/2/body"), &json!([{"name": "x"}]));
        assert_eq!(ids(&service, "lists?order=id").await.as_array().map(Vec::len), Some(2));
    });
}

#[test]
fn the_whole_ends_as_it_prefers_and_bodies_may_be_of_other_types() {
    run(async {
        let (_app, service) = lists().await;
        let csv = json!({"method": "POST", "path": "/lists?select=name", "body": "name\na\nb\n",
            "headers": {"content-type": "text/csv", "accept": "text/csv", "prefer": WHOLE}});
        let nested = post("/lists", json!({"name": "n", "items": [{"what": "w"}]}));
        let all = json!({"requests": [csv, nested, {"path": "/items?select=what"}]});

        let undone = service
            .post(&rest("batch"))
            .header("prefer", "tx=rollback")
            .json(all.clone())
            .send()
            .await
            .expect(200);
        assert_eq!(undone.header("preference-applied"), "tx=rollback");
        assert_eq!(read(&service, "lists").await, json!([]));
        let done = service.post(&rest("batch")).json(all).send().await.expect(200).json();
        assert_eq!(at(&done, "/responses/0/body"), &json!("name\na\nb"));
        assert_eq!(at(&done, "/responses/2/body"), &json!([{"what": "w"}]));
        assert_eq!(
            read(&service, "lists?select=name&order=id").await,
            json!([{"name": "a"}, {"name": "b"}, {"name": "n"}])
        );
    });
}

#[test]
fn a_relation_of_that_name_is_what_it_was() {
    run(async {
        let app = App::with("create table public.batch (requests json, id int default 1)").await;
        let service = app.service();
        let body = json!({"requests": [{"path": "/batch?select=id"}]});

        service.post(&rest("batch")).json(body.clone()).send().await.expect(201);
        assert_eq!(ids(&service, "batch").await, json!([1]));
        service.call(Method::PATCH, &rest("batch?id=eq.1")).json(json!({"id": 2})).send().await.expect(204);
        let typed =
            service.post(&rest("batch")).header("content-type", "application/vnd.meshbase.batch+json");
        let typed = typed.body(body.to_string()).send().await.expect(200);
        assert_eq!(at(&typed.json(), "/responses/0/body"), &json!([{"id": 2}]));
    });
}
