//! Writes: what is stored, what is answered, and what is not stored when the answer is an error.

use http::Method;
use serde_json::{Value, json};

use super::{OBJECT, assert_part, assert_refused, read, rest};
use crate::support::{Actor, App, Call, run};

const SCHEMA: &str = "
    create table public.people (id int primary key, name text not null, level int default 5, email text unique);
    create table public.pets (
        id int primary key, owner int references public.people deferrable initially deferred);
    create function public.adopt(pet int, person int) returns int language sql
        as 'insert into public.pets values (pet, person) returning id';
";
const PEOPLE: &str = "insert into public.people values (1, 'ann', 1, 'a@example.com'), (2, 'bob', 2, null);";
const REPRESENTATION: &str = "return=representation";

async fn people() -> (App, Actor) {
    let app = App::with(&format!("{SCHEMA}{PEOPLE}")).await;
    let service = app.service();
    (app, service)
}

fn write(actor: &Actor, method: Method, path: &str, prefer: &str, body: Value) -> Call {
    actor.call(method, &rest(path)).header("prefer", prefer).json(body)
}

#[test]
fn an_insert_answers_what_was_preferred() {
    run(async {
        let (_app, service) = people().await;
        let insert = async |path: &str, prefer: &str, id: i32| {
            write(&service, Method::POST, path, prefer, json!({"id": id, "name": "x"})).send().await
        };

        let plain = insert("people", "", 10).await;
        assert_part(&plain, 201, "*/*");
        assert_eq!((plain.text().as_str(), plain.header("location")), ("", ""));
        let minimal = insert("people", "return=minimal, count=exact", 11).await;
        assert_part(&minimal, 201, "*/1");
        assert_eq!(minimal.header("preference-applied"), "return=minimal, count=exact");
        let headers = insert("people", "return=headers-only", 12).await;
        assert_eq!((headers.status.as_u16(), headers.text().as_str()), (201, ""));
        assert_eq!(headers.header("location"), "/people?id=eq.12");
        assert_eq!(headers.header("preference-applied"), "return=headers-only");
        let whole = insert("people?select=id,level", REPRESENTATION, 13).await;
        assert_part(&whole, 201, "*/*");
        assert_eq!(whole.json(), json!([{"id": 13, "level": 5}]));
        assert_eq!(whole.header("location"), "");
        let one = write(&service, Method::POST, "people", REPRESENTATION, json!({"id": 14, "name": "x"}));
        let one = one.header("accept", OBJECT).send().await.expect(201);
        assert_eq!(one.json(), json!({"id": 14, "name": "x", "level": 5, "email": null}));
        assert_refused(&insert("people", "", 10).await, 409, "23505");
    });
}

#[test]
fn many_rows_are_inserted_together_in_any_format() {
    run(async {
        let (_app, service) = people().await;
        let rows = json!([{"id": 10, "name": "x", "level": 1}, {"id": 11, "name": "y"}]);
        let insert = async |path: &str, prefer: &str| {
            write(&service, Method::POST, path, prefer, rows.clone()).send().await
        };

        assert_refused(&insert("people", "").await, 400, "PGRST102");
        let picked =
            insert("people?columns=id,name,level", "return=representation, tx=rollback").await.expect(201);
        assert_eq!(picked.json()[1]["level"], json!(null));
        let fewer = insert("people?columns=id,name", "return=representation, tx=rollback").await.expect(201);
        assert_eq!(fewer.json()[0]["level"], json!(5), "a column that is not named takes its default");
        let defaults = insert("people?columns=id,name,level", "missing=default, return=representation").await;
        assert_eq!(defaults.json()[1]["level"], json!(5));
        assert_eq!(defaults.header("preference-applied"), "missing=default, return=representation");
        assert_refused(&insert("people?columns=id,nothing", "").await, 400, "PGRST204");

        let raw = |media: &str, body: &str| {
            service.post(&rest("people")).header("content-type", media).body(body.to_owned()).send()
        };
        raw("application/x-www-form-urlencoded", "id=22&name=form+x").await.expect(201);
        raw("application/json", "[]").await.expect(201);
        let found = read(&service, "people?id=gte.20&order=id&select=id,name,level").await;
        assert_eq!(found, json!([{"id": 22, "name": "form x", "level": 5}]));
    });
}

