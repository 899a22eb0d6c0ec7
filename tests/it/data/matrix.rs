//! Row-level security, cell by cell: what the API does for a role, a table and a verb is what `psql` does under the same
//! role and claims.

use http::Method;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::rest;
use crate::support::{Actor, App, run};

/// A table for each way of being guarded: its name, and what guards it. `T` is the table.
const TABLES: [(&str, &str); 20] = [
    ("no_policy", ""),
    ("unguarded", "alter table T disable row level security"),
    ("open_to_all", "create policy p on T using (true)"),
    ("closed", "create policy p on T using (false)"),
    ("own", "create policy p on T using (owner = auth.uid())"),
    ("own_of_the_signed_in", "create policy p on T to authenticated using (owner = (select auth.uid()))"),
    ("read_only", "create policy p on T for select using (true)"),
    ("write_only", "create policy p on T for insert with check (true)"),
    (
        "own_inserts",
        "create policy p on T for insert with check (owner = auth.uid());
        create policy q on T for select using (true)",
    ),
    (
        "own_updates",
        "create policy p on T for update using (owner = auth.uid()) with check (owner = auth.uid());
        create policy q on T for select using (true)",
    ),
    (
        "given_away",
        "create policy p on T for update using (owner = auth.uid()) with check (true);
        create policy q on T for select using (owner = auth.uid())",
    ),
    (
        "own_deletes",
        "create policy p on T for delete using (owner = auth.uid());
        create policy q on T for select using (true)",
    ),
    ("restricted", "create policy p on T using (true); create policy q on T as restrictive using (id <> 2)"),
    ("for_anon", "create policy p on T to anon using (true)"),
    ("by_claim", "create policy p on T using ((auth.jwt() ->> 'aud') = 'authenticated')"),
    ("by_role", "create policy p on T using (auth.role() = 'authenticated')"),
    ("no_grant", "create policy p on T using (true); revoke all on T from anon, authenticated"),
    (
        "grant_to_read",
        "create policy p on T using (true); revoke all on T from anon, authenticated;
        grant select on T to anon, authenticated",
    ),
    (
        "some_columns",
        "create policy p on T using (true); revoke all on T from anon, authenticated;
        grant select (id), insert (id, owner), update (owner) on T to anon, authenticated",
    ),
    ("forced", "create policy p on T using (owner = auth.uid()); alter table T force row level security"),
];

