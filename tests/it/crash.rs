//! `kill -9` during writes and uploads: what was acknowledged is there, whole, and no server is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use serde_json::json;

use crate::support::process::{Process, folder, servers_on, wait_until};
use crate::support::run;

const SCHEMA: &str = "
    create table public.rows (id text primary key);
    alter table public.rows enable row level security;
    insert into storage.buckets (id, name, public) values ('files', 'files', false);
";
/// Writers at once, half of them of rows and half of files.
const WRITERS: usize = 6;

#[test]
fn what_was_acknowledged_survives_kill_nine() {
    survive(4);
}

#[test]
#[ignore = "long: make test-full"]
fn what_was_acknowledged_survives_kill_nine_twenty_times() {
    survive(20);
}

fn survive(rounds: usize) {
    let project = folder();
    std::fs::create_dir_all(project.path().join("supabase/migrations")).unwrap();
    std::fs::write(project.path().join("supabase/migrations/20260101_rows.sql"), SCHEMA).unwrap();
    let (data, workdir) = (folder(), project.path().to_str().unwrap().to_owned());
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let up = Arc::new(Process::up(data.path(), &["--workdir", &workdir]));
        run(check(&up, &acknowledged));
        let mut fresh = Vec::new();
        run(async { fresh = write_until_killed(up, round).await });
        assert!(!fresh.is_empty(), "nothing was acknowledged before the kill");
        acknowledged.extend(fresh);
        wait_until("no server is left", || servers_on(data.path()).is_empty());
    }
    let up = Process::up(data.path(), &["--workdir", &workdir]);
    run(check(&up, &acknowledged));
}

/// An acknowledged write.
enum Written {
    Row(String),
    File(String, Vec<u8>),
}

/// Writes from several tasks, kills the process in their midst, and returns what was acknowledged.
async fn write_until_killed(up: Arc<Process>, round: usize) -> Vec<Written> {
    let enough = 10 + round * 3;
    let count = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (up, count) = (up.clone(), count.clone());
            tokio::spawn(async move {
                let mut written = Vec::new();
                for n in 0.. {
                    let name = format!("{round}-{writer}-{n}");
                    let call = if writer % 2 == 0 {
                        up.call(Method::POST, "/rest/v1/rows", "service_role_key").json(json!({"id": name}))
                    } else {
                        let path = format!("/storage/v1/object/files/{name}");
                        up.call(Method::POST, &path, "service_role_key")
                            .header("content-type", "application/octet-stream")
                            .body(content(&name))
                    };
                    match call.try_send().await {
                        Ok(reply) if reply.status.is_success() => {}
                        // the process is gone
                        _ => break,
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    let content = content(&name);
                    written.push(if writer % 2 == 0 {
                        Written::Row(name)
                    } else {
                        Written::File(name, content)
                    });
                }
                written
            })
        })
        .collect();
    while count.load(Ordering::Relaxed) < enough {
        tokio::task::yield_now().await;
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(up.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let mut all = Vec::new();
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    all
}

/// 100 to 400 kB that only this name has.
fn content(name: &str) -> Vec<u8> {
    let length = 100_000 + name.bytes().map(usize::from).sum::<usize>() * 300;
    name.bytes().cycle().take(length).collect()
}

async fn check(up: &Process, acknowledged: &[Written]) {
    let reply = up.call(Method::GET, "/rest/v1/rows?select=id&limit=100000", "service_role_key").send().await;
    let rows = reply.expect(200).json();
    let rows: Vec<&str> = rows.as_array().unwrap().iter().filter_map(|row| row["id"].as_str()).collect();
    for written in acknowledged {
        match written {
            Written::Row(id) => assert!(rows.contains(&id.as_str()), "row {id} is lost"),
            Written::File(name, content) => {
                let path = format!("/storage/v1/object/files/{name}");
                let reply = up.call(Method::GET, &path, "service_role_key").send().await.expect(200);
                assert!(reply.body == *content, "file {name} is not whole");
            }
        }
    }
}
