//! Reads that come again: what is cached of them is what was asked, never who asked or what was there.

use http::Method;
use serde_json::{Value, json};

use super::{OBJECT, read, rest};
use crate::support::process::eventually;
use crate::support::{Actor, App, run};

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

/// Method, path and headers of a read.
type Kind = (Method, &'static str, &'static [(&'static str, &'static str)]);

#[test]
fn the_fourth_answer_is_the_first_whatever_was_asked_between() {
    run(async {
        let app = App::with(SCHEMA).await;
        app.sql(
            "create function public.later() returns setof public.items language sql stable
                 set default_transaction_isolation = 'serializable' as 'select * from public.items order by id';
             create function public.level() returns text language sql stable
                 set default_transaction_isolation = 'serializable'
                 as $$ select current_setting('transaction_isolation') $$;",
        )
        .await;
        app.settings("data", json!({"plan_enabled": true})).await;
        let ann = app.user("ann").await;
        for id in 1..=3 {
            ann.post(&rest("items")).json(json!({"id": id})).send().await.expect(201);
        }
        // estimates stay what they are
        app.sql("analyze public.items").await;
        const ROWS: &str = "items?select=id&order=id";
        let kinds: [Kind; 21] = [
            (Method::GET, ROWS, &[]),
            (Method::HEAD, ROWS, &[]),
            (Method::GET, ROWS, &[("accept", OBJECT)]),
            (Method::GET, ROWS, &[("accept", "text/csv")]),
            (Method::GET, ROWS, &[("accept", "application/x-ndjson")]),
            (Method::GET, ROWS, &[("accept", "application/vnd.pgrst.array+json;nulls=stripped")]),
            (Method::GET, ROWS, &[("accept", "application/vnd.pgrst.plan+json; options=verbose")]),
            (Method::GET, ROWS, &[("range", "1-1")]),
            (Method::HEAD, ROWS, &[("range", "1-1")]),
            (Method::GET, ROWS, &[("prefer", "count=exact")]),
            (Method::GET, ROWS, &[("prefer", "count=planned")]),
            (Method::GET, ROWS, &[("prefer", "count=exact"), ("range", "0-0")]),
            (Method::GET, ROWS, &[("prefer", "count=exact, timezone=Asia/Tokyo, handling=strict")]),
            (Method::GET, ROWS, &[("prefer", "nothing=1, handling=strict")]),
            (Method::GET, ROWS, &[("accept-profile", "nothing")]),
            (Method::GET, "items?select=id&order=id&limit=1&after=", &[]),
            (Method::GET, "items?select=id&order=id&limit=1&offset=9", &[("prefer", "count=exact")]),
            (Method::GET, "items?select=id&id=eq.x", &[]),
            (Method::GET, "rpc/later?select=id&limit=2", &[("prefer", "count=exact")]),
            (Method::HEAD, "rpc/later", &[]),
            (Method::GET, "rpc/level", &[]),
        ];
        let mut first: Vec<Shown> = Vec::new();
        for kind in &kinds {
            first.push(shown(&ann, kind).await);
        }
        let statuses: Vec<u16> = first.iter().map(|shown| shown.0).collect();
        let expected = "200 200 406 200 200 200 200 200 200 200 200 206 200 400 406 200 416 400 206 200 200";
        assert_eq!(statuses, expected.split(' ').map(|s| s.parse().unwrap()).collect::<Vec<u16>>());
        assert_eq!(first[20].1, "\"serializable\"");

        for _ in 0..3 {
            for (kind, first) in kinds.iter().zip(&first) {
                assert_eq!(&shown(&ann, kind).await, first, "{kind:?}");
            }
        }
    });
}

/// Status, body and headers of an answer.
type Shown = (u16, String, Vec<(String, String)>);

/// What a read shows that does not change with time.
async fn shown(actor: &Actor, (method, path, headers): &Kind) -> Shown {
    let mut call = actor.call(method.clone(), &rest(path));
    for (name, value) in *headers {
        call = call.header(name, value);
    }
    let reply = call.send().await;
    let mut shown: Vec<(String, String)> = (reply.headers.iter())
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "connection"))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    shown.sort();
    (reply.status.as_u16(), reply.text(), shown)
}

#[test]
fn nothing_is_cached_of_a_schema_that_was() {
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
        // by every connection: one that has not heard of it yet fails once
        let as_before =
            || async { service.get(&rest("t?select=id,a&a=eq.2")).send().await.json() == json!([]) };
        eventually("for every question", as_before).await;
    });
}
