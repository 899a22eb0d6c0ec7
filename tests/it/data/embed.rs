//! Embedding: related rows inside rows, over every kind of relationship.

use serde_json::{Value, json};

use super::{assert_refused, ids, ids_of, read, rest};
use crate::support::{Actor, App, at, run};

const SCHEMA: &str = "
    create table public.authors (id int primary key, name text);
    create table public.publishers (id int primary key, name text);
    create table public.books (
        id int primary key, title text, publisher int references public.publishers,
        author int references public.authors, editor int references public.authors);
    create table public.details (book int primary key references public.books, isbn text);
    create table public.tags (id int primary key, name text);
    create table public.book_tags (
        book int references public.books, tag int references public.tags, primary key (book, tag));
    create table public.nodes (id int primary key, parent int references public.nodes);
    create function public.shout(public.books) returns text language sql stable as 'select upper($1.title)';
    create function public.newest(public.publishers) returns setof public.books rows 1 language sql stable
        as 'select * from public.books where publisher = $1.id order by id desc limit 1';
    insert into public.authors values (1, 'Ann'), (2, 'Bob');
    insert into public.publishers values (1, 'North'), (2, 'South'), (3, 'Empty');
    insert into public.books values (1, 'a', 1, 1, 2), (2, 'b', 1, 1, null), (3, 'c', 2, 2, null), (4, 'd', null, null, null);
    insert into public.details values (1, 'isbn-1');
    insert into public.tags values (1, 'red'), (2, 'blue');
    insert into public.book_tags values (1, 1), (1, 2), (2, 2);
    insert into public.nodes values (1, null), (2, 1), (3, 1);
";

async fn library() -> (App, Actor) {
    let app = App::with(SCHEMA).await;
    let service = app.service();
    (app, service)
}

#[test]
fn every_kind_of_relationship_embeds() {
    run(async {
        let (_app, service) = library().await;
        for (path, expected) in [
            ("books?select=id,publishers(name)&id=eq.1", json!([{"id": 1, "publishers": {"name": "North"}}])),
            ("books?select=house:publishers(name)&id=eq.4", json!([{"house": null}])),
            ("books?select=house:publisher(name)&id=eq.3", json!([{"house": {"name": "South"}}])),
            (
                "publishers?select=books(id)&id=eq.1&books.order=id",
                json!([{"books": [{"id": 1}, {"id": 2}]}]),
            ),
            ("publishers?select=books(id)&id=eq.3", json!([{"books": []}])),
            ("books?select=details(isbn)&id=eq.1", json!([{"details": {"isbn": "isbn-1"}}])),
            ("books?select=details(isbn)&id=eq.2", json!([{"details": null}])),
            ("details?select=books(title)", json!([{"books": {"title": "a"}}])),
            (
                "books?select=tags(name)&id=eq.1&tags.order=id",
                json!([{"tags": [{"name": "red"}, {"name": "blue"}]}]),
            ),
            ("tags?select=books(id)&id=eq.2&books.order=id.desc", json!([{"books": [{"id": 2}, {"id": 1}]}])),
            ("nodes?select=id,up:parent(id)&id=eq.2", json!([{"id": 2, "up": {"id": 1}}])),
            (
                "nodes?select=down:nodes!parent(id)&id=eq.1&down.order=id",
                json!([{"down": [{"id": 2}, {"id": 3}]}]),
            ),
            ("books?select=id,shout&id=eq.1", json!([{"id": 1, "shout": "A"}])),
            ("publishers?select=newest(id)&id=eq.1", json!([{"newest": {"id": 2}}])),
            (
                "publishers?select=name,books(id,tags(name))&id=eq.1&books.order=id.desc&books.tags.order=name&books.limit=1",
                json!([{"name": "North", "books": [{"id": 2, "tags": [{"name": "blue"}]}]}]),
            ),
        ] {
            assert_eq!(read(&service, path).await, expected, "{path}");
        }
    });
}

#[test]
fn an_ambiguous_relationship_needs_a_hint() {
    run(async {
        let (_app, service) = library().await;

        for path in ["books?select=authors(name)", "authors?select=books(id)"] {
            let reply = service.get(&rest(path)).send().await;
            assert_refused(&reply, 300, "PGRST201");
            assert_eq!(at(&reply.json(), "/details").as_array().map(Vec::len), Some(2), "{path}");
        }
        let by_hint =
            "books?select=writer:authors!author(name),editor:authors!books_editor_fkey(name)&id=eq.1";
        assert_eq!(
            read(&service, by_hint).await,
            json!([{"writer": {"name": "Ann"}, "editor": {"name": "Bob"}}])
        );
        let inverse = "authors?select=written:books!author(id),edited:books!books_editor_fkey(id)&id=eq.2";
        assert_eq!(read(&service, inverse).await, json!([{"written": [{"id": 3}], "edited": [{"id": 1}]}]));
        assert_refused(&service.get(&rest("books?select=authors!nothing(id)")).send().await, 400, "PGRST200");
    });
}

