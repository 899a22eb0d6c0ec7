//! Roles: a request may do exactly what its role may do in SQL, and leaves nothing behind for the next.

use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::{assert_refused, read, rest};
use crate::support::process::eventually;
use crate::support::{Actor, App, at, run};

const SCHEMA: &str = "
    create table public.docs (
        id int primary key, owner uuid default auth.uid(), body text, shared boolean default false);
    create policy shared on public.docs for select to anon, authenticated using (shared);
    create policy own on public.docs for all to authenticated
        using (owner = auth.uid()) with check (owner = auth.uid());
    create table public.parts (id int primary key, doc int references public.docs);
    create table public.locked (id int primary key);
    revoke all on public.locked from anon, authenticated;
    create table public.columns (id int primary key, open text, secret text);
    create policy open on public.columns for all to authenticated using (true);
    revoke all on public.columns from authenticated;
    grant select (id, open), insert (id), update (open) on public.columns to authenticated;
    insert into public.columns values (1, 'open', 'secret');
";

/// Someone, and the database role that stands for them.
struct Person {
    name: &'static str,
    actor: Actor,
    role: &'static str,
}

/// One thing to do, over HTTP and in SQL.
struct Deed {
    method: Method,
    path: &'static str,
    body: Value,
    sql: String,
}

#[test]
fn a_request_may_do_what_its_role_may_do_in_sql() {
    run(async {
        let app = App::with(SCHEMA).await;
        let (ann, bob) = (app.user("ann").await, app.user("bob").await);
        app.sql(&format!(
            "insert into public.docs values (1, '{ann}', 'a', true), (2, '{ann}', 'b', false), (3, '{bob}', 'c', false);
             insert into public.parts values (1, 1), (2, 2);",
            ann = ann.id,
            bob = bob.id
        ))
        .await;
        let deeds = deeds(&ann.id, &bob.id);
        let people = [
            Person { name: "anon", actor: app.anon(), role: "anon" },
            Person { name: "ann", actor: ann, role: "authenticated" },
            Person { name: "bob", actor: bob, role: "authenticated" },
            Person { name: "service", actor: app.service(), role: "service_role" },
        ];

        let mut login = app.connect("data").await;
        for person in &people {
            for deed in &deeds {
                let over_http = over_http(person, deed).await;
                let in_sql = in_sql(&mut login, person, deed).await;
                assert_eq!(over_http, in_sql, "{}: {}", person.name, deed.sql);
            }
        }
    });
}

fn deeds(ann: &str, bob: &str) -> Vec<Deed> {
    let deed = |method, path, body, sql: &str| Deed { method, path, body, sql: sql.to_owned() };
    let of = |id: i32, owner: &str| {
        let body = json!({"id": id, "owner": owner, "body": "x"});
        (body, format!("insert into public.docs (id, owner, body) values ({id}, '{owner}', 'x')"))
    };
    let mut deeds = vec![
        deed(Method::GET, "docs", json!(null), "select * from public.docs"),
        deed(Method::GET, "docs?body=eq.b", json!(null), "select * from public.docs where body = 'b'"),
        deed(Method::GET, "parts", json!(null), "select * from public.parts"),
        deed(Method::GET, "locked", json!(null), "select * from public.locked"),
        deed(Method::GET, "columns", json!(null), "select * from public.columns"),
        deed(Method::GET, "columns?select=id,open", json!(null), "select id, open from public.columns"),
        deed(
            Method::GET,
            "columns?select=id&secret=eq.x",
            json!(null),
            "select id from public.columns where secret = 'x'",
        ),
        deed(Method::POST, "columns", json!({"id": 2}), "insert into public.columns (id) values (2)"),
        deed(
            Method::POST,
            "columns",
            json!({"id": 2, "open": "x"}),
            "insert into public.columns (id, open) values (2, 'x')",
        ),
        deed(
            Method::PATCH,
            "columns?id=eq.1",
            json!({"open": "x"}),
            "update public.columns set open = 'x' where id = 1",
        ),
        deed(
            Method::PATCH,
            "columns?id=eq.1",
            json!({"secret": "x"}),
            "update public.columns set secret = 'x' where id = 1",
        ),
        deed(Method::DELETE, "columns?id=eq.1", json!(null), "delete from public.columns where id = 1"),
        deed(
            Method::PATCH,
            "docs?id=gt.0",
            json!({"body": "x"}),
            "update public.docs set body = 'x' where id > 0",
        ),
        deed(Method::PATCH, "docs?id=eq.1", json!({"id": 3}), "update public.docs set id = 3 where id = 1"),
        deed(Method::DELETE, "docs?id=eq.3", json!(null), "delete from public.docs where id = 3"),
        deed(Method::DELETE, "docs?id=gt.0", json!(null), "delete from public.docs where id > 0"),
    ];
    for owner in [ann, bob] {
        let give = format!("update public.docs set owner = '{owner}' where id = 2");
        deeds.push(deed(Method::PATCH, "docs?id=eq.2", json!({"owner": owner}), &give));
        let (body, insert) = of(9, owner);
        deeds.push(deed(Method::POST, "docs", body, &insert));
        let (body, insert) = of(3, owner);
        deeds.push(deed(Method::POST, "docs", body.clone(), &insert));
        let upsert = format!(
            "{insert} on conflict (id) do update set id = excluded.id, owner = excluded.owner, body = excluded.body"
        );
        deeds.push(deed(Method::POST, "docs?on_conflict=id", body, &upsert));
    }
    deeds
}

