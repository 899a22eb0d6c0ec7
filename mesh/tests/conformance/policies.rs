//! Who may call what, and the one spelling of a path that decides it.

use crate::world::{conform, echo};

const ROUTE: &str = "routes:\n- { kind: unary, deadline_ms: 5000 }";

#[tokio::test]
async fn a_caller_that_policy_does_not_name_is_refused() {
    for kind in ["unary, deadline_ms: 5000", "stream, response_ms: 5000, idle_ms: 5000"] {
        let config = echo(&format!("callers: [gateway]\nroutes:\n- {{ kind: {kind} }}"));
        conform(&config, async |world| {
            world.get("/a?b").from("stranger").await.is("403 denied_by_policy");

            world
                .told(
                    "denied stranger>echo GET /a
                     attempt echo answer
                     inbound stranger>echo echo 403 answer
                     outbound stranger>echo * 403 answer",
                )
                .await;
        })
        .await;
    }
}

#[tokio::test]
async fn nobody_may_call_a_service_without_policy() {
    conform(&echo(ROUTE), async |world| {
        world.get("/").await.is("403 denied_by_policy");
    })
    .await;
}

#[tokio::test]
async fn a_policy_may_be_about_methods_and_paths() {
    let policy = "policies: [{ from: [gateway], match: { prefix: /public/, methods: [GET] } }]";
    conform(&echo(&format!("{policy}\n{ROUTE}")), async |world| {
        world.get("/public/a").await.is("200 echo GET /public/a");
        world.post("/public/a").await.is("403 denied_by_policy");
        world.get("/private").await.is("403 denied_by_policy");
        world.get("/publicity").await.is("403 denied_by_policy");
    })
    .await;
}

#[tokio::test]
async fn a_policy_may_be_about_headers_and_the_query() {
    let policy = "policies: [{ from: [gateway], match: { headers: { x-key: \"1\" }, query: { q: \"*\" } } }]";
    conform(&echo(&format!("{policy}\n{ROUTE}")), async |world| {
        world.get("/?q=a").header("x-key", "1").await.is("200 echo GET /?q=a");
        world.get("/?q=a").header("x-key", "2").await.is("403 denied_by_policy");
        world.get("/").header("x-key", "1").await.is("403 denied_by_policy");
    })
    .await;
}

#[tokio::test]
async fn a_policy_does_not_believe_a_header_that_was_not_proven() {
    let of_shop = "match: { headers: { x-meshbase-project: shop } }";
    let policy = format!("policies: [{{ from: [gateway, spiffe://test.local/other], {of_shop} }}]");
    conform(&echo(&format!("{policy}\n{ROUTE}")), async |world| {
        world.get("/").project("shop").await.is("200 echo GET /");
        world.get("/").from("other").project("shop").await.is("403 denied_by_policy");
    })
    .await;
}

#[tokio::test]
async fn a_policy_knows_the_service_by_its_mesh_name_alone() {
    let policy = "policies: [{ from: [gateway], match: { host: shop.example.com } }]";
    conform(&echo(&format!("{policy}\n{ROUTE}")), async |world| {
        world.get("http://shop.example.com/").to("echo").await.is("403 denied_by_policy");
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_lets_in_and_tells() {
    conform(&echo(&format!("dry_run: true\n{ROUTE}")), async |world| {
        world.get("/").await.is("200 echo GET /");

        world.told("denied gateway>echo GET / in a dry run\n exchange gateway>echo * 200").await;
    })
    .await;
}

#[tokio::test]
async fn a_path_is_judged_and_passed_on_in_its_one_spelling() {
    let policy = "policies: [{ from: [gateway], match: { prefix: /public/ } }]";
    conform(&echo(&format!("{policy}\n{ROUTE}")), async |world| {
        world.get("/public/%61%2Db?c=%61").await.is("200 echo GET /public/a-b?c=%61");
        world.get("/public//a").await.is("200 echo GET /public//a");
        world.get("/public/a%2fb").await.is("200 echo GET /public/a%2Fb");
        world.get("/%70ublic/a").await.is("200 echo GET /public/a");
        world.get("/public%2Fa").await.is("403 denied_by_policy");
        world.get("//public/a").await.is("403 denied_by_policy");
    })
    .await;
}

#[tokio::test]
async fn a_path_with_two_readings_is_refused_before_anybody_is_asked() {
    conform(&echo(&format!("callers: [gateway]\n{ROUTE}")), async |world| {
        for path in ["/a/../b", "/a/%2e%2e/b", "/a/..%2Fb", "/a/%252e%252e/b", "/a/..;x/b", "/a%00", "/a%zz"]
        {
            world.get(path).await.is("400 bad_path").has("content-type", "application/json");
        }

        world.told("7x outbound gateway>echo echo 400 answer").await;
    })
    .await;
}
