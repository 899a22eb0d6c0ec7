//! `up --mesh`: a whole installation as processes behind sidecars.

use std::path::Path;
use std::process::Command;

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::process::{Process, folder, servers_on, wait_until};
use crate::support::{binary, run};

/// Our own processes that work below `data_dir`, with their arguments.
fn processes_on(data_dir: &Path) -> Vec<(i32, String)> {
    let below = data_dir.to_string_lossy().into_owned();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let numbered = all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    });
    numbered.filter(|(_, line)| line.contains(&below) && line.contains("meshbase ")).collect()
}

fn mesh(data_dir: &Path, arguments: &[&str]) -> Value {
    let mut command = Command::new(binary());
    command
        .args(["mesh", "--output", "json", "--admin"])
        .arg(data_dir.join("mesh/control.sock"))
        .args(arguments);
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap_or_default()
}

/// The pairs of services of which the one called the other, both with an identity.
fn edges(data_dir: &Path) -> Vec<String> {
    let graph = mesh(data_dir, &["graph"]);
    let edges = graph["edges"].as_array().cloned().unwrap_or_default();
    let inbound = edges.iter().filter(|edge| edge["side"] == "inbound" && edge["success"] == 1.0);
    let mut names: Vec<String> = inbound
        .map(|edge| {
            let [source, destination] = ["source_identity", "destination_identity"].map(|key| {
                edge[key].as_str().unwrap().strip_prefix("spiffe://meshbase.local/").unwrap().to_owned()
            });
            format!("{source} > {destination}")
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

async fn works(up: &Process) -> bool {
    let body = json!({ "email": "a@example.com", "password": "correct horse battery" });
    let signed = up.call(Method::POST, "/auth/v1/signup", "anon_key").json(body).send().await;
    let (signed, session) = (signed.status, signed.json());
    // whose token it is, data asks auth about
    let token = format!("Bearer {}", session["access_token"].as_str().unwrap_or_default());
    let asked = up.call(Method::GET, "/rest/v1/things", "anon_key").without("authorization");
    asked.header("authorization", &token).send().await;
    let read = up.call(Method::GET, "/rest/v1/", "service_role_key").send().await.status;
    let listed = up.call(Method::GET, "/storage/v1/bucket", "service_role_key").send().await.status;
    !signed.is_server_error() && read.is_success() && listed.is_success()
}

#[test]
fn an_installation_runs_as_processes_behind_sidecars() {
    run(async {
        let folder = folder();
        let data_dir = folder.path().join("data");
        let up = Process::up(&data_dir, &["--mesh"]);
        assert!(works(&up).await);

        wait_until("the graph shows who called whom", || {
            let edges = edges(&data_dir);
            ["gateway > auth", "gateway > data", "gateway > storage", "data > platform", "data > auth"]
                .iter()
                .all(|edge| edges.contains(&(*edge).to_owned()))
        });
        let check = mesh(&data_dir, &["check"]);
        assert_eq!(check["problems"], json!([]));
        assert_eq!(check["proxies"].as_array().unwrap().len(), 5);

        // a program that dies takes its sidecar along, and both come back
        let data = |line: &str| line.contains(" data --serve");
        let (pid, _) = processes_on(&data_dir).into_iter().find(|(_, line)| data(line)).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        wait_until("it is there again", || {
            processes_on(&data_dir).iter().any(|(other, line)| data(line) && *other != pid)
        });
        let started = std::time::Instant::now();
        while !works(&up).await {
            assert!(started.elapsed().as_secs() < 30, "it does not work again");
        }

        assert_eq!(up.stop(), Some(0));
        assert_eq!(processes_on(&data_dir), []);
        assert_eq!(servers_on(&data_dir), Vec::<std::path::PathBuf>::new());
    });
}

#[test]
fn an_installation_starts_again_on_its_folder_and_dies_as_a_whole() {
    run(async {
        let folder = folder();
        let data_dir = folder.path().join("data");
        assert_eq!(Process::up(&data_dir, &["--mesh"]).stop(), Some(0));

        let up = Process::up(&data_dir, &["--mesh"]);
        assert!(works(&up).await);
        up.kill();

        wait_until("nothing of it is left", || {
            processes_on(&data_dir).is_empty() && servers_on(&data_dir).is_empty()
        });
    });
}
