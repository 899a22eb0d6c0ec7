//! Who is let in, and who is not.

use std::process::Stdio;

use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::{Value, json};

use super::support::{ECHO, Plane, SECOND};
use crate::mesh::support::{Origin, get};
use crate::support::process::wait_until;
use crate::support::run;

/// A certificate request for `id`.
fn csr(id: &str) -> String {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

/// What the door says to this body, whoever it is.
fn join(plane: &Plane, body: &Value) -> (String, Value) {
    let url = format!("https://{}/v1/join", plane.address(0, "join"));
    let body = body.to_string();
    let arguments =
        ["-sk", "--max-time", "10", "-w", "\n%{http_code}", "-H", "content-type: application/json"];
    let output = std::process::Command::new("curl").args(arguments).args(["-d", &body, &url]).output();
    let output = String::from_utf8(output.expect("curl is there").stdout).unwrap();
    let (answer, status) = output.rsplit_once('\n').unwrap();
    (status.to_owned(), serde_json::from_str(answer).unwrap_or_default())
}

fn secret(token: &str) -> &str {
    token.rsplit(':').next().unwrap()
}

#[test]
fn a_token_lets_its_own_identity_in_and_nobody_else() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        let token = plane.token("echo");
        let [good, other] = ["echo", "web"].map(|name| csr(&format!("spiffe://meshbase.local/{name}")));
        let ask = |secret: &str, csr: &str| join(&plane, &json!({ "secret": secret, "csr": csr }));

        let (status, joined) = ask(secret(&token), &good);
        assert_eq!(status, "200", "{joined}");
        assert!(joined["chain"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"));

        let foreign = csr("spiffe://elsewhere.local/echo");
        for (secret, csr, status, code) in [
            ("wrong", good.as_str(), "401", "bad_token"),
            ("", &good, "401", "bad_token"),
            (secret(&token), &good, "409", "not_certified"),
            (secret(&token), &other, "403", "other_identity"),
            (secret(&token), &foreign, "403", "other_identity"),
            (secret(&token), "no request", "400", "bad_csr"),
        ] {
            let (said, answer) = ask(secret, csr);
            assert_eq!((said.as_str(), answer["code"].as_str()), (status, Some(code)), "{answer}");
        }
        assert_eq!(join(&plane, &json!({ "csr": good })).0, "401", "a token is needed");

        let tokens = plane.mesh(&["token", "list"]);
        let id = tokens["tokens"][0]["id"].as_str().unwrap();
        plane.mesh(&["token", "revoke", id]);
        let (status, answer) = ask(secret(&token), &csr("spiffe://meshbase.local/echo"));
        assert_eq!((status.as_str(), answer["code"].as_str()), ("401", Some("bad_token")));
        assert!(!plane.try_mesh(&["token", "revoke", id]).status.success(), "it is revoked already");
    });
}

#[test]
fn the_control_plane_itself_is_nobody_to_join_as() {
    run(async {
        let plane = Plane::start(1, &[]).await;

        for name in ["control", "a/../b", "", "Ä"] {
            assert!(!plane.try_mesh(&["token", "make", name]).status.success(), "{name}");
        }
    });
}

/// A workload gives its secret to nobody but the control plane of its token.
#[test]
fn a_workload_joins_no_other_control_plane() {
    run(async {
        let (plane, other) = (Plane::start(1, &[]).await, Plane::start(1, &[]).await);
        let token = plane.token("echo");
        let foreign = other.token("echo");
        let mixed = format!("{}:{}", foreign.rsplit_once(':').unwrap().0, secret(&token));

        for (name, token) in [("mixed", mixed), ("foreign", foreign)] {
            let mut command = plane.proxy(name, "echo", &token, &["--program-at", "127.0.0.1:1"]);
            let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(SECOND);
            let said = stopped(child);
            assert!(said.contains("certificate_rejected"), "{name}: {said}");
            assert!(!plane.path(&format!("{name}.state/echo/identity.pem")).exists());
        }
    });
}

fn stopped(mut child: std::process::Child) -> String {
    child.kill().unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned()
}

#[test]
fn who_restarts_or_is_one_more_joins_by_itself() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        plane.apply(ECHO);
        let origins = [Origin::start().await, Origin::start().await];
        let first = plane.callee("first", "echo", &origins[0].address.to_string());
        let mut web = plane.caller("web");
        wait_for_answer(&web).await;

        let _second = plane.callee("second", "echo", &origins[1].address.to_string());
        plane.found("echo", 2);
        let calls = web.calls();
        while origins[1].count() == 0 {
            assert_eq!(get(&calls, "http://echo.mesh/").await, Some(http::StatusCode::OK));
        }

        first.stop();
        plane.found("echo", 1);
        web = web.restart();
        wait_for_answer(&web).await;
        let instances = plane.settled(2);
        assert_eq!(instances["proxies"].as_array().unwrap().len(), 2);
    });
}

/// Waits until `echo` answers.
pub async fn wait_for_answer(web: &super::support::Caller) {
    let (calls, started) = (web.calls(), std::time::Instant::now());
    while started.elapsed() < 30 * SECOND {
        if get(&calls, "http://echo.mesh/").await == Some(http::StatusCode::OK) {
            return;
        }
        tokio::time::sleep(SECOND / 20).await;
    }
    panic!("echo does not answer");
}

#[test]
fn nobody_can_read_what_a_workload_keeps() {
    use std::os::unix::fs::PermissionsExt;
    run(async {
        let plane = Plane::start(1, &[]).await;
        plane.apply(ECHO);
        let _web = plane.caller("web");
        let folder = plane.path("web.state/web");
        wait_until("everything is kept", || folder.join("resources.json").exists());

        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;

        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("identity.pem")), 0o600);
        assert_eq!(mode(&plane.path("master.key")), 0o600);
        assert_eq!(mode(&plane.path("control-0.sock")), 0o600);
    });
}
