//! Options that a project's own database sets.

use serde_json::json;

use super::{ids, rest};
use crate::support::process::eventually;
use crate::support::{App, run};

const SCHEMA: &str = "
    create table public.notes (id int primary key);
    insert into public.notes values (1), (2), (3);
    create function public.configured() returns void language sql
        as $$ select set_config('pgrst.db_max_rows', '2', true), set_config('pgrst.db_aggregates_enabled', 'true', true) $$;
";

#[test]
fn the_owner_sets_them_while_the_service_runs() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        assert_eq!(ids(&service, "notes?order=id").await, json!([1, 2, 3]));

        app.sql("select meshbase.set_role_setting('authenticator', 'pgrst.db_max_rows', '1')").await;
        eventually("one row is the most", async || ids(&service, "notes?order=id").await == json!([1])).await;

        // what cannot be changes nothing, whatever else there is
        app.sql("select meshbase.set_role_setting('authenticator', 'pgrst.db_tx_end', 'never')").await;
        app.sql("select meshbase.set_role_setting('authenticator', 'pgrst.db_aggregates_enabled', 'on')")
            .await;
        eventually("aggregates", async || {
            service.get(&rest("notes?select=count()")).send().await.status.is_success()
        })
        .await;
        assert_eq!(ids(&service, "notes?order=id").await, json!([1]));
        app.sql("select meshbase.set_role_setting('authenticator', 'pgrst.db_max_rows', null)").await;
        eventually("all rows", async || ids(&service, "notes?order=id").await == json!([1, 2, 3])).await;
    });
}

#[test]
fn a_function_sets_them_before_they_are_read_and_the_roles_come_first() {
    run(async {
        let app = App::with(SCHEMA).await;
        app.sql("select meshbase.set_role_setting('authenticator', 'pgrst.db_max_rows', '1')").await;
        app.settings("data", json!({"pre_config": "public.configured"})).await;
        let service = app.service();

        assert_eq!(ids(&service, "notes?order=id").await, json!([1]));
        let counted = service.get(&rest("notes?select=count()")).send().await.expect(200);
        assert_eq!(counted.json(), json!([{"count": 3}]));
    });
}

#[test]
fn they_are_read_as_the_login_whatever_role_a_request_has_left() {
    run(async {
        let app = App::with(SCHEMA).await;
        let login = app.login("data").await.user;
        app.sql(&format!(
            "revoke execute on function public.configured() from public, anon, authenticated, service_role;
             grant execute on function public.configured() to {login};
             create function public.leave() returns text language sql
                 as $$ select set_config('role', 'anon', false) $$;"
        ))
        .await;
        app.settings("data", json!({"pre_config": "public.configured"})).await;
        let service = app.service();
        assert_eq!(ids(&service, "notes?order=id").await, json!([1, 2]));

        service.post(&rest("rpc/leave")).json(json!({})).send().await.expect(200);
        app.sql("create table public.late (id int primary key)").await;
        assert_eq!(ids(&service, "late").await, json!([]));
    });
}

#[test]
fn no_type_of_a_caller_stands_in_where_others_rights_apply() {
    run(async {
        let app = App::with(SCHEMA).await;
        app.sql(
            "create function pg_temp.mine(value pg_catalog.text) returns pg_catalog.bool language plpgsql
                 as 'begin raise exception ''run as %'', current_user; end';
             create domain pg_temp.text as pg_catalog.text check (pg_temp.mine(value));
             select meshbase.set_role_setting('anon', 'statement_timeout', '5s');",
        )
        .await;
        let open: Vec<String> = sqlx::query_scalar(
            "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
             where p.prosecdef and n.nspname in ('meshbase', 'auth', 'storage', 'realtime')
               and not coalesce(p.proconfig, '{}') @> array['search_path=pg_catalog, pg_temp']",
        )
        .fetch_all(&mut app.connect("admin").await)
        .await
        .unwrap();
        assert_eq!(open, Vec::<String>::new(), "their paths do not name pg_temp last");
    });
}

#[test]
fn nobody_but_the_owner_sets_them_and_the_owner_not_everything() {
    run(async {
        let app = App::with(SCHEMA).await;
        for (user, role, setting) in [
            ("data", "authenticator", "pgrst.db_max_rows"),
            ("storage", "anon", "statement_timeout"),
            ("owner", "postgres", "statement_timeout"),
            ("owner", "anon", "session_preload_libraries"),
            ("owner", "anon", "log_min_messages"),
            ("owner", "anon", "role"),
            ("owner", "anon", "no_such_setting"),
            ("owner", "anon", "plperl.on_plperl_init"),
            ("owner", "anon", "a.b = 'c'; drop table public.notes; --"),
        ] {
            let mut connection = app.connect(user).await;
            let set = sqlx::query("select meshbase.set_role_setting($1, $2, '1')").bind(role).bind(setting);
            let refused = set.execute(&mut connection).await.unwrap_err();
            let code = refused.as_database_error().and_then(|error| error.code()).unwrap_or_default();
            assert_eq!(code, "42501", "{user} sets {setting} of {role}: {refused}");
        }
    });
}
