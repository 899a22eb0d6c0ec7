//! Trouble with the database: the right error while it lasts, an answer soon after, and nothing of one request in the next.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::{assert_refused, rest};
use crate::support::process::{Process, eventually, folder};
use crate::support::{Actor, App, run};

const SCHEMA: &str = "
    create table public.notes (id int primary key, note text);
    insert into public.notes values (1, 'a');
    create function public.doze(seconds float) returns int language sql as 'select 1 from pg_sleep(seconds)';
    create function public.hurry() returns void language sql set statement_timeout = '50ms'
        as 'select pg_sleep(60)';
    create function public.whoami() returns json language sql as $$
        select json_build_object('role', current_user, 'sub', auth.uid(), 'timeout', current_setting('statement_timeout'),
            'left', nullif(current_setting('app.left', true), '')) $$;
    create function public.leave_and_doze(seconds float) returns int language sql as $$
        select set_config('app.left', 'yes', false); select 1 from pg_sleep(seconds) $$;
";
/// How soon after the database is back everything must be as before.
const RECOVERY: Duration = Duration::from_secs(5);

async fn whoami(actor: &Actor) -> Value {
    actor.post(&rest("rpc/whoami")).json(json!({})).send().await.expect(200).json()
}

#[test]
fn a_statement_that_takes_too_long_is_ended_and_leaves_nothing() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        let before = whoami(&service).await;
        for _ in 0..20 {
            let ended = service.post(&rest("rpc/hurry")).json(json!({})).send().await;
            assert_refused(&ended, 500, "57014");
            assert_eq!(whoami(&service).await, before);
        }
    });
}

#[test]
fn connections_that_break_in_use_are_the_databases_fault_and_are_replaced() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        let before = whoami(&service).await;
        let running =
            "select count(*) from pg_stat_activity where query like '%leave_and_doze%' and state = 'active'
            and pid <> pg_backend_pid() and datname = current_database()";
        for _ in 0..5 {
            let broken = tokio::spawn({
                let call = service.post(&rest("rpc/leave_and_doze")).json(json!({"seconds": 30}));
                async move { call.send().await }
            });
            eventually("the statement runs", async || app.value(running).await == json!(1)).await;
            app.value(&running.replace("count(*)", "count(pg_terminate_backend(pid))")).await;
            let broken = broken.await.unwrap();
            assert_eq!(broken.status, 503, "{}", broken.text());
            assert_eq!(broken.header("retry-after"), "1");
            assert_eq!(whoami(&service).await, before);
        }
        // those that nobody used when they broke
        app.value(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
        for _ in 0..20 {
            assert_eq!(whoami(&service).await, before);
        }
    });
}

#[test]
fn a_function_that_forgets_statements_costs_its_connection_and_no_more() {
    run(async {
        let app = App::with(SCHEMA).await;
        app.sql("create function public.deallocate() returns int language plpgsql as $$ begin execute 'deallocate all'; return 1; end $$").await;
        let service = app.service();
        let before = whoami(&service).await;
        for _ in 0..3 {
            // whether this one fails depends on what its connection knew
            service.post(&rest("rpc/deallocate")).json(json!({})).send().await;
        }
        let mut failed = 0;
        for _ in 0..40 {
            let reply = service.post(&rest("rpc/whoami")).json(json!({})).send().await;
            match reply.status.as_u16() {
                200 => assert_eq!(reply.json(), before),
                _ => failed += 1,
            }
        }
        assert!(failed <= 3, "{failed} requests met a connection that has forgotten");
        assert_eq!(whoami(&service).await, before);
    });
}

#[test]
fn who_finds_every_connection_busy_is_told_so_in_time() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        whoami(&service).await;
        // more than there are connections, for longer than anybody waits for one
        let dozing: Vec<_> = (0..24)
            .map(|_| {
                let call = service.post(&rest("rpc/doze")).json(json!({"seconds": 8}));
                tokio::spawn(async move { call.send().await })
            })
            .collect();
        let mut answers = Vec::new();
        for dozing in dozing {
            answers.push(dozing.await.unwrap());
        }

        let (served, others): (Vec<_>, Vec<_>) = answers.iter().partition(|reply| reply.status == 200);
        assert!(!served.is_empty() && !others.is_empty(), "{} of {} served", served.len(), answers.len());
        for other in others {
            assert_refused(other, 504, "PGRST003");
            assert_eq!(other.header("retry-after"), "1");
        }
        assert_eq!(whoami(&service).await["left"], json!(null));
    });
}

#[test]
fn a_schema_that_changes_under_load_fails_nobody() {
    run(async {
        let app = App::with(SCHEMA).await;
        let service = app.service();
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (service, stop) = (service.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut statuses = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let reply = service.get(&rest("notes?select=*&id=eq.1")).send().await;
                        statuses.push((reply.status.as_u16(), reply.text()));
                    }
                    statuses
                })
            })
            .collect();
        for n in 0..10 {
            app.sql(&format!("alter table public.notes add column c{n} int default {n}")).await;
            let row = json!({"id": n + 10, (format!("c{n}")): 5});
            let written = async || service.post(&rest("notes")).json(row.clone()).send().await.status == 201;
            eventually("the column is known", written).await;
            app.sql(&format!("alter table public.notes drop column c{n}")).await;
        }
        stop.store(true, Ordering::Relaxed);
        let mut count = 0;
        for reader in readers {
            for (status, text) in reader.await.unwrap() {
                assert_eq!(status, 200, "{text}");
                count += 1;
            }
        }
        assert!(count > 50, "{count} reads");
    });
}

#[test]
fn a_server_that_is_killed_is_back_within_five_seconds() {
    let (data, project) = (folder(), folder());
    std::fs::create_dir_all(project.path().join("supabase/migrations")).unwrap();
    std::fs::write(project.path().join("supabase/migrations/20260101_notes.sql"), SCHEMA).unwrap();
    let up = Process::up(data.path(), &["--workdir", project.path().to_str().unwrap()]);
    run(async {
        let read = async || up.call(Method::GET, "/rest/v1/notes?select=id", "service_role_key").send().await;
        assert_eq!(read().await.json(), json!([{"id": 1}]));
        for _ in 0..2 {
            let servers = postmasters(data.path());
            assert!(!servers.is_empty(), "the project has a server");
            for pid in servers {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
            let gone = Instant::now();
            loop {
                let reply = read().await;
                if reply.status == 200 {
                    assert_eq!(reply.json(), json!([{"id": 1}]));
                    break;
                }
                assert!(matches!(reply.status.as_u16(), 503 | 504), "{}: {}", reply.status, reply.text());
                assert!(gone.elapsed() < RECOVERY, "not back after {:?}: {}", gone.elapsed(), reply.text());
            }
            println!("back after {:?}", gone.elapsed());
        }
    });
}

/// The servers of the projects in a data folder, by the files that they leave in theirs.
fn postmasters(folder: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(postmasters(&entry.path()));
        } else if entry.file_name() == "postmaster.pid" {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            found.extend(text.lines().next().and_then(|line| line.parse::<i32>().ok()));
        }
    }
    found
}
