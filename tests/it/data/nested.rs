//! Relational inserts: rows with rows of other relations, in one request, whole or not at all.

use http::Method;
use serde_json::{Value, json};

use super::{OBJECT, assert_part, assert_refused, read, rest};
use crate::support::{Actor, App, Reply, at, run};

const SCHEMA: &str = "
    create table public.authors (id int generated always as identity primary key, name text not null unique);
    create table public.books (
        id bigint generated always as identity primary key, title text not null,
        price numeric default 7.50, author_id int references public.authors,
        editor_id int references public.authors);
    create table public.chapters (
        book_id bigint references public.books, no int, title text not null, primary key (book_id, no));
    create table public.covers (book_id bigint primary key references public.books, colour text);
    create table public.tags (id uuid primary key default gen_random_uuid(), tag text not null);
    create table public.book_tags (
        book_id bigint references public.books, tag_id uuid references public.tags, primary key (book_id, tag_id));
    create table public.notes (note text, book_id bigint references public.books);
    create function public.upper_title(public.books) returns setof public.tags rows 1 language sql stable
        as 'select * from public.tags limit 1';
";

async fn library() -> (App, Actor) {
    let app = App::with(SCHEMA).await;
    let service = app.service();
    (app, service)
}

async fn insert(actor: &Actor, path: &str, prefer: &str, body: Value) -> Reply {
    actor.call(Method::POST, &rest(path)).header("prefer", prefer).json(body).send().await
}

const WHOLE: &str = "return=representation";
const SELECT: &str =
    "select=title,price,authors!books_author_id_fkey(name),chapters(no,title),covers(colour),tags(tag)";

#[test]
fn rows_come_with_what_belongs_to_them_in_every_direction() {
    run(async {
        let (_app, service) = library().await;
        let books = json!([
            {
                "title": "one", "authors!books_author_id_fkey": {"name": "ann"}, "covers": {"colour": "red"},
                "chapters": [{"no": 1, "title": "a"}, {"no": 2, "title": "b"}], "tags": [{"tag": "x"}, {"tag": "y"}],
            },
            {
                "title": "two", "authors!books_author_id_fkey": null, "covers": null,
                "chapters": [{"no": 1, "title": "c"}], "tags": [],
            },
        ]);

        let inserted = insert(&service, &format!("books?{SELECT}"), WHOLE, books).await.expect(201);

        let expected = json!([
            {
                "title": "one", "price": 7.50, "authors": {"name": "ann"}, "covers": {"colour": "red"},
                "chapters": [{"no": 1, "title": "a"}, {"no": 2, "title": "b"}], "tags": [{"tag": "x"}, {"tag": "y"}],
            },
            {
                "title": "two", "price": 7.50, "authors": null, "covers": null,
                "chapters": [{"no": 1, "title": "c"}], "tags": [],
            },
        ]);
        assert_eq!(inserted.json(), expected);
        assert_eq!(read(&service, &format!("books?{SELECT}&order=id")).await, expected);
    });
}

#[test]
fn relations_may_be_inside_relations_and_answers_are_those_of_an_insert() {
    run(async {
        let (_app, service) = library().await;
        let author = |name: &str| {
            json!({"name": name, "books!books_author_id_fkey": [
                {"title": "t", "chapters": [{"no": 1, "title": "c"}]},
                {"title": "u", "chapters": []},
            ]})
        };

        let plain = insert(&service, "authors", "count=exact", json!([author("a"), author("b")])).await;
        assert_part(&plain, 201, "*/2");
        assert_eq!(plain.text(), "");
        let located = insert(&service, "authors", "return=headers-only", author("c")).await;
        assert_eq!((located.status.as_u16(), located.header("location")), (201, "/authors?id=eq.3"));
        let one = service.call(Method::POST, &rest("authors?select=name")).header("prefer", WHOLE);
        let one = one.header("accept", OBJECT).json(author("d")).send().await.expect(201);
        assert_eq!(one.json(), json!({"name": "d"}));

        let counts = "authors?select=name,books!books_author_id_fkey(title,chapters(title))&order=id&limit=1";
        let books = json!([{"title": "t", "chapters": [{"title": "c"}]}, {"title": "u", "chapters": []}]);
        assert_eq!(read(&service, counts).await, json!([{"name": "a", "books": books}]));
        assert_eq!(read(&service, "books?select=title").await.as_array().map(Vec::len), Some(8));
    });
}

#[test]
fn many_rows_keep_their_own_relatives_and_no_digit_is_lost() {
    run(async {
        let (_app, service) = library().await;
        let books: Vec<Value> = (0..300)
            .map(|n| json!({"title": format!("t{n}"), "chapters": [{"no": n, "title": format!("t{n}")}]}))
            .collect();
        insert(&service, "books", "", json!(books)).await.expect(201);
        let chapters = read(&service, "chapters?select=no,title,books(title)&order=no").await;
        for n in 0..300 {
            let title = format!("t{n}");
            assert_eq!(
                at(&chapters, &format!("/{n}")),
                &json!({"no": n, "title": title, "books": {"title": title}})
            );
        }

        let differing = json!({"name": "z", "books!books_author_id_fkey": [{"title": "free", "price": 0}, {"title": "usual"}]});
        insert(&service, "authors", "", differing).await.expect(201);
        let prices = read(&service, "books?select=title,price&title=in.(free,usual)&order=title").await;
        assert_eq!(prices, json!([{"title": "free", "price": 0}, {"title": "usual", "price": 7.50}]));

        let exact = r#"{"title":"exact","price":12345678901234567890.123456789,"chapters":[]}"#;
        let call = service.call(Method::POST, &rest("books?select=price")).header("prefer", WHOLE);
        let reply = call.header("content-type", "application/json").body(exact).send().await.expect(201);
        assert!(reply.text().contains("12345678901234567890.123456789"), "{}", reply.text());
    });
}