/// What is done to a table: as a request – method, query, `Prefer`, body –, and as SQL. `ME` is the caller, `T` the table.
const VERBS: [(&str, Method, &str, &str, &str, &str); 11] = [
    ("read", Method::GET, "select=id", "", "", "select id from T"),
    ("read all columns", Method::GET, "", "", "", "select * from T"),
    (
        "filter by a column",
        Method::GET,
        "select=id&secret=eq.s",
        "",
        "",
        "select id from T where secret = 's'",
    ),
    (
        "insert",
        Method::POST,
        "",
        "count=exact",
        r#"{"id":9,"owner":"ME"}"#,
        "insert into T (id, owner) values (9, 'ME')",
    ),
    (
        "insert and see",
        Method::POST,
        "select=id",
        "return=representation",
        r#"{"id":9,"owner":"ME"}"#,
        "insert into T (id, owner) values (9, 'ME') returning id",
    ),
    (
        "insert for another",
        Method::POST,
        "",
        "count=exact",
        r#"{"id":9,"owner":"00000000-0000-0000-0000-00000000000f"}"#,
        "insert into T (id, owner) values (9, '00000000-0000-0000-0000-00000000000f')",
    ),
    (
        "upsert",
        Method::POST,
        "",
        "count=exact,resolution=merge-duplicates",
        r#"{"id":1,"owner":"ME"}"#,
        "insert into T (id, owner) values (1, 'ME') on conflict (id) do update set id = excluded.id, owner = excluded.owner",
    ),
    ("update", Method::PATCH, "", "count=exact", r#"{"owner":"ME"}"#, "update T set owner = 'ME'"),
    (
        "give away and see",
        Method::PATCH,
        "select=id&id=lt.9",
        "return=representation",
        r#"{"owner":"00000000-0000-0000-0000-00000000000f"}"#,
        "update T set owner = '00000000-0000-0000-0000-00000000000f' where id < 9 returning id",
    ),
    ("delete", Method::DELETE, "", "count=exact", "", "delete from T"),
    (
        "delete and see",
        Method::DELETE,
        "select=id&id=gt.0",
        "return=representation",
        "",
        "delete from T where id > 0 returning id",
    ),
];

/// What came of it: how many rows, which if they were returned, or the code of the error.
#[derive(Debug, PartialEq)]
enum Cell {
    Rows(usize, Vec<i64>),
    Refused(String),
}

struct Somebody {
    name: &'static str,
    actor: Actor,
    role: &'static str,
    claims: Value,
}

async fn everybody(app: &App) -> Vec<Somebody> {
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let user = |name, actor: Actor| {
        let claims = json!({"sub": actor.id, "role": "authenticated", "aud": "authenticated"});
        Somebody { name, actor, role: "authenticated", claims }
    };
    let key = |name, actor, role| Somebody { name, actor, role, claims: json!({"role": role}) };
    vec![
        key("anon", app.anon(), "anon"),
        user("ann", ann),
        user("bob", bob),
        key("service", app.service(), "service_role"),
    ]
}

/// The cell as the API has it; nothing of it stays.
async fn by_request(who: &Somebody, table: &str, verb: usize) -> Cell {
    let (_, method, query, prefer, body, _) = &VERBS[verb];
    let call = who.actor.call(method.clone(), &rest(&format!("{table}?{query}")));
    let call = call.header("prefer", &format!("{prefer},tx=rollback"));
    let me = if who.actor.id.is_empty() { "00000000-0000-0000-0000-00000000000f" } else { &who.actor.id };
    let call = match body.is_empty() {
        true => call,
        false => call.header("content-type", "application/json").body(body.replace("ME", me)),
    };
    let reply = call.send().await;
    if !reply.status.is_success() {
        return Cell::Refused(reply.json()["code"].as_str().unwrap_or_default().to_owned());
    }
    let ids = |rows: &Value| {
        let mut ids: Vec<i64> =
            rows.as_array().into_iter().flatten().filter_map(|row| row["id"].as_i64()).collect();
        ids.sort_unstable();
        ids
    };
    match reply.header("content-range").rsplit_once('/').and_then(|(_, total)| total.parse().ok()) {
        Some(total) => Cell::Rows(total, Vec::new()),
        None => Cell::Rows(ids(&reply.json()).len(), ids(&reply.json())),
    }
}

/// The same under the same role and claims, as a client of the database would do it.
async fn by_sql(connection: &mut PgConnection, who: &Somebody, table: &str, verb: usize) -> Cell {
    let (_, _, query, _, _, sql) = &VERBS[verb];
    let me = if who.actor.id.is_empty() { "00000000-0000-0000-0000-00000000000f" } else { &who.actor.id };
    let sql = sql.replace('T', &format!("public.{table}")).replace("ME", me);
    let begin = format!(
        "begin; select set_config('request.jwt.claims', '{}', true); set local role {}",
        who.claims, who.role
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *connection).await.expect("the role may be taken");
    let done = if sql.starts_with("select") || sql.contains("returning") {
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *connection).await.map(|rows| {
            let mut ids: Vec<i64> = rows.iter().map(|row| i64::from(row.get::<i32, _>("id"))).collect();
            ids.sort_unstable();
            Cell::Rows(ids.len(), ids)
        })
    } else {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await;
        done.map(|done| Cell::Rows(usize::try_from(done.rows_affected()).unwrap(), Vec::new()))
    };
    sqlx::raw_sql("rollback").execute(&mut *connection).await.expect("it can be undone");
    match done {
        Ok(cell) => cell,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code().map(Into::into));
            Cell::Refused(code.unwrap_or_else(|| panic!("{query}: {error}")))
        }
    }
}

#[test]
fn every_cell_is_what_the_database_says_under_the_same_role() {
    run(async {
        let app = App::new().await;
        let everybody = everybody(&app).await;
        for (table, guard) in TABLES {
            let rows = format!(
                "create table public.{table} (id int primary key, owner uuid, secret text default 's');
                 insert into public.{table} values (1, '{}'), (2, '{}'), (3, null);",
                everybody[1].actor.id, everybody[2].actor.id
            );
            app.sql(&format!("{rows} {}", guard.replace('T', &format!("public.{table}")))).await;
        }
        let mut connection = app.connect("data").await;

        let (mut allowed, mut refused) = (0, 0);
        for who in &everybody {
            for (table, _) in TABLES {
                for (verb, (name, ..)) in VERBS.iter().enumerate() {
                    let expected = by_sql(&mut connection, who, table, verb).await;
                    let found = by_request(who, table, verb).await;
                    assert_eq!(found, expected, "{} · {table} · {name}", who.name);
                    match found {
                        Cell::Rows(0, _) | Cell::Refused(_) => refused += 1,
                        Cell::Rows(..) => allowed += 1,
                    }
                }
            }
        }
        assert!(allowed > 200 && refused > 200, "{allowed} cells allow, {refused} refuse");
    });
}
