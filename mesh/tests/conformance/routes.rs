//! Which requests a route means, and what it changes about them.

use crate::world::{conform, routes};

const UNARY: &str = "kind: unary, deadline_ms: 5000";

/// Each route says its name in its answers.
fn named(matches: &[(&str, &str)]) -> String {
    let route = |(name, matches): &(&str, &str)| {
        format!(
            "- {{ name: {name}, match: {matches}, {UNARY}, response_headers: {{ set: {{ x-route: {name} }} }} }}\n"
        )
    };
    routes(&format!("{}- {{ name: rest, {UNARY} }}", matches.iter().map(route).collect::<String>()))
}

#[tokio::test]
async fn a_route_is_found_by_its_path() {
    let config = named(&[
        ("exact", "{ exact: /a/b }"),
        ("template", "{ template: \"/users/{id}/posts\" }"),
        ("tail", "{ template: \"/files/{*path}\" }"),
        ("prefix", "{ prefix: /a/ }"),
    ]);
    conform(&config, async |world| {
        for (path, route) in [
            ("/a/b", "exact"),
            ("/a/%62", "exact"),
            ("/a/b/", "prefix"),
            ("/a/c", "prefix"),
            ("/a", "-"),
            ("/users/1/posts", "template"),
            ("/users/1%2F2/posts", "template"),
            ("/users//posts", "-"),
            ("/users/1/2/posts", "-"),
            ("/files/x/y", "tail"),
            ("/files", "-"),
        ] {
            world.get(path).await.has("x-route", route);
        }
    })
    .await;
}

#[tokio::test]
async fn a_route_is_found_by_method_headers_and_query() {
    let config = named(&[
        ("method", "{ methods: [POST, PUT] }"),
        ("header", "{ headers: { x-key: a, x-other: \"*\" } }"),
        ("query", "{ query: { q: \"a b\" } }"),
    ]);
    conform(&config, async |world| {
        world.post("/").await.has("x-route", "method");
        world.ask("PUT", "/").await.has("x-route", "method");
        world.get("/").header("x-key", "a").header("x-other", "").await.has("x-route", "header");
        world.get("/").header("x-key", "a").await.has("x-route", "-");
        world.get("/?p=1&q=a+b").await.has("x-route", "query");
        world.get("/?q=a%20b").await.has("x-route", "query");
        world.get("/?q=a").await.has("x-route", "-");
    })
    .await;
}

#[tokio::test]
async fn a_route_is_found_by_the_host_that_was_asked_for() {
    let config = named(&[("shop", "{ host: shop.example.com }"), ("any", "{ host: \"*.example.com\" }")]);
    conform(&config, async |world| {
        for (host, route) in
            [("shop.example.com", "shop"), ("SHOP.example.com:8080", "shop"), ("a.example.com", "any")]
        {
            let answer = world.get(&format!("http://{host}/")).to("echo").show("host").await;
            answer.is("200 echo GET / host=echo.mesh").has("x-route", route);
        }

        // a proxy knows its service by its mesh name alone
        world
            .told(
                "3x attempt echo answer
                 3x inbound gateway>echo rest 200 answer
                 2x outbound gateway>echo shop 200 answer
                 outbound gateway>echo any 200 answer",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_redirect_answers_without_asking() {
    let redirect = "redirect: { status: 308, location: /new }";
    let config = routes(&format!("- {{ path: /old, {UNARY}, {redirect} }}\n- {{ {UNARY} }}"));
    conform(&config, async |world| {
        world.get("/old").await.is("308").has("location", "/new");
        world.get("/new").await.is("200 echo GET /new");

        world.told("outbound gateway>echo /old* 308 answer\n exchange gateway>echo * 200").await;
    })
    .await;
}

#[tokio::test]
async fn a_rewrite_gives_the_program_another_path_and_keeps_the_query() {
    let config = routes(&format!(
        "- {{ path: /v1/, {UNARY}, rewrite: {{ path: / }} }}\n\
         - {{ match: {{ exact: /whole }}, {UNARY}, rewrite: {{ path: /other }} }}\n\
         - {{ {UNARY} }}"
    ));
    conform(&config, async |world| {
        world.get("/v1/a/b?c=d").await.is("200 echo GET /a/b?c=d");
        world.get("/whole?c").await.is("200 echo GET /other?c");
        world.get("/v1/..%2Fa").await.is("400 bad_path");
    })
    .await;
}

#[tokio::test]
async fn headers_of_requests_and_answers_are_edited() {
    let request = "request_headers: { remove: [x-a], set: { x-b: new }, add: { x-c: two } }";
    let answer = "response_headers: { remove: [x-d], set: { x-e: new }, add: { x-f: two } }";
    conform(&routes(&format!("- {{ {UNARY}, {request}, {answer} }}")), async |world| {
        let asked = ["x-a", "x-b"].into_iter().fold(world.get("/"), |asked, name| asked.header(name, "old"));
        let answered = "x-d: old | x-e: old | x-g: old";

        let answer = asked.header("x-answer", answered).show("x-a x-b x-c").await;

        answer.is("200 echo GET / x-a=- x-b=new x-c=two");
        answer.has("x-d", "-").has("x-e", "new").has("x-f", "two").has("x-g", "old");
    })
    .await;
}
