//! Clients that disappear: no role, setting or open transaction stays on a connection that is used again.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::support::process::eventually;
use crate::support::{Actor, App, run};

const SCHEMA: &str = "
    create table public.rows (id int primary key, owner uuid not null default auth.uid());
    create policy own on public.rows for all to authenticated using (owner = auth.uid());
    -- leaves a setting in its transaction, and takes its time
    create function public.leave(mark text) returns text language plpgsql as $$
    begin
        perform set_config('app.mark', mark, true);
        perform set_config('request.extra', mark, true);
        perform pg_sleep(random() * 0.004);
        return mark;
    end $$;
    -- what a request finds when it starts
    create function public.find() returns json language sql as $$
        select json_build_object(
            'role', current_user, 'set', current_setting('role'), 'sub', auth.uid(),
            'mark', nullif(current_setting('app.mark', true), ''),
            'extra', nullif(current_setting('request.extra', true), ''),
            'method', current_setting('request.method', true),
            'user', session_user)
    $$;
";

#[test]
fn nothing_of_a_vanished_client_is_found_by_the_next() {
    vanish(1_000);
}

#[test]
#[ignore = "long: make test-full"]
fn nothing_of_ten_thousand_vanished_clients_is_found() {
    vanish(10_000);
}

fn vanish(requests: usize) {
    run(async {
        let app = App::with(SCHEMA).await;
        let (ann, anon) = (app.user("ann").await, app.anon());
        let service = app.service();
        let tasks = (0..4).map(|task| {
            let actors = [ann.clone(), anon.clone(), service.clone()];
            tokio::spawn(async move {
                // a fixed sequence per task: a failure comes again
                let mut random = Sequence(task + 1);
                for n in 0..requests / 4 {
                    abort_one(&actors[n % 3], n, &mut random).await;
                    find_nothing(&actors[(n + 1) % 3], (n + 1) % 3).await;
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        let left = "select count(*) from pg_stat_activity
                    where datname = current_database() and state like 'idle in transaction%'";
        for _ in 0..200 {
            if app.value(left).await == json!(0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a transaction stays open");
    });
}

#[test]
fn what_nobody_waits_for_any_more_is_ended_in_the_server() {
    run(async {
        let app = App::with(
            "create function public.doze() returns int language sql as 'select 1 from pg_sleep(600)'",
        )
        .await;
        let service = app.service();
        let dozing = "select count(*) from pg_stat_activity
                      where datname = current_database() and state = 'active' and query like '%doze%'
                      and pid <> pg_backend_pid()";
        for _ in 0..3 {
            let call = service.post("/rest/v1/rpc/doze").json(json!({}));
            let asked = tokio::spawn(async move { call.try_send().await.map(|reply| reply.status) });
            eventually("it runs", async || app.value(dozing).await == json!(1)).await;
            asked.abort();
            eventually("it is ended", async || app.value(dozing).await == json!(0)).await;
        }
    });
}

/// Sends a request and goes away at some moment of it.
async fn abort_one(actor: &Actor, n: usize, random: &mut Sequence) {
    let call = match n % 4 {
        0 => actor.post("/rest/v1/rpc/leave").json(json!({"mark": format!("m{n}")})),
        1 => actor.get("/rest/v1/rows?select=*"),
        2 => actor
            .call(Method::GET, "/rest/v1/rpc/leave?mark=x")
            .header("accept", "application/vnd.pgrst.object+json"),
        _ => actor
            .patch("/rest/v1/rows?id=eq.1")
            .json(json!({"id": 1}))
            .header("prefer", "return=representation"),
    };
    let patience = Duration::from_micros(random.below(6_000));
    let _ = tokio::time::timeout(patience, call.try_send()).await;
}

/// What a request finds is its own, whatever was before it on the connection.
async fn find_nothing(actor: &Actor, which: usize) {
    let found = actor.get("/rest/v1/rpc/find").send().await.expect(200).json();
    let role = ["authenticated", "anon", "service_role"][which];
    assert_eq!(found["role"], role, "{found}");
    assert_eq!(found["set"], role, "{found}");
    assert_eq!(found["sub"], if which == 0 { json!(actor.id) } else { json!(null) }, "{found}");
    assert_eq!((&found["mark"], &found["extra"]), (&json!(null), &json!(null)), "{found}");
    assert_eq!(found["method"], "GET", "{found}");
}

/// A small linear congruential generator (Knuth's MMIX constants).
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn a_check_that_fails_has_changed_nothing() {
    run(async {
        let app = App::with(
            "create table public.t (id int primary key, n int);
             insert into public.t values (1, 0), (2, 0), (3, 0);",
        )
        .await;
        let service = app.service();
        let rows = async || service.rows("t?select=id,n&order=id").await;
        let before = rows().await;
        let single = "application/vnd.pgrst.object+json";

        // one row was asked for, three changed
        let update = service.patch("/rest/v1/t?id=gt.0").json(json!({"n": 1})).header("accept", single);
        update.header("prefer", "return=representation").send().await.expect(406);
        assert_eq!(rows().await, before);
        let delete = service.delete("/rest/v1/t?id=gt.0").header("accept", single);
        delete.header("prefer", "return=representation").send().await.expect(406);
        assert_eq!(rows().await, before);
        let insert = service.post("/rest/v1/t").json(json!([{"id": 7, "n": 0}, {"id": 8, "n": 0}]));
        insert.header("accept", single).header("prefer", "return=representation").send().await.expect(406);
        assert_eq!(rows().await, before);

        // at most one row may change
        let limited = service.patch("/rest/v1/t?id=gt.0").json(json!({"n": 1}));
        limited.header("prefer", "handling=strict, max-affected=1").send().await.expect(400);
        assert_eq!(rows().await, before);

        // the body's key is not the one in the address
        service.put("/rest/v1/t?id=eq.1").json(json!({"id": 9, "n": 1})).send().await.expect(400);
        assert_eq!(rows().await, before);
    });
}
