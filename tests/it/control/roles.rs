//! Every service by its role, each behind a sidecar of its own: what containers run.

use http::Method;
use serde_json::{Value, json};

use super::support::{Plane, Running, free_port};

use crate::support::process::wait_until;
use crate::support::{Call, binary, run};

/// Starts the program of `role` around which its sidecar runs.
fn role(plane: &Plane, role: &str, flags: &[String]) -> Running {
    let at = |name: &str| plane.path(&format!("{role}.{name}")).to_string_lossy().into_owned();
    let (inside, out, state) = (format!("unix:{}", at("in")), at("out"), at("folder"));
    let mut command = plane.proxy(role, role, &plane.first_token(role), &["--inbound", "127.0.0.1:0"]);
    command.args(["--outbound", &format!("unix:{out}")]);
    let serve = match flags.iter().position(|flag| flag == "--serve") {
        Some(_) => vec![],
        None => {
            command.args(["--program-at", &inside]);
            vec!["--serve", &inside]
        }
    };
    command.arg("--").arg(binary()).arg(role).args(serve).args(["--outbound", &out, "--state-dir", &state]);
    Running::start(command.args(flags))
}

/// What `status` tells of the platform.
fn status(plane: &Plane) -> Option<Value> {
    let mut command = std::process::Command::new(binary());
    command.args(["status", "--json", "--data-dir"]).arg(plane.path("platform.folder"));
    serde_json::from_slice(&command.output().ok()?.stdout).ok()
}

#[test]
fn the_roles_alone_make_an_installation() {
    run(async {
        let mut plane = Plane::prepare(1).await;
        plane.init();
        plane.begin(0);
        let [gateway, console] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let file = |flag: &str, name: &str| [flag.to_owned(), plane.secret(&format!("platform/{name}"))];
        let platform = [
            file("--database-url-file", "database.url"),
            file("--master-key", "master.key"),
            file("--console-token", "console.token"),
            ["--console".to_owned(), console.clone()],
            ["--public-url".to_owned(), format!("http://{gateway}")],
        ];
        let _services = [
            role(&plane, "platform", platform.as_flattened()),
            role(&plane, "auth", &["--auth-allow-autoconfirm".to_owned()]),
            role(&plane, "data", &[]),
            role(&plane, "storage", &[]),
            role(&plane, "gateway", &["--serve".to_owned(), gateway.clone()]),
        ];
        plane.settled(5);

        let mut info = None;
        wait_until("the platform tells its keys", || {
            info = status(&plane);
            info.is_some()
        });
        let info = info.unwrap();
        let call = |method: Method, path: &str, key: &str| {
            let key = info[key].as_str().unwrap();
            let call = Call::new(method, &format!("{}{path}", info["url"].as_str().unwrap()));
            call.header("apikey", key).header("authorization", &format!("Bearer {key}"))
        };
        let person = json!({ "email": "ann@example.com", "password": "correct horse battery" });
        call(Method::POST, "/auth/v1/signup", "anon_key").json(person).send().await.expect(200);
        call(Method::GET, "/rest/v1/", "service_role_key").send().await.expect(200);
        let bucket = json!({ "name": "pictures" });
        call(Method::POST, "/storage/v1/bucket", "service_role_key").json(bucket).send().await.expect(200);
        Call::new(Method::GET, info["console_url"].as_str().unwrap()).send().await.expect(303);
        Call::new(Method::GET, &format!("http://{console}/")).send().await.expect(401);
    });
}
