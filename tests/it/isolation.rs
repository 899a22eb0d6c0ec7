//! Two projects with equal names of everything: no row, file, session, key or answer crosses.

use http::Method;
use serde_json::json;

use crate::support::{Actor, App, at, run};

const SCHEMA: &str = "
    create table public.todos (id int primary key, owner uuid not null default auth.uid(), title text);
    create policy own on public.todos for all to authenticated using (owner = auth.uid());
    insert into storage.buckets (id, name, public) values ('files', 'files', false), ('open', 'open', true);
    create policy own on storage.objects for all to authenticated using (owner_id = auth.uid()::text);
";

struct Pair {
    one: App,
    two: App,
    ann_one: Actor,
    ann_two: Actor,
}

/// The same person, row and file in two projects.
async fn pair() -> Pair {
    let (one, two) = (App::with(SCHEMA).await, App::with(SCHEMA).await);
    let (ann_one, ann_two) = (one.user("ann").await, two.user("ann").await);
    for (ann, title) in [(&ann_one, "in one"), (&ann_two, "in two")] {
        ann.post("/rest/v1/todos").json(json!({"id": 1, "title": title})).send().await.expect(201);
        for bucket in ["files", "open"] {
            let path = format!("/storage/v1/object/{bucket}/same.txt");
            ann.post(&path).header("content-type", "text/plain").body(title).send().await.expect(200);
        }
    }
    Pair { one, two, ann_one, ann_two }
}

#[test]
fn each_sees_its_own_under_equal_names() {
    run(async {
        let Pair { one, two, ann_one, ann_two } = pair().await;

        assert_ne!(ann_one.id, ann_two.id);
        for _ in 0..3 {
            // turn by turn: nothing cached for one may answer the other
            assert_eq!(ann_one.rows("todos?select=title").await, json!([{"title": "in one"}]));
            assert_eq!(ann_two.rows("todos?select=title").await, json!([{"title": "in two"}]));
            let file = |ann: &Actor| ann.get("/storage/v1/object/files/same.txt").send();
            assert_eq!(file(&ann_one).await.expect(200).text(), "in one");
            assert_eq!(file(&ann_two).await.expect(200).text(), "in two");
            let open = |app: &App| app.nobody().get("/storage/v1/object/public/open/same.txt").send();
            assert_eq!(open(&one).await.expect(200).text(), "in one");
            assert_eq!(open(&two).await.expect(200).text(), "in two");
        }
    });
}

#[test]
fn the_key_of_one_at_the_host_of_the_other_is_refused() {
    run(async {
        let Pair { one, two, .. } = pair().await;
        for key in [
            one.access.anon_key.as_str(),
            one.access.service_role_key.expose(),
            one.access.publishable_key.as_ref().unwrap().expose(),
            one.access.secret_key.as_ref().unwrap().expose(),
        ] {
            for path in ["/rest/v1/todos", "/auth/v1/settings", "/storage/v1/bucket"] {
                let reply = two.anon().with_key(key).get(path).send().await;
                assert_eq!(reply.status, 401, "{path}");
            }
        }
    });
}

#[test]
fn the_token_of_one_with_the_key_of_the_other_is_refused_by_each_service() {
    run(async {
        let Pair { two, ann_one, ann_two, .. } = pair().await;
        let foreign = two.anon().with_token(ann_one.token.as_ref().unwrap());

        foreign.get("/rest/v1/todos").send().await.expect(401);
        foreign.get("/auth/v1/user").send().await.expect(403);
        let file = foreign.get("/storage/v1/object/files/same.txt").send().await;
        assert!(file.status.is_client_error() && !file.text().contains("in "), "{}", file.text());
        let refresh = json!({"refresh_token": ann_one.refresh_token});
        two.anon().post("/auth/v1/token?grant_type=refresh_token").json(refresh).send().await.expect(400);
        // and nothing of it hurt the one that it was tried on
        ann_two.get("/auth/v1/user").send().await.expect(200);
    });
}

#[test]
fn ids_and_signed_urls_of_one_mean_nothing_in_the_other() {
    run(async {
        let Pair { one, two, ann_one, .. } = pair().await;
        let user = format!("/auth/v1/admin/users/{}", ann_one.id);
        one.service().get(&user).send().await.expect(200);
        two.service().get(&user).send().await.expect(404);
        two.service().delete(&user).send().await.expect(404);

        let sign = ann_one.post("/storage/v1/object/sign/files/same.txt").json(json!({"expiresIn": 60}));
        let signed = sign.send().await.expect(200).json();
        let path = format!("/storage/v1{}", at(&signed, "/signedURL").as_str().unwrap());
        assert_eq!(one.nobody().get(&path).send().await.expect(200).text(), "in one");
        let reply = two.nobody().get(&path).send().await;
        assert!(reply.status.is_client_error(), "{}", reply.text());
    });
}

#[test]
fn logins_of_one_project_cannot_connect_to_the_other() {
    use sqlx::Connection;
    run(async {
        let (one, two) = (App::new().await, App::new().await);
        for login in ["auth", "data", "storage", "owner"] {
            let mut endpoint = one.login(login).await;
            endpoint.database = two.login(login).await.database;

            let refused = sqlx::PgConnection::connect_with(&common::db::options(&endpoint)).await;

            let error = refused.expect_err("it must not connect").to_string();
            assert!(error.contains("permission denied for database"), "{login}: {error}");
        }
    });
}

#[test]
fn a_count_of_one_is_not_a_count_of_the_other() {
    run(async {
        let Pair { one, two, .. } = pair().await;
        one.user("bob").await;
        let total = |app: &App| app.service().call(Method::GET, "/auth/v1/admin/users").send();

        assert_eq!(total(&one).await.expect(200).header("x-total-count"), "2");
        assert_eq!(total(&two).await.expect(200).header("x-total-count"), "1");
    });
}
