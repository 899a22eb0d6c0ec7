//! What an installation begins with: tokens that are there before the control plane is.

use super::support::{ECHO, Plane, Running};
use crate::mesh::support::Origin;
use crate::support::run;

#[test]
fn a_first_token_that_was_taken_back_stays_taken_back() {
    run(async {
        let mut plane = Plane::prepare(1).await;
        plane.init();
        plane.begin(0);
        plane.apply(&ECHO.replace("name: echo", "name: data"));
        let origin = Origin::start().await;
        let program = origin.address.to_string();
        let more = ["--program-at", &program, "--inbound", "127.0.0.1:0"];
        let _data = Running::start(&mut plane.proxy("data", "data", &plane.first_token("data"), &more));
        plane.found("data", 1);

        let tokens = plane.mesh(&["token", "list"]);
        let of_data = |token: &&serde_json::Value| token["identity"].as_str().unwrap().ends_with("/data");
        let all = tokens["tokens"].as_array().unwrap();
        assert_eq!(all.len(), 5);
        let id = all.iter().find(of_data).unwrap()["id"].as_str().unwrap().to_owned();
        plane.mesh(&["token", "revoke", &id]);
        plane.replicas[0].take().unwrap().stop();
        plane.begin(0);

        let answer = plane.mesh(&["token", "list"]);
        let revoked =
            answer["tokens"].as_array().unwrap().iter().find(of_data).unwrap()["revoked_at"].clone();
        assert!(revoked.is_string(), "{answer}");
    });
}

#[test]
fn a_bootstrap_file_of_another_installation_is_refused() {
    run(async {
        let mut plane = Plane::start(1, &[]).await;
        plane.replicas[0].take().unwrap().stop();
        let key = std::fs::read(plane.path("master.key")).unwrap();
        plane.init();
        std::fs::write(plane.path("master.key"), key).unwrap();

        let refused = plane.replica(0).output().unwrap();

        assert!(!refused.status.success());
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains("another installation"), "{told}");
    });
}