#[test]
fn embedded_rows_are_filtered_ordered_and_cut_on_their_own() {
    run(async {
        let (_app, service) = library().await;
        let publishers = |select: &str| format!("publishers?order=id&select=id,{select}");
        for (path, expected) in [
            (publishers("books(id)&books.order=id.desc&books.limit=1"), json!([[2], [3], []])),
            (publishers("books(id)&books.order=id&books.offset=1"), json!([[2], [], []])),
            (publishers("books(id)&books.id=gt.1&books.order=id"), json!([[2], [3], []])),
            (publishers("books(id)&books.or=(title.eq.a,title.eq.c)"), json!([[1], [3], []])),
            (publishers("books(id)&books.not.and=(id.gt.1,id.lt.3)&books.order=id"), json!([[1], [3], []])),
        ] {
            let found = read(&service, &path).await;
            let publishers = found.as_array().expect("a list").iter();
            let books: Value = publishers.map(|row| ids_of(at(row, "/books"))).collect();
            assert_eq!(books, expected, "{path}");
        }
        let unknown = service.get(&rest("publishers?books.id=eq.1")).send().await;
        assert_refused(&unknown, 400, "PGRST108");
    });
}

#[test]
fn rows_are_chosen_by_what_is_related_to_them() {
    run(async {
        let (_app, service) = library().await;
        for (path, expected) in [
            ("books?select=id,publishers!inner(name)&publishers.name=eq.North&order=id", json!([1, 2])),
            ("books?select=id,publishers!left(name)&publishers.name=eq.North&order=id", json!([1, 2, 3, 4])),
            ("books?select=id,tags!inner()&tags.name=eq.red", json!([1])),
            ("publishers?select=id,books!inner(tags!inner())&books.tags.name=eq.blue", json!([1])),
            ("publishers?select=id,books()&books=is.null", json!([3])),
            ("publishers?select=id,books()&books=not.is.null&order=id", json!([1, 2])),
            ("publishers?select=id,books()&books.title=eq.c&books=not.is.null", json!([2])),
            (
                "publishers?select=id,books()&books.id=eq.3&or=(books.not.is.null,name.eq.Empty)&order=id",
                json!([2, 3]),
            ),
            ("books?select=id,publishers()&order=publishers(name).desc.nullslast,id", json!([3, 1, 2, 4])),
        ] {
            assert_eq!(ids(&service, path).await, expected, "{path}");
        }
        let counted =
            service.get(&rest("books?select=id,publishers!inner()&publishers.name=eq.North&limit=1"));
        let counted = counted.header("prefer", "count=exact").send().await.expect(206);
        assert_eq!(counted.header("content-range"), "0-0/2");
        let to_many = service.get(&rest("publishers?select=id,books()&order=books(id)")).send().await;
        assert_refused(&to_many, 400, "PGRST118");
    });
}

#[test]
fn conditions_of_several_relations_stand_side_by_side() {
    run(async {
        let (_app, service) = library().await;
        for (path, expected) in [
            (
                "books?select=id,publishers(),tags()&or=(publishers.name.eq.South,tags.name.eq.blue)",
                json!([1, 2, 3]),
            ),
            ("books?select=id,publishers()&or=(publishers.name.eq.South,title.eq.d)", json!([3, 4])),
            ("books?select=id,house:publishers()&or=(house.name.in.(South,East),id.eq.4)", json!([3, 4])),
            ("books?select=id,tags()&not.or=(tags.name.eq.red,title.eq.c)", json!([2, 4])),
            ("books?select=id,tags()&or=(tags.and(name.eq.red,id.eq.2),id.eq.4)", json!([4])),
            ("books?select=id,tags()&tags.name=eq.blue&or=(tags.name.like.*,id.eq.4)", json!([1, 2, 4])),
            ("publishers?select=id,books(tags())&or=(books.tags.name.eq.red,name.eq.Empty)", json!([1, 3])),
            (
                "publishers?select=id,books(tags())&or=(books.or(title.eq.c,tags.name.eq.red),id.eq.9)",
                json!([1, 2]),
            ),
            ("publishers?select=id,books(authors!author())&or=(books.authors.is.null,id.eq.3)", json!([3])),
            ("publishers?select=id,newest()&or=(newest.title.eq.b,id.eq.3)", json!([1, 3])),
            ("nodes?select=id,up:parent()&or=(up.id.eq.1,id.eq.1)", json!([1, 2, 3])),
        ] {
            assert_eq!(ids(&service, &format!("{path}&order=id")).await, expected, "{path}");
            let counted =
                service.get(&rest(path)).header("prefer", "count=exact").header("range", "0-0").send().await;
            let total = format!("/{}", expected.as_array().map_or(0, Vec::len));
            assert!(
                counted.header("content-range").ends_with(&total),
                "{path}: {}",
                counted.header("content-range")
            );
        }
        let asked = |relation: &str| format!("or=({})", vec![format!("{relation}.id.gt.0"); 50].join(","));
        let (down, up) = (asked("books"), asked("publishers"));
        let product = format!(
            "publishers?select=id,books(id,publishers(id,books(id)))&{down}&books.{up}&books.publishers.{down}"
        );
        assert_refused(&service.get(&rest(&product)).send().await, 400, "PGRST100");
        assert_refused(
            &service.get(&rest("books?or=(tags.name.eq.red,id.eq.1)")).send().await,
            400,
            "PGRST108",
        );
        assert_refused(&service.get(&rest("books?or=(tags.nme.red,id.eq.1)")).send().await, 400, "PGRST100");
        let write =
            service.delete(&rest("books?select=id,tags()&or=(tags.name.eq.red,id.eq.1)")).send().await;
        assert_refused(&write, 400, "PGRST108");
    });
}