#[test]
fn rows_of_a_table_are_inserted_as_text_of_their_columns() {
    run(async {
        let (_app, service) = people().await;
        let insert = |query: &str, csv: &'static str| {
            let call = service.post(&rest(&format!("people?select=id,name,email{query}")));
            call.header("content-type", "text/csv").header("prefer", REPRESENTATION).body(csv)
        };

        let made =
            insert("", "id,name,email\n3,\"c, \"\"d\"\"\",NULL\n4,,e@example.com\n").send().await.expect(201);
        assert_eq!(
            made.json(),
            json!([{"id": 3, "name": "c, \"d\"", "email": null}, {"id": 4, "name": "", "email": "e@example.com"}])
        );
        let chosen = insert("&columns=id,name", "id,name,email\n5,f,no\n").send().await.expect(201);
        assert_eq!(chosen.json(), json!([{"id": 5, "name": "f", "email": null}]));
        assert_refused(&insert("", "id,name\n6\n").send().await, 400, "PGRST102");
        assert_refused(&insert("", "id,name\nx,y\n").send().await, 400, "22P02");
    });
}

#[test]
fn rows_that_are_there_are_merged_or_left_as_they_are() {
    run(async {
        let (_app, service) = people().await;
        let upsert = async |path: &str, how: &str, body: Value| {
            let prefer = format!("resolution={how}-duplicates, return=representation");
            write(&service, Method::POST, path, &prefer, body).send().await
        };

        let merged = upsert("people?select=id,name,level", "merge", json!({"id": 1, "name": "anna"})).await;
        assert_eq!(merged.status, 200);
        assert_eq!(merged.json(), json!([{"id": 1, "name": "anna", "level": 1}]));
        assert_eq!(merged.header("preference-applied"), "resolution=merge-duplicates, return=representation");
        let both = json!([{"id": 2, "name": "bert"}, {"id": 3, "name": "cem"}]);
        assert_eq!(
            upsert("people?select=id", "merge", both).await.expect(201).json(),
            json!([{"id": 2}, {"id": 3}])
        );
        let by_email = json!({"id": 9, "name": "ann again", "email": "a@example.com"});
        let ignored = upsert("people?on_conflict=email", "ignore", by_email.clone()).await.expect(201);
        assert_eq!(ignored.json(), json!([]));
        upsert("people?on_conflict=email&columns=name,email,id", "merge", by_email).await.expect(200);
        assert_eq!(
            read(&service, "people?select=id,name&order=id").await,
            json!([{"id": 2, "name": "bert"}, {"id": 3, "name": "cem"}, {"id": 9, "name": "ann again"}])
        );
    });
}

#[test]
fn updates_and_deletions_say_how_many_rows_and_which() {
    run(async {
        let (_app, service) = people().await;
        let patch = async |path: &str, prefer: &str, body: Value| {
            write(&service, Method::PATCH, path, prefer, body).send().await
        };
        let delete = async |path: &str, prefer: &str| {
            service.delete(&rest(path)).header("prefer", prefer).send().await
        };

        let whole = patch("people?id=eq.1&select=id,level", REPRESENTATION, json!({"level": 7})).await;
        assert_part(&whole, 200, "0-0/*");
        assert_eq!(whole.json(), json!([{"id": 1, "level": 7}]));
        let plain = patch("people?id=gt.0", "count=exact", json!({"level": 8})).await;
        assert_part(&plain, 204, "0-1/2");
        assert!(plain.body.is_empty());
        let none = patch("people?id=eq.99", REPRESENTATION, json!({"level": 8})).await;
        assert_part(&none, 200, "*/*");
        assert_eq!(none.json(), json!([]));
        assert_part(&patch("people?id=gt.0", "", json!({})).await, 204, "*/*");
        assert_refused(&patch("people?id=eq.1", "", json!({"nothing": 1})).await, 400, "PGRST204");
        assert_eq!(read(&service, "people?select=level").await, json!([{"level": 8}, {"level": 8}]));

        let gone = delete("people?id=eq.1&select=id", "return=representation, count=exact").await;
        assert_part(&gone, 200, "*/1");
        assert_eq!(gone.json(), json!([{"id": 1}]));
        assert_part(&delete("people?id=eq.1", "").await, 204, "*/*");
        assert_eq!(read(&service, "people?select=id").await, json!([{"id": 2}]));
    });
}

