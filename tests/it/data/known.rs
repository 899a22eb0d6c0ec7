//! Reads that come again: what is remembered of them is what was asked, never who asked or what was there.

use http::Method;
use serde_json::{Value, json};

use super::{OBJECT, read, rest};
use crate::support::process::eventually;
use crate::support::{Actor, App, Reply, run};

const SCHEMA: &str = "
    create table public.items (id int primary key, owner uuid default auth.uid());
    alter table public.items enable row level security;
    create policy own on public.items using (owner = auth.uid());
    grant all on public.items to anon, authenticated;
";

/// Whom a row of the caller's own belongs to.
fn own(actor: &Actor) -> Value {
    json!([{"owner": actor.id}])
}

#[test]
fn the_same_question_is_answered_for_each_caller() {
    run(async {
        let app = App::with(SCHEMA).await;
        let (ann, bob, anon) = (app.user("ann").await, app.user("bob").await, app.anon());
        for (id, actor) in [(1, &ann), (2, &bob)] {
            actor.post(&rest("items")).json(json!({"id": id})).send().await.expect(201);
        }

        for _ in 0..4 {
            assert_eq!(read(&ann, "items?select=owner&limit=9").await, own(&ann));
            assert_eq!(read(&bob, "items?select=owner&limit=9").await, own(&bob));
            assert_eq!(read(&anon, "items?select=owner&limit=9").await, json!([]));
        }
        bob.delete(&rest("items?id=eq.2")).send().await.expect(204);
        assert_eq!(read(&bob, "items?select=owner&limit=9").await, json!([]));
    });
}

#[test]
fn another_method_or_header_is_another_question() {
    run(async {
        let app = App::with(SCHEMA).await;
        let ann = app.user("ann").await;
        for id in 1..=3 {
            ann.post(&rest("items")).json(json!({"id": id})).send().await.expect(201);
        }
        let ask = async |method: &Method, headers: &[(&str, &str)]| {
            let mut call = ann.call(method.clone(), &rest("items?select=id&order=id"));
            for (name, value) in headers {
                call = call.header(name, value);
            }
            call.send().await
        };
        let kinds: [(Method, &[(&str, &str)]); 8] = [
            (Method::GET, &[]),
            (Method::HEAD, &[]),
            (Method::GET, &[("accept", OBJECT)]),
            (Method::GET, &[("accept", "text/csv")]),
            (Method::GET, &[("range", "1-1")]),
            (Method::GET, &[("prefer", "count=exact")]),
            (Method::GET, &[("prefer", "count=exact"), ("range", "0-0")]),
            (Method::GET, &[("accept-profile", "nothing")]),
        ];
        let mut first: Vec<Reply> = Vec::new();
        for (method, headers) in &kinds {
            first.push(ask(method, headers).await);
        }
        let statuses: Vec<u16> = first.iter().map(|reply| reply.status.as_u16()).collect();
        assert_eq!(statuses, [200, 200, 406, 200, 200, 200, 206, 406]);

        for _ in 0..4 {
            for ((method, headers), first) in kinds.iter().zip(&first) {
                let again = ask(method, headers).await;
                let shown = |reply: &Reply| {
                    let header = |name| reply.header(name).to_owned();
                    (reply.status, reply.text(), header("content-range"), header("content-type"))
                };
                assert_eq!(shown(&again), shown(first), "{method} {headers:?}");
            }
        }
    });
}

#[test]
fn nothing_is_remembered_of_a_schema_that_was() {
    run(async {
        let app = App::with(
            "create table public.t (id int primary key, a int); insert into public.t values (1, 2);",
        )
        .await;
        let service = app.service();
        for _ in 0..4 {
            assert_eq!(read(&service, "t?select=id,a&a=eq.2").await, json!([{"id": 1, "a": 2}]));
        }

        app.sql(
            "alter table public.t rename column a to b; alter table public.t add column a text default 'x'",
        )
        .await;
        let as_text = || async {
            let reply = service.get(&rest("t?select=id,a&a=eq.x")).send().await;
            reply.json() == json!([{"id": 1, "a": "x"}])
        };
        eventually("the new column is filtered as text", as_text).await;
        assert_eq!(read(&service, "t?select=id,a&a=eq.2").await, json!([]));
    });
}
