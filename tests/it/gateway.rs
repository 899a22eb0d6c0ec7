//! The gateway: keys, projects, CORS, headers.

use http::Method;
use serde_json::json;

use crate::support::{App, Call, run};

#[test]
fn a_request_without_a_key_is_refused_where_one_is_needed() {
    run(async {
        let app = App::new().await;

        let reply = app.nobody().get("/rest/v1/todos").send().await.expect(401);

        assert_eq!(reply.header("content-type"), "text/plain");
        assert!(reply.text().starts_with("Unauthorized"), "{}", reply.text());
        app.nobody().get("/auth/v1/.well-known/jwks.json").send().await.expect(200);
        app.nobody().get("/auth/v1/settings").send().await.expect(401);
    });
}

#[test]
fn keys_that_are_wrong_in_any_way_are_refused() {
    run(async {
        let app = App::new().await;
        let anon = &app.access.anon_key;
        let (head, signature) = anon.rsplit_once('.').unwrap();
        let user = app.user("ann").await;
        let none = "eyJhbGciOiJub25lIn0.eyJyb2xlIjoic2VydmljZV9yb2xlIiwicmVmIjoiZGVmYXVsdCJ9.";
        let unknown = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiIsInJlZiI6Im5vc3VjaCJ9.c2lnbmF0dXJl";
        for wrong in [
            "x",
            // a project that does not exist answers like any other: which exist is nobody's business
            unknown,
            "sb_publishable_aaaaaaaaaaaaaaaaaaaaaa_00000000",
            "sb_secret_",
            head,
            none,
            &format!("{head}.{}", signature.chars().rev().collect::<String>()),
            // a user's token is no key
            user.token.as_ref().unwrap(),
        ] {
            let reply = app.anon().with_key(wrong).get("/auth/v1/settings").send().await;
            assert_eq!(reply.status, 401, "{wrong}");
        }
    });
}

#[test]
fn opaque_keys_stand_for_their_roles() {
    run(async {
        let app =
            App::with("create table public.notes (id int primary key); insert into public.notes values (1);")
                .await;
        let publishable = app.access.publishable_key.as_ref().unwrap().expose();
        let secret = app.access.secret_key.as_ref().unwrap().expose();

        let anon = app.anon().with_key(publishable).get("/rest/v1/notes").send().await.expect(200).json();
        let service = app.anon().with_key(secret).get("/rest/v1/notes").send().await.expect(200).json();

        assert_eq!(
            (anon, service),
            (json!([]), json!([{"id": 1}])),
            "row-level security is on from the start"
        );
        let as_bearer = app
            .anon()
            .with_key(secret)
            .get("/rest/v1/notes")
            .header("authorization", &format!("Bearer {secret}"));
        assert_eq!(as_bearer.send().await.expect(200).json(), json!([{"id": 1}]));
    });
}

#[test]
fn the_key_may_come_in_the_query_and_goes_no_further() {
    run(async {
        let app = App::with("create table public.notes (id int primary key)").await;
        let path = format!("/rest/v1/notes?apikey={}&id=eq.1", app.access.anon_key);

        let reply = app.nobody().get(&path).send().await.expect(200);

        assert_eq!(reply.json(), json!([]));
        let both = app.anon().get("/rest/v1/notes?apikey=another").send().await;
        both.expect(401);
    });
}

#[test]
fn the_whole_schema_is_described_to_the_service_key_alone() {
    run(async {
        let app = App::new().await;

        app.anon().get("/rest/v1/").send().await.expect(401);
        app.service().get("/rest/v1/").send().await.expect(200);
    });
}

#[test]
fn a_browser_may_call_from_any_origin_and_never_with_credentials() {
    run(async {
        let app = App::new().await;
        let preflight = app
            .nobody()
            .call(Method::OPTIONS, "/rest/v1/todos")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "apikey,authorization,x-client-info")
            .send()
            .await
            .expect(204);
        assert_eq!(preflight.header("access-control-allow-origin"), "*");
        assert_eq!(preflight.header("access-control-allow-headers"), "apikey,authorization,x-client-info");
        assert!(preflight.header("access-control-allow-methods").contains("PATCH"));

        // errors too: a page must be able to read them
        for reply in [
            app.anon().get("/auth/v1/settings").send().await,
            app.nobody().get("/auth/v1/settings").send().await,
            app.anon().get("/nowhere").send().await,
        ] {
            assert_eq!(reply.header("access-control-allow-origin"), "*");
            assert_eq!(reply.header("access-control-expose-headers"), "*");
            assert_eq!(reply.header("access-control-allow-credentials"), "");
        }
    });
}

