//! Reads: which rows, in which order, which part of them, in which shape.

use http::Method;
use serde_json::json;

use super::{OBJECT, assert_part, assert_refused, ids, read, rest};
use crate::support::{Actor, App, Reply, run};

const SCHEMA: &str = r#"
    create table public.items (
        id int primary key, n int, name text, active boolean, tags text[], span int4range, data jsonb);
    insert into public.items values
        (1, 10, 'apple pie', true, '{a,b}', '[1,5)', '{"k": 1, "list": [1, 2]}'),
        (2, 20, 'Banana', false, '{b,c}', '[5,10)', '{"k": 2}'),
        (3, 30, 'apple tart', null, '{c}', '[20,30)', '{"k": 10}'),
        (4, null, null, null, null, null, null);
"#;

async fn items() -> (App, Actor) {
    let app = App::with(SCHEMA).await;
    let service = app.service();
    (app, service)
}

#[test]
fn each_operator_finds_its_rows() {
    run(async {
        let (_app, service) = items().await;
        for (filter, expected) in [
            ("n=eq.20", json!([2])),
            ("n=neq.20", json!([1, 3])),
            ("n=gt.20", json!([3])),
            ("n=gte.20", json!([2, 3])),
            ("n=lt.20", json!([1])),
            ("n=lte.20", json!([1, 2])),
            ("name=like.apple*", json!([1, 3])),
            ("name=like.%25an%25", json!([2])),
            ("name=ilike.*APPLE*", json!([1, 3])),
            ("name=match.^app", json!([1, 3])),
            ("name=imatch.^BAN", json!([2])),
            ("n=in.(10,30)", json!([1, 3])),
            (r#"name=in.("apple pie",Banana)"#, json!([1, 2])),
            ("n=in.()", json!([])),
            ("n=is.null", json!([4])),
            ("n=is.not_null", json!([1, 2, 3])),
            ("active=is.true", json!([1])),
            ("active=is.FALSE", json!([2])),
            ("active=is.unknown", json!([3, 4])),
            ("n=isdistinct.10", json!([2, 3, 4])),
            ("name=fts.apple%26!tart", json!([1])),
            ("name=fts(english).pies", json!([1])),
            ("name=plfts.apple tart", json!([3])),
            ("name=phfts.apple pie", json!([1])),
            ("name=phfts.pie apple", json!([])),
            ("name=wfts.apple -tart", json!([1])),
            ("tags=cs.{b}", json!([1, 2])),
            ("tags=cd.{b,c}", json!([2, 3])),
            ("tags=ov.{a,c}", json!([1, 2, 3])),
            (r#"data=cs.{"k":1}"#, json!([1])),
            ("span=cs.[6,7)", json!([2])),
            ("span=ov.[4,6)", json!([1, 2])),
            ("span=sl.[20,30)", json!([1, 2])),
            ("span=sr.[5,10)", json!([3])),
            ("span=nxr.[5,10)", json!([1, 2])),
            ("span=nxl.[5,10)", json!([2, 3])),
            ("span=adj.[5,10)", json!([1])),
            ("n=eq(any).{10,30}", json!([1, 3])),
            ("n=gt(all).{5,15}", json!([2, 3])),
            ("name=like(all).{apple*,*pie}", json!([1])),
            ("name=ilike(any).{APPLE*,ban*}", json!([1, 2, 3])),
            ("n=not.eq.10", json!([2, 3])),
            ("n=not.in.(10,20)", json!([3])),
            ("n=not.is.null", json!([1, 2, 3])),
            ("name=not.like.apple*", json!([2])),
            ("tags=not.cs.{b}", json!([3])),
            ("name=not.wfts.apple", json!([2])),
        ] {
            assert_eq!(ids(&service, &format!("items?{filter}&order=id")).await, expected, "{filter}");
        }
    });
}

#[test]
fn conditions_combine_and_reach_into_json() {
    run(async {
        let (_app, service) = items().await;
        for (filter, expected) in [
            ("n=gt.5&name=like.a*&active=is.true", json!([1])),
            ("n=gt.10&n=lt.30", json!([2])),
            ("and=(n.gt.10,n.lt.30)", json!([2])),
            ("or=(n.eq.10,name.eq.Banana)", json!([1, 2])),
            ("not.or=(n.eq.10,n.is.null)", json!([2, 3])),
            ("not.and=(n.gte.10,active.is.true)", json!([2, 3, 4])),
            (r#"or=(and(n.gt.10,n.lt.30),n.is.null,name.in.("apple pie","x,y)"))"#, json!([1, 2, 4])),
            ("or=(n.eq.10,not.and(n.lt.30,id.lt.4))&id=lt.4", json!([1, 3])),
            (r#"or=(tags.cs.{a},span.adj."[10,20)")"#, json!([1, 2, 3])),
            ("data->>k=eq.10", json!([3])),
            ("data->k=gt.1", json!([2, 3])),
            ("data->list->>0=eq.1", json!([1])),
            ("data->list->-1=eq.2", json!([1])),
            ("or=(data->>k.eq.2,data->list.not.is.null)", json!([1, 2])),
        ] {
            assert_eq!(ids(&service, &format!("items?{filter}&order=id")).await, expected, "{filter}");
        }
    });
}

#[test]
fn rows_come_in_the_order_that_was_asked_for() {
    run(async {
        let (_app, service) = items().await;
        for (order, expected) in [
            ("n", json!([1, 2, 3, 4])),
            ("n.desc", json!([4, 3, 2, 1])),
            ("n.desc.nullslast", json!([3, 2, 1, 4])),
            ("n.nullsfirst", json!([4, 1, 2, 3])),
            ("active.asc,id.desc", json!([2, 1, 4, 3])),
            // numbers of JSON as numbers, then as text
            ("data->k.desc.nullslast", json!([3, 2, 1, 4])),
            ("data->>k", json!([1, 3, 2, 4])),
        ] {
            assert_eq!(ids(&service, &format!("items?order={order}")).await, expected, "{order}");
        }
    });
}

#[test]
fn a_part_of_the_rows_says_which_part_it_is() {
    run(async {
        let (_app, service) = items().await;
        let page = async |path: &str, range: &str, prefer: &str| -> Reply {
            let call = service.get(&rest(path)).header("range", range).header("prefer", prefer);
            call.send().await
        };

        assert_eq!(ids(&service, "items?order=id&limit=2&offset=1").await, json!([2, 3]));
        for (path, range, prefer, status, part) in [
            ("items", "", "", 200, "0-3/*"),
            ("items?limit=2&offset=1", "", "", 200, "1-2/*"),
            ("items", "1-2", "", 200, "1-2/*"),
            ("items?limit=0", "", "", 200, "*/*"),
            ("items", "", "count=exact", 200, "0-3/4"),
            ("items?limit=2&offset=1", "", "count=exact", 206, "1-2/4"),
            ("items", "2-", "count=exact", 206, "2-3/4"),
            ("items?limit=2", "1-9", "count=exact", 206, "1-1/4"),
            ("items?offset=4", "", "count=exact", 206, "*/4"),
            ("items?n=gt.10", "", "count=exact", 200, "0-1/2"),
            ("items?n=eq.99", "", "count=exact", 200, "*/0"),
        ] {
            assert_part(&page(path, range, prefer).await, status, part);
        }
        let counted = page("items?limit=1", "", "count=exact").await;
        assert_eq!(counted.header("preference-applied"), "count=exact");
        let past = page("items?offset=9", "", "count=exact").await;
        assert_refused(&past, 416, "PGRST103");
        assert_eq!(past.header("content-range"), "*/4");
        assert_refused(&page("items", "3-1", "").await, 416, "PGRST103");
        assert_refused(&page("items?limit=-1", "", "").await, 416, "PGRST103");
    });
}

#[test]
fn head_counts_without_a_body() {
    run(async {
        let (_app, service) = items().await;
        let head = async |path: &str| {
            service.call(Method::HEAD, &rest(path)).header("prefer", "count=exact").send().await
        };

        for (path, status, part) in
            [("items", 200, "0-3/4"), ("items?n=gt.10&limit=1", 206, "0-0/2"), ("items?offset=9", 416, "*/4")]
        {
            let reply = head(path).await;
            assert_part(&reply, status, part);
            assert!(reply.body.is_empty(), "{path}");
        }
        assert!(head("nothing").await.body.is_empty());
    });
}

#[test]
fn one_of_the_rows_that_are_the_same_is_enough() {
    run(async {
        let app = App::with(
            "create table public.lists (id int primary key, name text);
             create table public.tasks (id int primary key, list int references public.lists, who text, \"distinct\" text);
             insert into public.lists values (1, 'home'), (2, 'work');
             insert into public.tasks values
                 (1, 1, 'ann', 'x'), (2, 1, 'bob', null), (3, 2, 'ann', null), (4, 2, 'ann', null), (5, null, 'cy', null);
             create function public.said(\"distinct\" text) returns text language sql stable as 'select $1';",
        )
        .await;
        let service = app.service();
        for (path, expected) in [
            ("tasks?select=who&distinct=*&order=who", json!([{"who": "ann"}, {"who": "bob"}, {"who": "cy"}])),
            ("tasks?select=id&distinct=who", json!([{"id": 1}, {"id": 2}, {"id": 5}])),
            ("tasks?select=id&distinct=who&order=id.desc", json!([{"id": 4}, {"id": 2}, {"id": 5}])),
            ("tasks?select=id&distinct=who&order=who.desc,id.desc", json!([{"id": 5}, {"id": 2}, {"id": 4}])),
            (
                "tasks?select=id&distinct=who,list&list=not.is.null&order=list,who,id",
                json!([{"id": 1}, {"id": 2}, {"id": 3}]),
            ),
            ("tasks?select=lists(name)&distinct=*&list=eq.1", json!([{"lists": {"name": "home"}}])),
            ("lists?select=tasks(who)&tasks.distinct=who&id=eq.2", json!([{"tasks": [{"who": "ann"}]}])),
            ("tasks?select=id&distinct=eq.x", json!([{"id": 1}])),
            ("rpc/said?distinct=hello", json!("hello")),
        ] {
            assert_eq!(read(&service, path).await, expected, "{path}");
        }
        let counted =
            service.get(&rest("tasks?select=who&distinct=*&limit=1")).header("prefer", "count=exact");
        assert_part(&counted.send().await, 206, "0-0/3");
        for path in ["tasks?distinct=who;", "tasks?distinct="] {
            assert_refused(&service.get(&rest(path)).send().await, 400, "PGRST100");
        }
        assert_refused(&service.delete(&rest("tasks?distinct=who")).send().await, 400, "PGRST100");
    });
}

#[test]
fn a_query_too_long_for_an_address_is_in_the_body() {
    run(async {
        let (_app, service) = items().await;
        let many = (1..20_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let form = "application/x-www-form-urlencoded";
        let asking = |method: &str| {
            let call = service.call(method.parse().unwrap(), &rest("items?select=id&order=id.desc"));
            call.header("content-type", form).body(format!("limit=2&id=in.({many})"))
        };

        let queried = asking("QUERY").send().await.expect(200);
        assert_eq!(queried.json(), json!([{"id": 4}, {"id": 3}]));
        assert_eq!(queried.header("content-location"), "", "no address could hold it");
        let overridden = asking("POST").header("x-http-method-override", "GET").send().await.expect(200);
        assert_eq!(overridden.json(), json!([{"id": 4}, {"id": 3}]));

        let json = service.call("QUERY".parse().unwrap(), &rest("items")).json(json!({"id": 1}));
        assert_refused(&json.send().await, 400, "PGRST102");
        assert_refused(&service.call("PURGE".parse().unwrap(), &rest("items")).send().await, 405, "PGRST117");
    });
}

#[test]
fn no_answer_has_more_rows_than_the_project_allows() {
    run(async {
        let (app, service) = items().await;
        app.settings("data", json!({"max_rows": 2})).await;
        let counted = |path: &str| service.get(&rest(path)).header("prefer", "count=exact").send();

        assert_part(&counted("items").await, 206, "0-1/4");
        assert_part(&counted("items?limit=3&offset=1").await, 206, "1-2/4");
        assert_part(&counted("items?limit=1").await, 206, "0-0/4");
        assert_part(&counted("items?n=gt.10").await, 200, "0-1/2");
        assert_eq!(ids(&service, "items?order=id").await, json!([1, 2]));
    });
}

#[test]
fn columns_are_chosen_renamed_cast_and_taken_apart() {
    run(async {
        let (_app, service) = items().await;
        for (select, expected) in [
            ("id,label:name", json!({"id": 1, "label": "apple pie"})),
            ("n::text", json!({"n": "10"})),
            ("price:n::float8", json!({"price": 10})),
            ("data->k", json!({"k": 1})),
            ("data->list->>0", json!({"list": "1"})),
            ("first:data->list->0::int4", json!({"first": 1})),
            ("tags->1", json!({"tags": "b"})),
            ("data->missing->deeper", json!({"deeper": null})),
        ] {
            let found = read(&service, &format!("items?id=eq.1&select={select}")).await;
            assert_eq!(found, json!([expected]), "{select}");
        }
        let reply = service.get(&rest("items?select=id&id=eq.1")).send().await.expect(200);
        assert_eq!(reply.header("content-location"), "/items?id=eq.1&select=id");
        assert_eq!(reply.header("content-type"), "application/json; charset=utf-8");
        assert_eq!(reply.header("vary"), "Accept, Prefer, Range");
    });
}

#[test]
fn the_shape_is_the_one_that_was_accepted() {
    run(async {
        let (_app, service) = items().await;
        let stripped = "application/vnd.pgrst.array+json;nulls=stripped";
        let one_stripped = "application/vnd.pgrst.object+json;nulls=stripped";
        for (accept, path, body) in [
            ("text/csv", "items?select=id,name&order=id&limit=2", "id,name\n1,\"apple pie\"\n2,Banana"),
            (OBJECT, "items?select=id,n&id=eq.4", r#"{"id":4,"n":null}"#),
            (stripped, "items?select=id,n&id=eq.4", r#"[{"id":4}]"#),
            (one_stripped, "items?select=id,n&id=eq.4", r#"{"id":4}"#),
            ("application/unknown, */*", "items?select=id&id=eq.4", r#"[{"id":4}]"#),
            ("text/csv;q=0.1, application/json", "items?select=id&id=eq.4", r#"[{"id":4}]"#),
        ] {
            let reply = service.get(&rest(path)).header("accept", accept).send().await.expect(200);
            assert_eq!(reply.text(), body, "{accept}");
            let wanted = accept.split([',', ';']).next().unwrap_or_default();
            let found = reply.header("content-type");
            assert!(found.starts_with(wanted) || found.starts_with("application/json"), "{accept}: {found}");
        }
        let none = service.get(&rest("items?id=eq.99")).header("accept", OBJECT).send().await;
        assert_refused(&none, 406, "PGRST116");
    });
}