/// How many rows it was, or the SQLSTATE. The transaction is rolled back.
async fn over_http(person: &Person, deed: &Deed) -> Result<u64, String> {
    let merge = if deed.path.contains("on_conflict") { ", resolution=merge-duplicates" } else { "" };
    let call = person.actor.call(deed.method.clone(), &rest(deed.path));
    let call = call.header("prefer", &format!("count=exact, tx=rollback{merge}"));
    let reply = if deed.body.is_null() { call } else { call.json(deed.body.clone()) }.send().await;
    if reply.status.is_success() {
        let total = reply.header("content-range").rsplit('/').next().unwrap_or_default();
        return Ok(total.parse().expect("the answer counts"));
    }
    let code = at(&reply.json(), "/code").as_str().unwrap_or_default().to_owned();
    let refused = if person.role == "anon" { 401 } else { 403 };
    let status = if code == "42501" { refused } else { 409 };
    assert_eq!(reply.status, status, "{}", reply.text());
    Err(code)
}

/// The same as the same role, rolled back too.
async fn in_sql(login: &mut PgConnection, person: &Person, deed: &Deed) -> Result<u64, String> {
    let mut transaction = login.begin().await.expect("a transaction begins");
    let mut claims = json!({"role": person.role});
    if !person.actor.id.is_empty() {
        claims["sub"] = json!(person.actor.id);
    }
    sqlx::query("select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)")
        .bind(claims.to_string())
        .bind(person.role)
        .execute(&mut *transaction)
        .await
        .expect("the login may become the role");
    let done = transaction.execute(AssertSqlSafe(deed.sql.clone())).await;
    // its locks would keep the next request waiting
    transaction.rollback().await.expect("it is undone");
    let done = done.map(|done| done.rows_affected());
    done.map_err(|error| {
        error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
    })
}

#[test]
fn embedded_rows_are_those_the_caller_may_see() {
    run(async {
        let app = App::with(
            "create table public.parents (id int primary key);
             create table public.children (id int primary key, parent int references public.parents, open boolean);
             create policy all_parents on public.parents for select to anon using (true);
             create policy open_children on public.children for select to anon using (open);
             insert into public.parents values (1), (2);
             insert into public.children values (1, 1, true), (2, 1, false), (3, 2, false);",
        )
        .await;
        let (anon, service) = (app.anon(), app.service());
        let path = "parents?select=id,children(id)&order=id&children.order=id";

        let seen = json!([{"id": 1, "children": [{"id": 1}]}, {"id": 2, "children": []}]);
        assert_eq!(read(&anon, path).await, seen);
        let all = json!([{"id": 1, "children": [{"id": 1}, {"id": 2}]}, {"id": 2, "children": [{"id": 3}]}]);
        assert_eq!(read(&service, path).await, all);
        assert_eq!(read(&anon, "parents?select=id,children!inner()").await, json!([{"id": 1}]));
    });
}

#[test]
fn a_token_becomes_only_roles_that_the_api_may_become() {
    run(async {
        let app = App::with("create table public.notes (id int primary key)").await;
        let as_role = |role: Value| {
            let key = EncodingKey::from_secret(app.jwt_secret().expose().as_bytes());
            let token = encode(
                &Header::new(Algorithm::HS256),
                &json!({"role": role, "exp": 9_999_999_999_u64}),
                &key,
            );
            app.anon().with_token(&token.unwrap()).get(&rest("notes")).send()
        };

        as_role(json!("authenticated")).await.expect(200);
        for role in ["postgres", "supabase_admin", "supabase_auth_admin", "pg_read_all_data"] {
            assert_refused(&as_role(json!(role)).await, 403, "42501");
        }
        for role in ["nobody", "anon; reset role", "", "none"] {
            let reply = as_role(json!(role)).await;
            assert!(
                matches!(reply.status.as_u16(), 401 | 403),
                "{role:?}: {} {}",
                reply.status,
                reply.text()
            );
        }
        assert_refused(&as_role(json!("nobody")).await, 401, "22023");
    });
}

