//! A proxy beside a program that somebody else starts and stops, as in two containers of one pod.

use http::Method;
use tokio::net::UnixStream;

use super::joining::wait_for_answer;
use super::support::{ECHO, Plane, Running, free_port};
use crate::mesh::support::Origin;
use crate::support::process::wait_until;
use crate::support::{Call, binary, run};

async fn probe(proxy: &Running, path: &str) -> u16 {
    Call::new(Method::GET, &format!("http://{}{path}", proxy.said("probes"))).send().await.status.as_u16()
}

#[test]
fn a_program_is_found_when_it_is_ready_and_may_call_until_it_ends() {
    run(async {
        let plane = Plane::start(1, &[]).await;
        plane.apply(ECHO);
        let (program, token) = (format!("127.0.0.1:{}", free_port()), plane.token("echo"));
        let (admin, out) = (plane.path("echo.admin"), plane.path("echo.out"));
        let mut command = plane.proxy("echo", "echo", &token, &["--program-at", &program]);
        command.args(["--inbound", "127.0.0.1:0", "--probes", "127.0.0.1:0", "--admin"]).arg(&admin);
        command.arg("--outbound").arg(format!("unix:{}", out.display()));
        let proxy = Running::start(&mut command);
        plane.settled(1);

        assert_eq!(probe(&proxy, "/startupz").await, 200, "the program may start");
        assert_eq!(probe(&proxy, "/readyz").await, 503);
        let found = || plane.mesh(&["endpoints"])["endpoints"].as_array().unwrap().len();
        assert_eq!(found(), 0);

        let origin = Origin::at(program.parse().unwrap()).await;
        let web = plane.caller("web");
        wait_for_answer(&web).await;
        assert_eq!((probe(&proxy, "/readyz").await, found()), (200, 1));

        let mut drain = std::process::Command::new(binary());
        assert!(drain.args(["drain", "--wait", "--admin"]).arg(&admin).status().unwrap().success());
        wait_until("nobody finds it any more", || found() == 0);
        assert_eq!(probe(&proxy, "/readyz").await, 503);
        assert!(UnixStream::connect(&out).await.is_ok(), "the program may still call others");

        assert_eq!(proxy.stop(), Some(0));
        drop(origin);
    });
}
