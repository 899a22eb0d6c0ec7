//! Pages by cursors: every row once, in both directions, whatever the order and however rows come and go.

use serde_json::{Value, json};

use super::{assert_refused, ids_of, rest};
use crate::support::{Actor, App, Call, Reply, at, run};

const SCHEMA: &str = "
    create table public.lists (id int primary key, name text);
    insert into public.lists select n, 'list ' || n from generate_series(1, 3) n;
    create table public.items (
        id int primary key, list int references public.lists, rank int, at timestamptz not null, doc jsonb, after text);
    insert into public.items
        select n, n % 3 + 1, case when n % 5 = 0 then null else n % 7 end, '2026-01-01Z'::timestamptz + n % 4 * interval '1 hour',
            case when n % 6 = 0 then null else jsonb_build_object('a', n % 3) end, 'x'
        from generate_series(1, 40) n;
    create table public.pairs (a int, b int, primary key (a, b));
    insert into public.pairs select a, b from generate_series(1, 4) a, generate_series(1, 4) b;
    create table public.keyless (a int);
    create view public.seen as select * from public.items;
    create function public.all_items() returns setof public.items language sql stable as 'select * from public.items';
";

async fn app() -> (App, Actor) {
    let app = App::with(SCHEMA).await;
    app.settings("data", json!({"aggregates_enabled": true})).await;
    let service = app.service();
    (app, service)
}

fn get(actor: &Actor, path: &str) -> Call {
    actor.get(&rest(path))
}

/// Where a link of an answer leads, as a path of this API.
fn linked(reply: &Reply, rel: &str, relation: &str) -> Option<String> {
    let link =
        reply.header("link").split(", ").find(|link| link.ends_with(&format!("rel=\"{rel}\"")))?.to_owned();
    let query = link.split_once("<?")?.1.split_once('>')?.0.to_owned();
    Some(format!("{relation}?{query}"))
}

/// All rows that following a link to its end shows, page by page.
async fn followed(actor: &Actor, path: &str, rel: &str, relation: &str) -> Vec<Value> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let reply = actor.get(&format!("/rest/v1/{path}")).send().await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        next = linked(&reply, rel, relation);
        pages.push(reply.json());
        assert!(pages.len() < 50, "the pages do not end");
    }
    pages
}

fn all(pages: impl IntoIterator<Item = Value>) -> Value {
    pages.into_iter().flat_map(|page| page.as_array().cloned().unwrap_or_default()).collect()
}

#[test]
fn every_row_comes_once_in_every_order_and_direction() {
    run(async {
        let (_app, service) = app().await;
        for order in [
            "order=id",
            "order=id.desc",
            "order=rank",
            "order=rank.desc",
            "order=rank.nullsfirst,at.desc",
            "order=rank.desc.nullslast,list",
            "order=at.desc",
            "order=at,rank.desc",
            "order=doc->>a.desc,rank",
            "order=doc->a,at",
            "",
        ] {
            let tie = if order.contains("desc") && !order.contains(',') { "id.desc" } else { "id" };
            let whole = match order {
                "order=id" | "order=id.desc" => format!("items?{order}"),
                "" => "items?order=id".to_owned(),
                "order=rank.nullsfirst,at.desc" => format!("items?{order},id.desc"),
                "order=at,rank.desc" => format!("items?{order},id.desc"),
                _ => format!("items?{order},{tie}"),
            };
            let expected = get(&service, &whole).send().await.expect(200).json();
            let first = rest(&format!("items?{order}&limit=7&after=")).replace("/rest/v1/", "");
            let pages = followed(&service, &first, "next", "items").await;
            assert_eq!(pages.len(), 6, "{order}");
            assert_eq!(all(pages), expected, "{order}");
            let last = first.replace("after=", "before=");
            let mut pages = followed(&service, &last, "prev", "items").await;
            pages.reverse();
            assert_eq!(all(pages), expected, "{order} backwards");
        }
        let pairs = followed(&service, "pairs?select=b&limit=3&order=b.desc&after=", "next", "pairs").await;
        assert_eq!(all(pairs).as_array().map(Vec::len), Some(16));
    });
}

