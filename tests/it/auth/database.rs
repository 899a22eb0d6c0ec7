//! The users' tables as the project's own SQL meets them.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection};

use super::{assert_refused, sign_in, sign_up};
use crate::support::{App, PASSWORD, at, run};

const PROFILES: &str = "
    create table public.profiles (
        id uuid primary key references auth.users on delete cascade,
        name text
    );
    create policy own on public.profiles for all to authenticated using (id = auth.uid());
    create function public.welcome() returns trigger language plpgsql security definer set search_path = '' as $$
    begin
        insert into public.profiles (id, name) values (new.id, new.raw_user_meta_data ->> 'name');
        return new;
    end $$;
    create trigger welcome after insert on auth.users for each row execute function public.welcome();
";

async fn sign_up_as(app: &App, name: &str) -> Value {
    let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD, "data": {"name": name}});
    app.anon().post("/auth/v1/signup").json(body).send().await.expect(200).json()
}

#[test]
fn the_roles_of_the_api_read_nothing_of_users() {
    run(async {
        let app = App::new().await;
        app.user("ann").await;
        for role in ["anon", "authenticated", "service_role"] {
            for table in
                ["users", "sessions", "identities", "one_time_tokens", "refresh_tokens", "audit_log_entries"]
            {
                let mut connection = app.connect("data").await;
                let sql = format!("set role {role}; select * from auth.{table}");

                let refused = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_err();

                let code = refused.as_database_error().and_then(|error| error.code()).unwrap_or_default();
                assert_eq!(code, "42501", "{role} {table}: {refused}");
                connection.close().await.unwrap();
            }
        }
        let through_the_api =
            app.service().get("/rest/v1/users?select=*").header("accept-profile", "auth").send().await;
        through_the_api.expect(406);
    });
}

#[test]
fn the_owner_hangs_foreign_keys_and_triggers_on_users() {
    run(async {
        let app = App::with(PROFILES).await;

        let (ann, bob) =
            (app.signed_in(&sign_up_as(&app, "ann").await), app.signed_in(&sign_up_as(&app, "bob").await));

        assert_eq!(ann.rows("profiles?select=id,name").await, json!([{"id": ann.id, "name": "ann"}]));
        assert_eq!(bob.rows("profiles?select=name").await, json!([{"name": "bob"}]));
        assert_eq!(app.anon().rows("profiles").await, json!([]));

        let path = format!("/auth/v1/admin/users/{}", ann.id);
        app.service().delete(&path).send().await.expect(200);

        assert_eq!(app.service().rows("profiles?select=name").await, json!([{"name": "bob"}]));
    });
}

#[test]
fn a_trigger_that_fails_stops_the_sign_up_and_tells_the_client_nothing() {
    run(async {
        let app = App::with(
            "create function public.refuse() returns trigger language plpgsql as
                 $$ begin raise exception 'the secret reason'; end $$;
             create trigger refuse before insert on auth.users for each row execute function public.refuse();",
        )
        .await;

        let reply = sign_up(&app, "ann").await;

        assert!(!reply.text().contains("secret"), "{}", reply.text());
        assert_eq!(at(&reply.json(), "/msg"), &json!("Database error saving new user"));
        assert_refused(reply, 500, "unexpected_failure");
        assert_eq!(app.value("select count(*) from auth.users").await, json!(0));
    });
}

#[test]
fn a_table_that_holds_on_to_a_user_forbids_the_deletion_but_not_the_soft_one() {
    run(async {
        let app = App::with("create table public.invoices (owner uuid not null references auth.users)").await;
        let ann = app.user("ann").await;
        app.sql(&format!("insert into public.invoices values ('{}')", ann.id)).await;
        let path = format!("/auth/v1/admin/users/{}", ann.id);

        let refused = app.service().delete(&path).send().await;

        assert!(at(&refused.json(), "/msg").as_str().unwrap().contains("invoices"), "{}", refused.text());
        assert_refused(refused, 409, "conflict");
        sign_in(&app, "ann", PASSWORD).await.expect(200);
        app.service().delete(&path).json(json!({"should_soft_delete": true})).send().await.expect(200);
    });
}

#[test]
fn policies_and_functions_know_who_asks() {
    run(async {
        let app = App::with(
            "create function public.who() returns jsonb language sql stable as $$
                 select jsonb_build_object('uid', auth.uid(), 'role', auth.role(), 'email', auth.email(),
                     'session', auth.jwt() ->> 'session_id') $$",
        )
        .await;
        let ann = app.user("ann").await;
        let who = async |actor: &crate::support::Actor| actor.rows("rpc/who").await;

        let (user, nobody, service) = (who(&ann).await, who(&app.anon()).await, who(&app.service()).await);

        let session = app.value("select id from auth.sessions").await;
        assert_eq!(
            user,
            json!({"uid": ann.id, "role": "authenticated", "email": "ann@example.com", "session": session})
        );
        assert_eq!((&nobody["uid"], &nobody["role"]), (&Value::Null, &json!("anon")));
        assert_eq!((&service["uid"], &service["role"]), (&Value::Null, &json!("service_role")));
    });
}