#[test]
fn a_schema_that_one_role_may_use_is_closed_to_others_whatever_was_prepared() {
    run(async {
        let app = App::with(
            "create schema inside; grant usage on schema inside to service_role;
             create table inside.notes (id int primary key);
             grant select on inside.notes to anon, service_role;
             -- with it, PostgreSQL would read a statement anew for another role
             alter table inside.notes disable row level security;",
        )
        .await;
        app.settings("data", json!({"schemas": ["public", "inside"]})).await;
        let ask =
            async |actor: &Actor| actor.get(&rest("notes")).header("accept-profile", "inside").send().await;
        let (service, anon) = (app.service(), app.anon());
        for _ in 0..4 {
            ask(&service).await.expect(200);
            assert_refused(&ask(&anon).await, 401, "42501");
        }
    });
}

#[test]
fn a_token_that_was_good_is_refused_when_its_time_is_over() {
    run(async {
        let app = App::with("create table public.notes (id int primary key)").await;
        let key = EncodingKey::from_secret(app.jwt_secret().expose().as_bytes());
        // the project is at work when the time begins to run
        read(&app.service(), "notes").await;
        let now = app.value("select extract(epoch from now())::bigint").await.as_i64().unwrap();
        // clocks may differ by thirty seconds, five of which are left
        let claims = json!({"role": "service_role", "exp": now - 25});
        let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        let caller = app.anon().with_token(&token);

        caller.get(&rest("notes")).send().await.expect(200);
        let over = async || caller.get(&rest("notes")).send().await.status == 401;
        eventually("it is refused", over).await;
        assert_refused(&caller.get(&rest("notes")).send().await, 401, "PGRST303");
    });
}

#[test]
fn a_token_that_names_no_role_is_the_anonymous_roles() {
    run(async {
        let app =
            App::with("create function public.me() returns text language sql as 'select current_user'").await;
        let key = EncodingKey::from_secret(app.jwt_secret().expose().as_bytes());
        for claims in
            [json!({}), json!({"role": null}), json!({"role": 7}), json!({"roles": ["service_role"]})]
        {
            let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
            assert_eq!(read(&app.anon().with_token(&token), "rpc/me").await, json!("anon"), "{claims}");
        }
    });
}

#[test]
fn settings_of_a_session_are_gone_on_the_next_request() {
    run(async {
        let app = App::with(
            "create table public.notes (id int primary key);
             create function public.leave() returns void language plpgsql as $$
             begin
                 perform set_config('app.mark', 'left', false), set_config('search_path', 'pg_catalog', false),
                         set_config('request.jwt.claims', '{\"sub\": \"left\"}', false),
                         set_config('statement_timeout', '1', false), set_config('role', 'anon', false),
                         set_config('default_transaction_read_only', 'on', false);
             end $$;
             create function public.fail() returns void language plpgsql as $$
             begin
                 perform set_config('app.mark', 'left', false);
                 raise exception 'no';
             end $$;
             -- fails when all is done but the end
             create table public.pairs (id int primary key, other int references public.pairs deferrable initially deferred);
             create function public.pair_off() returns void language plpgsql as $$
             begin
                 perform set_config('app.mark', 'left', false);
                 insert into public.pairs values (1, 2);
             end $$;
             create function public.find() returns json language sql as $$
                 select json_build_object(
                     'mark', nullif(current_setting('app.mark', true), ''), 'role', current_user,
                     'sub', auth.uid(), 'timeout', current_setting('statement_timeout'),
                     'read_only', current_setting('default_transaction_read_only')) $$;",
        )
        .await;
        let service = app.service();
        let find = async || service.post(&rest("rpc/find")).json(json!({})).send().await.expect(200).json();
        let before = find().await;
        assert_eq!(before["mark"], json!(null));

        for n in 1..10 {
            service.post(&rest("rpc/leave")).json(json!({})).send().await.expect(204);
            assert_eq!(find().await, before);
            service.post(&rest("rpc/fail")).json(json!({})).send().await.expect(400);
            assert_eq!(find().await, before);
            service.post(&rest("rpc/pair_off")).json(json!({})).send().await.expect(409);
            assert_eq!(find().await, before);
            for prefer in ["tx=commit", "tx=rollback"] {
                let requests = json!({"requests": [{"method": "POST", "path": "/rpc/pair_off", "body": {}}]});
                let batch = service.post(&rest("batch")).header("prefer", prefer);
                let batch = batch.header("content-type", "application/vnd.meshbase.batch+json");
                batch.body(requests.to_string()).send().await.expect(409);
                assert_eq!(find().await, before, "{prefer}");
            }
            service.post(&rest("notes")).json(json!({"id": n})).send().await.expect(201);
        }
    });
}