#[test]
fn a_page_knows_its_neighbours_and_shows_nothing_more_than_any_answer() {
    run(async {
        let (_app, service) = app().await;

        let first =
            get(&service, "items?select=id,lists(name)&order=id&limit=2&after=").send().await.expect(200);
        assert_eq!(
            first.json(),
            json!([{"id": 1, "lists": {"name": "list 2"}}, {"id": 2, "lists": {"name": "list 3"}}])
        );
        assert_eq!(first.header("content-range"), "0-1/*");
        assert_eq!(linked(&first, "prev", "items"), None);
        let second = linked(&first, "next", "items").unwrap();
        assert!(second.starts_with("items?limit=2&order=id&select=id%2Clists%28name%29&after="), "{second}");
        let second = service
            .get(&format!("/rest/v1/{second}"))
            .header("prefer", "count=exact")
            .send()
            .await
            .expect(206);
        assert_eq!((ids_of(&second.json()), second.header("content-range")), (json!([3, 4]), "*/40"));
        let back = linked(&second, "prev", "items").unwrap();
        let back = service.get(&format!("/rest/v1/{back}")).send().await.expect(200);
        assert_eq!(back.json(), first.json());
        assert_eq!((linked(&back, "prev", "items"), linked(&back, "next", "items").is_some()), (None, true));
        let spread = get(&service, "items?select=id,...lists(list:name)&id=in.(5,6)&order=id&limit=5&after=")
            .send()
            .await;
        assert_eq!(spread.json(), json!([{"id": 5, "list": "list 3"}, {"id": 6, "list": "list 1"}]));
        assert_eq!(spread.header("link"), "");
        let csv = get(&service, "items?select=id,rank&order=id&limit=2&after=")
            .header("accept", "text/csv")
            .send()
            .await;
        assert_eq!(csv.text(), "id,rank\n1,1\n2,2");
        assert!(linked(&csv, "next", "items").is_some());
        let whole = get(&service, "items?id=eq.1&after=").send().await.expect(200).json();
        assert_eq!(
            at(&whole, "/0").as_object().map(|row| row.keys().map(String::as_str).collect::<Vec<_>>()),
            Some(vec!["id", "list", "rank", "at", "doc", "after"])
        );
    });
}

#[test]
fn rows_that_come_and_go_move_no_others() {
    run(async {
        let (app, service) = app().await;
        let first = get(&service, "items?select=id&order=at.desc,id&limit=3&after=").send().await.expect(200);
        assert_eq!(ids_of(&first.json()), json!([3, 7, 11]));
        app.sql("delete from public.items where id in (3, 11);
            insert into public.items (id, at) values (100, '2027-01-01Z'), (12, '2025-01-01Z') on conflict do nothing").await;

        let second = linked(&first, "next", "items").unwrap();
        let second = service.get(&format!("/rest/v1/{second}")).send().await.expect(200);
        assert_eq!(ids_of(&second.json()), json!([15, 19, 23]));
    });
}

#[test]
fn what_has_no_places_has_no_cursors() {
    run(async {
        let (_app, service) = app().await;
        let first = get(&service, "items?select=id&order=id&limit=3&after=").send().await.expect(200);
        let next = linked(&first, "next", "items").unwrap();
        let token = next.rsplit_once('=').unwrap().1.to_owned();

        for path in [
            format!("items?order=rank&after={token}"),
            format!("items?order=id.desc&after={token}"),
            "items?after=nonsense".to_owned(),
            format!("items?after={token}&before={token}"),
            "items?offset=5&after=".to_owned(),
            "items?select=rank,id.count()&after=".to_owned(),
            "items?distinct=rank&after=".to_owned(),
            "items?select=id,lists(name)&order=lists(name)&after=".to_owned(),
            "keyless?after=".to_owned(),
            "seen?after=".to_owned(),
        ] {
            assert_refused(&get(&service, &path).send().await, 400, "MB102");
        }
        let deleted = service.delete(&rest(&format!("items?id=gt.0&after={token}"))).send().await;
        assert_refused(&deleted, 400, "MB102");
        let column = get(&service, "items?select=id&after=eq.x&limit=1").send().await.expect(200);
        assert_eq!(column.json().as_array().map(Vec::len), Some(1));
    });
}
