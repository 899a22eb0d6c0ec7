//! What the inbound side holds callers to.

use crate::world::{World, conform, echo};

/// `echo` with one limit, counted by `per`.
fn limited(limit: &str) -> String {
    let callers = "callers: [gateway, spiffe://test.local/other]";
    let kind = "kind: unary, deadline_ms: 20000";
    let routes = format!("- {{ path: /a, {kind} }}\n- {{ path: /b, {kind} }}\n- {{ {kind} }}");
    echo(&format!("{callers}\nlimits: [{{ name: fair, {limit} }}]\nroutes:\n{routes}"))
}

fn rate(per: &str) -> String {
    limited(&format!("per: {per}, requests: 1, period_ms: 600000"))
}

/// The second of two requests that count together is over the limit; one that counts by itself is not.
async fn second_is_over<'w>(world: &'w World, [one, same, other]: [crate::ask::Ask<'w>; 3]) {
    one.await.is("200 echo GET /a").has("retry-after", "-");
    let over = same.await;
    over.is("429 over_limit").has("retry-after", "600").has("x-meshbase-fault", "-");
    over.has("ratelimit-policy", "\"fair\";q=1;w=600").has("ratelimit", "\"fair\";r=0;t=600");
    other.await.has("retry-after", "-");
    assert_eq!(world.seen.count("limited"), 1, "in the {} world", world.name);
}

#[tokio::test]
async fn each_caller_has_a_rate_of_its_own() {
    conform(&rate("identity"), async |world| {
        let asks = [world.get("/a"), world.get("/b"), world.get("/a").from("other")];
        second_is_over(world, asks).await;

        world
            .told(
                "exchange gateway>echo /a* 200
                 limited echo fair
                 exchange gateway>echo /b* 429
                 exchange other>echo /a* 200",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn each_route_has_a_rate_of_its_own() {
    conform(&rate("route"), async |world| {
        second_is_over(world, [world.get("/a"), world.get("/a").from("other"), world.get("/b")]).await;
    })
    .await;
}

#[tokio::test]
async fn each_value_of_a_header_has_a_rate_of_its_own() {
    conform(&rate("{ header: x-key }"), async |world| {
        let ask = |key| world.get("/a").header("x-key", key);
        second_is_over(world, [ask("1"), ask("1"), ask("2")]).await;
    })
    .await;
}

#[tokio::test]
async fn each_project_has_a_rate_of_its_own() {
    conform(&rate("project"), async |world| {
        let ask = |project| world.get("/a").project(project);
        second_is_over(world, [ask("shop"), ask("shop"), ask("blog")]).await;
    })
    .await;
}

#[tokio::test]
async fn a_project_that_was_not_proven_is_none() {
    conform(&rate("project"), async |world| {
        let ask = |project| world.get("/a").from("other").project(project);
        ask("shop").await.is("200 echo GET /a");
        ask("blog").await.is("429 over_limit");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_final() {
    // an answer of the service: neither tried again nor held against the endpoint
    conform(&rate("all"), async |world| {
        world.get("/a").await.is("200 echo GET /a");
        world.get("/a").await.is("429 over_limit");

        world.told("exchange gateway>echo /a* 200\n limited echo fair\n exchange gateway>echo /a* 429").await;
    })
    .await;
}

#[tokio::test]
async fn only_so_many_are_under_way_at_once() {
    conform(&limited("per: identity, concurrent: 1, match: { prefix: /a }"), async |world| {
        let (held, ()) = tokio::join!(world.get("/a").plan("hold"), async {
            world.stage.held(1).await;
            world.get("/a").await.is("429 over_limit").has("retry-after", "1").has("ratelimit", "-");
            world.get("/a").from("other").await.is("200 echo GET /a");
            world.get("/b").await.is("200 echo GET /b");
            world.stage.let_go(1);
        });

        held.is("200 echo GET /a");
        world.get("/a").await.is("200 echo GET /a");
    })
    .await;
}

#[tokio::test]
async fn what_was_counted_stays_counted_when_something_else_changes() {
    conform(&rate("all"), async |world| {
        world.get("/a").await.is("200 echo GET /a");
        world.apply(|mesh| mesh.asserts.clear()).unwrap();
        world.get("/a").await.is("429 over_limit");
    })
    .await;
}