#[test]
fn spread_columns_become_the_rows_own() {
    run(async {
        let (_app, service) = library().await;
        for (path, expected) in [
            ("books?select=id,...publishers(house:name)&id=eq.1", json!([{"id": 1, "house": "North"}])),
            ("books?select=id,...publishers(house:name)&id=eq.4", json!([{"id": 4, "house": null}])),
            (
                "details?select=isbn,...books(title,...publishers(house:name))",
                json!([{"isbn": "isbn-1", "title": "a", "house": "North"}]),
            ),
        ] {
            assert_eq!(read(&service, path).await, expected, "{path}");
        }
    });
}

#[test]
fn spread_columns_of_many_rows_become_lists() {
    run(async {
        let (_app, service) = library().await;
        for (path, expected) in [
            // in one order for all columns, even by one that is not selected
            (
                "publishers?select=name,...books(titles:title,ids:id)&books.order=author.desc,title.desc&id=eq.1",
                json!([{"name": "North", "titles": ["b", "a"], "ids": [2, 1]}]),
            ),
            ("publishers?select=name,...books(id)&id=eq.3", json!([{"name": "Empty", "id": []}])),
            (
                "publishers?select=...books(*)&id=eq.2",
                json!([{"id": [3], "title": ["c"], "publisher": [2], "author": [2], "editor": [null]}]),
            ),
            (
                "publishers?select=...books(title,...authors!author(writers:name),tags(name))&id=eq.2",
                json!([{"title": ["c"], "writers": ["Bob"], "tags": [[]]}]),
            ),
            (
                "authors?select=id,...books!author(...tags(colours:name))&id=eq.1\
                 &books.order=id&books.tags.order=name",
                json!([{"id": 1, "colours": [["blue", "red"], ["blue"]]}]),
            ),
            (
                "publishers?select=name,...books!inner(title)&books.title=eq.a",
                json!([{"name": "North", "title": ["a"]}]),
            ),
            ("publishers?select=name,...books(title)&books=is.null", json!([{"name": "Empty", "title": []}])),
            (
                "publishers?select=...books(title)&books.order=id.desc&books.limit=1&id=eq.1",
                json!([{"title": ["b"]}]),
            ),
        ] {
            assert_eq!(read(&service, path).await, expected, "{path}");
        }
    });
}

#[test]
fn written_rows_come_back_with_what_is_related() {
    run(async {
        let (_app, service) = library().await;
        let insert =
            service.post(&rest("books?select=id,publishers(name)")).json(json!({"id": 9, "publisher": 2}));
        let inserted = insert.header("prefer", "return=representation").send().await.expect(201);
        assert_eq!(inserted.json(), json!([{"id": 9, "publishers": {"name": "South"}}]));
        let update =
            service.patch(&rest("books?id=eq.9&select=house:publishers(name)")).json(json!({"publisher": 1}));
        let updated = update.header("prefer", "return=representation").send().await.expect(200);
        assert_eq!(updated.json(), json!([{"house": {"name": "North"}}]));
    });
}

#[test]
fn embedded_lists_are_as_short_as_the_project_allows() {
    run(async {
        let (app, service) = library().await;
        app.settings("data", json!({"max_rows": 1})).await;

        let found = read(&service, "publishers?select=books(id)&books.order=id&id=eq.1").await;

        assert_eq!(found, json!([{"books": [{"id": 1}]}]));
    });
}

#[test]
fn who_passes_an_alias_by_is_warned_and_refused_if_the_project_wants_it() {
    run(async {
        let passing = rest("publishers?select=b:books(id)&id=eq.1&books.order=id.desc&books.limit=1");
        let aliased = rest("publishers?select=b:books(id)&id=eq.1&b.order=id.desc&b.limit=1");
        let (_app, service) = library().await;
        let warned = service.get(&passing).send().await.expect(200);
        assert_eq!(warned.json(), json!([{"b": [{"id": 2}]}]));
        assert!(warned.header("warning").contains("Update `books` to `b`"), "{}", warned.header("warning"));
        assert_eq!(service.get(&aliased).send().await.expect(200).header("warning"), "");

        let (app, service) = library().await;
        app.settings("data", json!({"legacy_target_names": false})).await;
        let refused = service.get(&passing).send().await;
        assert_refused(&refused, 400, "PGRST108");
        assert_eq!(refused.json()["hint"], "Change 'books' to 'b' in filters, orders or limits.");
        service.get(&aliased).send().await.expect(200);
    });
}