#[test]
fn keys_that_share_a_column_agree_on_it() {
    run(async {
        let app = App::with(
            "create table public.orders (tenant int, no int, primary key (tenant, no));
             create table public.products (tenant int, sku text, primary key (tenant, sku));
             create table public.lines (tenant int, no int, sku text, amount int, primary key (tenant, no, sku),
                 foreign key (tenant, no) references public.orders, foreign key (tenant, sku) references public.products);",
        )
        .await;
        let service = app.service();
        let order = |tenant: i32| json!({"tenant": 1, "no": 5, "lines": [{"amount": 2, "products": {"tenant": tenant, "sku": "a"}}]});

        assert_refused(&insert(&service, "orders", "", order(2)).await, 400, "PGRST102");
        insert(&service, "orders", "", order(1)).await.expect(201);
        let lines = read(&service, "lines").await;
        assert_eq!(lines, json!([{"tenant": 1, "no": 5, "sku": "a", "amount": 2}]));
    });
}

#[test]
fn no_rows_are_inserted_under_the_callers_role_too() {
    run(async {
        let (app, service) = library().await;
        for actor in [&service, &app.anon()] {
            let none =
                insert(actor, "books?columns=title,chapters&select=id", WHOLE, json!([])).await.expect(201);
            assert_eq!(none.json(), json!([]));
        }
    });
}

#[test]
fn rows_are_bounded() {
    run(async {
        let (_app, service) = library().await;
        let many = json!({"title": "t", "chapters": vec![json!({}); 10_001]});
        assert_refused(&insert(&service, "books", "", many).await, 400, "MB101");
        let together: Vec<Value> =
            (0..6000).map(|n| json!({"title": "t", "chapters": [{"no": n, "title": "c"}]})).collect();
        assert_refused(&insert(&service, "books", "", json!(together)).await, 400, "MB101");
        assert_eq!(read(&service, "books?select=id").await, json!([]));
    });
}

#[test]
fn nothing_is_inserted_if_anything_fails() {
    run(async {
        let (_app, service) = library().await;
        let chapter = |title: Value| json!({"title": "t", "chapters": [{"no": 1, "title": title}]});

        for (path, prefer, body, status, code) in [
            ("books", "", chapter(json!(null)), 400, "23502"),
            ("books", "", json!({"title": "t", "chapters": 5}), 400, "PGRST102"),
            ("books", "", json!({"title": "t", "covers": []}), 400, "PGRST102"),
            ("books", "", json!({"title": "t", "chapters": [{"no": 1, "nope": 2}]}), 400, "PGRST204"),
            (
                "books",
                "",
                json!({"title": "t", "chapters": [{"no": 1, "title": "x", "book_id": 5}]}),
                400,
                "PGRST102",
            ),
            ("books", "", json!({"title": "t", "authors": {"name": "x"}}), 300, "PGRST201"),
            ("books", "", json!({"title": "t", "upper_title": {"tag": "x"}}), 400, "MB101"),
            ("books", "resolution=merge-duplicates", chapter(json!("t")), 400, "MB101"),
            ("notes", WHOLE, json!({"note": "n", "books": {"title": "t"}}), 400, "MB101"),
        ] {
            assert_refused(&insert(&service, path, prefer, body).await, status, code);
        }
        let two = json!([chapter(json!("a")), chapter(json!("b"))]);
        let one = service.call(Method::POST, &rest("books")).header("accept", OBJECT).json(two).send().await;
        assert_refused(&one, 406, "PGRST116");
        let undone =
            insert(&service, "books", "tx=rollback,return=representation", chapter(json!("t"))).await;
        assert_eq!(undone.status, 201, "{}", undone.text());

        assert_eq!(read(&service, "books?select=title").await, json!([]));
        assert_eq!(read(&service, "chapters?select=title").await, json!([]));
    });
}

#[test]
fn policies_of_a_relation_see_the_rows_before_it_and_refuse_all_or_nothing() {
    run(async {
        let app = App::with(
            "create table public.lists (id int generated always as identity primary key,
                 owner uuid not null default auth.uid(), name text);
             create table public.items (id int generated always as identity primary key,
                 list_id int not null references public.lists, what text check (what <> 'bad'));
             create policy own on public.lists to authenticated using (owner = auth.uid());
             create policy of_own on public.items to authenticated using (
                 exists (select from public.lists where lists.id = list_id and owner = auth.uid()));",
        )
        .await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        let list = |what: &str| json!({"name": "l", "items": [{"what": what}]});

        let mine = insert(&ann, "lists?select=name,items(what)", WHOLE, list("milk")).await.expect(201);
        assert_eq!(mine.json(), json!([{"name": "l", "items": [{"what": "milk"}]}]));
        assert_refused(&insert(&ann, "lists", "", list("bad")).await, 400, "23514");
        let stolen =
            json!({"name": "l", "owner": "00000000-0000-0000-0000-000000000001", "items": [{"what": "x"}]});
        assert_refused(&insert(&bob, "lists", "", stolen).await, 403, "42501");

        assert_eq!(read(&ann, "lists?select=id").await, json!([{"id": 1}]));
        assert_eq!(read(&bob, "items?select=id").await, json!([]));
    });
}