#[test]
fn put_stores_one_row_at_its_key() {
    run(async {
        let (_app, service) = people().await;
        let put = async |path: &str, prefer: &str| {
            write(&service, Method::PUT, path, prefer, json!({"id": 3, "name": "cem", "level": 3}))
                .send()
                .await
        };

        assert_eq!(
            put("people?id=eq.3&select=id", REPRESENTATION).await.expect(201).json(),
            json!([{"id": 3}])
        );
        assert_eq!(
            put("people?id=eq.3&select=id", REPRESENTATION).await.expect(200).json(),
            json!([{"id": 3}])
        );
        assert!(put("people?id=eq.3", "").await.expect(204).body.is_empty());
        assert_refused(&put("people?name=eq.cem", "").await, 405, "PGRST105");
        assert_refused(&put("people?id=gt.3", "").await, 405, "PGRST105");
        assert_refused(&put("people?id=eq.3&limit=1", "").await, 400, "PGRST114");
        assert_refused(&put("people?id=eq.4", "").await, 400, "PGRST115");
    });
}

#[test]
fn preferences_about_the_transaction_are_kept() {
    run(async {
        let (_app, service) = people().await;
        let rename = async |prefer: &str| {
            write(&service, Method::PATCH, "people?id=gt.0", prefer, json!({"name": "same"})).send().await
        };

        let undone = rename("tx=rollback, return=representation").await.expect(200);
        assert_eq!(undone.json()[0]["name"], json!("same"));
        assert_eq!(undone.header("preference-applied"), "return=representation, tx=rollback");
        assert_eq!(read(&service, "people?select=id&name=eq.same").await, json!([]));
        assert_refused(&rename("handling=strict, anything").await, 400, "PGRST122");
        assert_eq!(
            rename("anything, tx=rollback, max-affected=1").await.expect(204).header("preference-applied"),
            "tx=rollback"
        );
        let within = rename("handling=strict, max-affected=2, tx=commit").await.expect(204);
        assert_eq!(within.header("preference-applied"), "tx=commit, handling=strict, max-affected=2");
        assert_eq!(
            read(&service, "people?select=id&name=eq.same&order=id").await,
            json!([{"id": 1}, {"id": 2}])
        );
    });
}

#[test]
fn a_project_decides_whether_requests_may_roll_back() {
    run(async {
        let (app, service) = people().await;
        app.settings("data", json!({"tx_end": "commit"})).await;

        let deleted =
            service.delete(&rest("people?id=eq.1")).header("prefer", "tx=rollback").send().await.expect(204);

        assert_eq!(deleted.header("preference-applied"), "");
        assert_eq!(read(&service, "people?select=id").await, json!([{"id": 2}]));
    });
}

#[test]
fn what_is_checked_at_the_end_is_checked_before_the_answer() {
    run(async {
        let (_app, service) = people().await;
        let insert =
            |prefer: &str| write(&service, Method::POST, "pets", prefer, json!({"id": 1, "owner": 99}));
        let update =
            |prefer: &str| write(&service, Method::PATCH, "pets?id=eq.7", prefer, json!({"owner": 99}));
        service.post(&rest("pets")).json(json!({"id": 7, "owner": 1})).send().await.expect(201);

        for _ in 0..3 {
            // again once its statement is prepared
            for prefer in ["", REPRESENTATION, "tx=rollback"] {
                assert_refused(&insert(prefer).send().await, 409, "23503");
                assert_refused(&update(prefer).send().await, 409, "23503");
            }
            let single = insert(REPRESENTATION).header("accept", OBJECT).send().await;
            assert_refused(&single, 409, "23503");
            let call = service.post(&rest("rpc/adopt")).json(json!({"pet": 1, "person": 99})).send().await;
            assert_refused(&call, 409, "23503");
        }
        assert_eq!(read(&service, "pets").await, json!([{"id": 7, "owner": 1}]));
    });
}

#[test]
fn a_table_without_a_key_has_nothing_to_merge_with() {
    run(async {
        let app = App::with("create table public.log (line text)").await;
        let merged = app.service().post(&rest("log")).json(json!([{"line": "a"}]));
        merged.header("prefer", "resolution=merge-duplicates").send().await.expect(201);
        assert_eq!(app.value("select count(*) from public.log").await, json!(1));
    });
}
