//! Hosts that are no service: default deny, and what an allowed one gets to see.

use axum::Router;
use base::serve::{Listener, serve};
use mesh::resource::Egress;
use tokio_util::sync::CancellationToken;

use crate::program::{self, Stage};
use crate::world::{World, conform, routes};

const UNARY: &str = "- { kind: unary, deadline_ms: 5000 }";

#[tokio::test]
async fn a_service_that_nobody_knows_is_not_called() {
    conform(&routes(UNARY), async |world| {
        world.get("http://nobody.mesh/").await.is("no answer: not_allowed");
        world.get("/").to("nobody").await.is("no answer: not_allowed");

        world.told("egress denied gateway>nobody.mesh\n egress denied gateway>echo.mesh").await;
    })
    .await;
}

#[tokio::test]
async fn hosts_outside_of_the_mesh_are_not_called() {
    conform(&routes(UNARY), async |world| {
        world.get("http://example.com/").await.is("no answer: not_allowed");
        world.get("https://169.254.169.254/latest").await.is("no answer: not_allowed");

        world
            .told(
                "egress denied gateway>example.com:80
                 egress denied gateway>169.254.169.254:443
                 2x outbound gateway>egress egress 403 not_allowed",
            )
            .await;
    })
    .await;
}

#[tokio::test]
async fn an_allowed_host_sees_nothing_of_the_mesh() {
    conform(&routes(UNARY), async |world| {
        let port = outside(program::router("outside", &Stage::new())).await;
        allow(world, port);

        let request = world.get(&format!("http://127.0.0.1:{port}/a")).project("shop").incomparable();
        let request = request.header("connection", "x-hop").header("x-hop", "1");

        request.show("*").await.is("200 outside GET /a [host]");
        world.told("outbound gateway>egress egress 200 answer").await;
    })
    .await;
}

/// A program on the network that knows of no mesh.
async fn outside(router: Router) -> u16 {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(listener, router, CancellationToken::new(), std::time::Duration::ZERO));
    port
}

fn allow(world: &World, port: u16) {
    let egress = Egress {
        from: vec!["gateway".to_owned()],
        host: "127.0.0.1".to_owned(),
        ports: vec![port],
        private: true,
    };
    world.apply(|mesh| mesh.egress.push(egress.clone())).unwrap();
}