#[test]
fn unknown_and_closed_paths_and_path_tricks_say_so() {
    run(async {
        let app = App::new().await;
        for (path, status) in [
            ("/", 404),
            ("/nowhere", 404),
            ("/auth/v2/token", 404),
            ("//auth/v1/settings", 404),
            ("/pg/query", 403),
            ("/mcp", 403),
            ("/auth/v1/%2e%2e/rest/v1/", 400),
            ("/rest/v1/..%2f..%2fauth", 400),
            ("/rest/v1/a%00b", 400),
        ] {
            app.anon().get(path).send().await.expect(status);
        }
    });
}

#[test]
fn headers_of_our_own_are_neither_believed_nor_shown() {
    run(async {
        let app = App::with(
            "create function public.headers() returns json language sql as
             $$ select current_setting('request.headers')::json $$;",
        )
        .await;
        let other = App::new().await;

        let reply = app
            .anon()
            .get("/rest/v1/rpc/headers")
            .header("x-meshbase-project", other.project.reference.as_str())
            .header("x-meshbase-peer", "platform")
            .header("x-forwarded-for", "1.2.3.4")
            .header("x-request-id", "mine-42")
            .header("traceparent", "not a trace")
            .send()
            .await
            .expect(200);

        let seen = reply.json();
        assert!(seen.as_object().unwrap().keys().all(|name| !name.starts_with("x-meshbase-")), "{seen}");
        assert_eq!(seen["x-forwarded-for"], "127.0.0.1");
        assert_eq!(seen["x-request-id"], "mine-42");
        assert_eq!(seen["traceparent"], json!(null));
        assert_eq!(seen["apikey"], json!(null));
        assert_eq!(reply.header("x-request-id"), "mine-42");
        assert!(
            reply.headers.keys().all(|name| !name.as_str().starts_with("x-meshbase-")),
            "{:?}",
            reply.headers
        );
    });
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    run(async {
        let app = App::new().await;

        let reply =
            app.anon().post("/auth/v1/signup").json(json!({"data": {"x": "y".repeat(3 << 20)}})).send().await;

        reply.expect(413);
    });
}

#[test]
fn without_a_key_there_is_no_default_once_there_are_several_projects() {
    run(async {
        let app = App::new().await;
        let bare = app.stack.up.info.url.clone();

        let reply =
            Call::new(Method::GET, &format!("{bare}/auth/v1/.well-known/jwks.json")).send().await.expect(400);

        assert!(reply.text().contains("names no project"), "{}", reply.text());
        app.nobody()
            .at_host("nobody.localhost")
            .get("/auth/v1/.well-known/jwks.json")
            .send()
            .await
            .expect(404);
    });
}

#[test]
fn a_host_means_the_same_project_in_every_spelling() {
    run(async {
        let app = App::new().await;
        let jwks = |host: &str| app.nobody().at_host(host).get("/auth/v1/.well-known/jwks.json").send();
        for host in ["nosuch.localhost", "nosuch.LOCALHOST", "nosuch.localhost.", "NoSuch.LocalHost.:80"] {
            jwks(host).await.expect(404);
            app.anon().at_host(host).get("/auth/v1/settings").send().await.expect(401);
        }
        let own = app.project.reference.as_str();
        for host in
            [format!("{own}.LOCALHOST"), format!("{own}.localhost."), own.to_uppercase() + ".localhost"]
        {
            jwks(&host).await.expect(200);
            app.anon().at_host(&host).get("/auth/v1/settings").send().await.expect(200);
        }
    });
}

#[test]
fn connection_cannot_name_away_what_the_gateway_says() {
    run(async {
        let app = App::with(
            "create table public.notes (id int primary key, owner uuid default auth.uid());
            create policy own on public.notes for all to authenticated using (owner = auth.uid());",
        )
        .await;
        let ann = app.user("ann").await;
        ann.post("/rest/v1/notes").json(json!({"id": 1})).send().await.expect(201);
        let named = "x-meshbase-project, authorization, x-request-id, host, x-meshbase-origin";

        let reply = ann.get("/rest/v1/notes?select=id").header("connection", named).send().await.expect(200);

        assert_eq!(reply.json(), json!([{"id": 1}]));
    });
}

#[test]
fn services_never_see_the_consoles_cookie() {
    run(async {
        let app = App::with(
            "create function public.cookies() returns json language sql as
             $$ select current_setting('request.cookies')::json $$;",
        )
        .await;

        let call =
            app.anon().get("/rest/v1/rpc/cookies").header("cookie", "a=1; meshbase_console=secret; b=2");
        let seen = call.send().await.expect(200).json();

        assert_eq!(seen, json!({"a": "1", "b": "2"}));
    });
}

#[test]
fn what_a_browser_opens_by_itself_needs_no_key() {
    run(async {
        let app = App::new().await;
        for path in ["/auth/v1/authorize", "/auth/v1/callback", "/auth/v1/.well-known/anything"] {
            let reply = app.nobody().get(path).send().await;
            assert_ne!(reply.status, 401, "{path}: {}", reply.text());
        }
    });
}
