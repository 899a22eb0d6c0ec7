//! Views have the keys of the tables that they show: however deep, renamed, grouped or hidden these are.

use serde_json::json;

use super::{assert_refused, read, rest};
use crate::support::{App, run};

const SCHEMA: &str = r#"
    create schema hidden;
    create table hidden.authors (id int primary key, name text);
    create table hidden.books (id int primary key, title text, author int references hidden.authors);
    create table public.prices (book int primary key references hidden.books, price int);
    create table hidden.stock (shop int, book int references hidden.books, primary key (shop, book));
    create table public.shops (id int primary key, name text);
    alter table hidden.stock add foreign key (shop) references public.shops;
    insert into hidden.authors values (1, 'Ann'), (2, 'Bob');
    insert into hidden.books values (1, 'a', 1), (2, 'b', 1), (3, 'c', 2);
    insert into public.prices values (1, 10);
    insert into public.shops values (1, 'corner');
    insert into hidden.stock values (1, 1), (1, 3);
    create view public.authors as select id as "author id", name from hidden.authors;
    create view hidden.inner_books as select title, author, id from hidden.books;
    create view public.books as with b as (select * from hidden.inner_books)
        select id, title, author as written_by, (select count(*) from hidden.books) as total from b;
    create view public.counted as select author, count(*) as books from hidden.books group by author;
    create materialized view public.kept as select id as kept_id, author from hidden.books;
    create view public.pairs as select a.id as one, b.id as other
        from hidden.authors a join hidden.authors b on a.id < b.id;
    create view public.offers as select * from hidden.stock;
"#;

#[test]
fn a_view_embeds_and_is_embedded_as_its_tables_are() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        for (path, expected) in [
            ("books?select=title,authors(name)&id=eq.3", json!([{"title": "c", "authors": {"name": "Bob"}}])),
            (
                "authors?select=name,books(id)&name=eq.Ann&books.order=id",
                json!([{"name": "Ann", "books": [{"id": 1}, {"id": 2}]}]),
            ),
            (
                "books?select=id,prices(price)&order=id&limit=2",
                json!([{"id": 1, "prices": {"price": 10}}, {"id": 2, "prices": null}]),
            ),
            ("prices?select=price,books(title)", json!([{"price": 10, "books": {"title": "a"}}])),
            (
                "counted?select=books,authors(name)&order=books.desc&limit=1",
                json!([{"books": 2, "authors": {"name": "Ann"}}]),
            ),
            (
                "kept?select=kept_id,authors(name)&kept_id=eq.2",
                json!([{"kept_id": 2, "authors": {"name": "Ann"}}]),
            ),
            (
                "shops?select=name,books(title)&books.order=id",
                json!([{"name": "corner", "books": [{"title": "a"}, {"title": "c"}]}]),
            ),
            (
                "authors?select=name,books!inner(title)&books.title=eq.c",
                json!([{"name": "Bob", "books": [{"title": "c"}]}]),
            ),
        ] {
            assert_eq!(read(&service, path).await, expected, "{path}");
        }
    });
}

#[test]
fn two_columns_that_show_one_are_told_apart_by_name() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();

        let asked = service.get(&rest("books?select=id,pairs(*)")).send().await;
        assert_refused(&asked, 300, "PGRST201");

        let one = read(&service, "books?select=id,pairs!one(other)&id=eq.1").await;
        assert_eq!(one, json!([{"id": 1, "pairs": {"other": 2}}]));
    });
}

#[test]
fn a_view_has_the_primary_key_that_it_shows() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();

        let made = service.post(&rest("authors")).header("prefer", "return=headers-only");
        let made = made.json(json!({"author id": 7, "name": "New"})).send().await.expect(201);

        assert_eq!(made.header("location"), "/authors?author%20id=eq.7");
    });
}
