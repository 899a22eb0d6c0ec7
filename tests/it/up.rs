//! `meshbase up` as a process: what it prints, what it refuses, what it leaves behind.

use std::net::TcpListener;

use http::Method;
use serde_json::json;
use sqlx::Connection;

use crate::support::process::{Process, folder, servers_on, wait_until};
use crate::support::run;

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_first_line_tells_everything_and_the_second_start_finds_it_again() {
    let folder = folder();
    let first = Process::up(folder.path(), &["--db-port", "0"]);
    for key in ["url", "anon_key", "service_role_key", "jwt_secret", "db_url", "console_url"] {
        assert!(!first.text(key).is_empty(), "{key}");
    }
    let keys = (first.info["anon_key"].clone(), first.info["jwt_secret"].clone());
    run(async {
        let body = json!({"email": "ann@example.com", "password": "correct horse"});
        first.call(Method::POST, "/auth/v1/signup", "anon_key").json(body).send().await.expect(200);
    });

    assert_eq!(first.stop(), Some(0));
    assert!(servers_on(folder.path()).is_empty(), "a server is left behind");

    let second = Process::up(folder.path(), &[]);
    assert_eq!((second.info["anon_key"].clone(), second.info["jwt_secret"].clone()), keys);
    run(async {
        let body = json!({"email": "ann@example.com", "password": "correct horse"});
        let path = "/auth/v1/token?grant_type=password";
        second.call(Method::POST, path, "anon_key").json(body).send().await.expect(200);
    });
}

#[test]
fn status_repeats_it_for_the_owner_of_the_folder() {
    let folder = folder();
    let up = Process::up(folder.path(), &[]);
    let status = |data_dir: &std::path::Path| {
        let mut command = std::process::Command::new(crate::support::binary());
        command.args(["status", "--json", "--data-dir"]).arg(data_dir).output().expect("the binary starts")
    };

    let told = status(folder.path());
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&told.stdout).unwrap(), up.info);

    let elsewhere = status(&folder.path().join("nothing"));
    assert!(text(&elsewhere).contains("nothing runs on"), "{}", text(&elsewhere));
    assert!(text(&elsewhere).contains("meshbase up"), "{}", text(&elsewhere));

    up.kill();
    let killed = status(folder.path());
    assert!(folder.path().join("admin.sock").exists(), "it had no time to remove its socket");
    assert!(text(&killed).contains("nothing runs on"), "{}", text(&killed));
}

#[test]
fn a_second_up_on_the_same_folder_is_refused() {
    let folder = folder();
    let _up = Process::up(folder.path(), &[]);

    let refused = text(&Process::refused(folder.path(), &[]));

    assert!(refused.contains("another meshbase runs on"), "{refused}");
    assert_eq!(refused.trim().lines().count(), 1, "{refused}");
}

#[test]
fn a_taken_port_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = folder();

    for flag in ["--console-port", "--metrics-port", "--db-port"] {
        let refused = text(&Process::refused(folder.path(), &[flag, &port]));
        assert!(refused.contains(&port) && refused.contains(flag), "{refused}");
    }
}

#[test]
fn a_data_folder_of_another_postgresql_is_refused() {
    let folder = folder();
    Process::up(folder.path(), &[]).stop();
    let version = folder.path().join("postgres/default/data/PG_VERSION");
    std::fs::write(&version, "11\n").unwrap();

    let refused = text(&Process::refused(folder.path(), &[]));

    assert!(
        refused.contains("PostgreSQL 11") && refused.contains("apt-get install postgresql-11"),
        "{refused}"
    );
}

#[test]
fn a_missing_server_binary_is_named_with_what_to_do() {
    let folder = folder();

    let refused = text(&Process::refused(folder.path(), &["--pg-bin", "/nonexistent"]));

    assert!(refused.contains("/nonexistent holds no PostgreSQL server"), "{refused}");
}

#[test]
fn an_unreadable_project_folder_says_what_is_wrong() {
    let (folder, project) = (folder(), folder_with("config.toml", "[api\nschemas = 1"));
    let path = project.path().to_str().unwrap();
    let refused = text(&Process::refused(folder.path(), &["--workdir", path]));
    assert!(refused.contains("config.toml") && refused.contains("line 1"), "{refused}");

    let project = folder_with(
        "migrations/20260101_one.sql",
        "create table a ();\n\ncreate table public.b (x nonsense);",
    );
    let path = project.path().to_str().unwrap();
    let refused = text(&Process::refused(folder.path(), &["--workdir", path]));
    assert!(refused.contains("20260101_one.sql:3") && refused.contains("nonsense"), "{refused}");

    let refused = text(&Process::refused(folder.path(), &["--workdir", "/nonexistent"]));
    assert!(refused.contains("no folder `supabase`"), "{refused}");
}

#[test]
fn a_missing_extension_names_the_way_round_and_the_way_works() {
    let project = folder_with(
        "migrations/20260101_one.sql",
        "create extension if not exists \"no_such_extension\" with schema extensions;\ncreate table public.a (id int);",
    );
    let (folder, path) = (folder(), project.path().to_str().unwrap().to_owned());

    let refused = text(&Process::refused(folder.path(), &["--workdir", &path]));
    assert!(refused.contains("20260101_one.sql:1"), "{refused}");
    assert!(refused.contains("--skip-extension no_such_extension"), "{refused}");

    let up = Process::up(folder.path(), &["--workdir", &path, "--skip-extension", "no_such_extension"]);
    run(async {
        up.call(Method::GET, "/rest/v1/a", "service_role_key").send().await.expect(200);
    });
}

#[test]
fn migrations_are_applied_once_in_order_and_the_seed_once() {
    let project = folder_with("migrations/20260102_rows.sql", "insert into public.a values ('migrated');");
    let supabase = project.path().join("supabase");
    let create = "create table public.a (what text); alter table public.a enable row level security;
        alter role authenticator set pgrst.db_aggregates_enabled to 'true';";
    std::fs::write(supabase.join("migrations/20260101_table.sql"), create).unwrap();
    std::fs::write(supabase.join("seed.sql"), "insert into public.a values ('seeded');").unwrap();
    let (folder, path) = (folder(), project.path().to_str().unwrap().to_owned());
    let rows = |up: &Process| {
        let call = up.call(Method::GET, "/rest/v1/a?select=what&order=what", "service_role_key");
        let mut rows = serde_json::Value::Null;
        run(async { rows = call.send().await.expect(200).json() });
        rows
    };
    let both = json!([{"what": "migrated"}, {"what": "seeded"}]);

    let up = Process::up(folder.path(), &["--workdir", &path]);
    assert_eq!(rows(&up), both);
    let counted = up.call(Method::GET, "/rest/v1/a?select=count()", "service_role_key");
    run(async { assert_eq!(counted.send().await.expect(200).json(), json!([{"count": 2}])) });
    up.stop();
    let up = Process::up(folder.path(), &["--workdir", &path]);
    assert_eq!(rows(&up), both);
}

#[test]
fn a_migration_that_fails_first_does_not_cost_the_seed() {
    let project = folder_with("migrations/20260101_table.sql", "create table public.a (what nonsense);");
    let supabase = project.path().join("supabase");
    std::fs::write(supabase.join("seed.sql"), "insert into public.a values ('seeded');").unwrap();
    let (folder, path) = (folder(), project.path().to_str().unwrap().to_owned());
    let rows = |up: &Process| {
        let call = up.call(Method::GET, "/rest/v1/a", "service_role_key");
        let mut rows = serde_json::Value::Null;
        run(async { rows = call.send().await.expect(200).json() });
        rows
    };

    let refused = text(&Process::refused(folder.path(), &["--workdir", &path]));
    assert!(refused.contains("nonsense"), "{refused}");
    std::fs::write(supabase.join("migrations/20260101_table.sql"), "create table public.a (what text);")
        .unwrap();
    std::fs::write(supabase.join("seed.sql"), "insert into public.a values ('half'); select nonsense;")
        .unwrap();
    let refused = text(&Process::refused(folder.path(), &["--workdir", &path]));
    assert!(refused.contains("seed.sql:1"), "{refused}");
    std::fs::write(supabase.join("seed.sql"), "insert into public.a values ('seeded');").unwrap();

    for _ in 0..2 {
        let up = Process::up(folder.path(), &["--workdir", &path]);
        assert_eq!(rows(&up), json!([{"what": "seeded"}]));
        up.stop();
    }
}

#[test]
fn a_database_that_comes_with_a_history_is_not_seeded() {
    let history = "create schema supabase_migrations;
        create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text);
        create table public.a (what text);";
    let project = folder_with("seed.sql", "insert into public.a values ('seeded');");
    let (folder, path) = (folder(), project.path().to_str().unwrap().to_owned());
    let up = Process::up(folder.path(), &[]);
    run(async {
        let mut owner = sqlx::PgConnection::connect(up.text("db_url")).await.unwrap();
        sqlx::raw_sql(history).execute(&mut owner).await.unwrap();
    });
    up.stop();

    let up = Process::up(folder.path(), &["--workdir", &path]);

    run(async {
        let rows = up.call(Method::GET, "/rest/v1/a", "service_role_key").send().await.expect(200);
        assert_eq!(rows.json(), json!([]));
    });
}

#[test]
fn an_ephemeral_installation_leaves_nothing() {
    let up = std::process::Command::new(crate::support::binary())
        .args(["up", "--json", "--listen", "127.0.0.1:0", "--ephemeral"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut up = up.expect("the binary starts");
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(up.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let info: serde_json::Value = serde_json::from_str(&line).unwrap();
    let folder = std::path::PathBuf::from(info["data_dir"].as_str().unwrap());
    assert!(folder.exists());

    let pid = rustix::process::Pid::from_child(&up);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();

    assert!(up.wait().unwrap().success());
    assert!(!folder.exists());
}

#[test]
fn killed_with_nine_it_takes_its_servers_along() {
    let folder = folder();
    let up = Process::up(folder.path(), &[]);
    assert_eq!(servers_on(folder.path()).len(), 2, "the platform's and the default project's");

    up.kill();

    wait_until("no server is left", || servers_on(folder.path()).is_empty());
}

#[test]
fn a_second_project_comes_to_life_on_first_use_with_keys_of_its_own() {
    let folder = folder();
    let up = Process::up(folder.path(), &[]);
    let create = std::process::Command::new(crate::support::binary())
        .args(["projects", "create", "shop", "--json", "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(create.status.success(), "{}", text(&create));
    let shop: serde_json::Value = serde_json::from_slice(&create.stdout).unwrap();
    up.stop();

    let up = Process::up(folder.path(), &[]);
    assert_eq!(servers_on(folder.path()).len(), 2, "shop sleeps");
    run(async {
        let key = shop["publishable_key"].as_str().unwrap();
        let body = json!({"email": "ann@example.com", "password": "correct horse"});
        let call = crate::support::Call::new(Method::POST, &format!("{}/auth/v1/signup", up.text("url")));
        call.header("apikey", key).json(body).send().await.expect(200);
    });
    assert_eq!(servers_on(folder.path()).len(), 3);
}

#[test]
fn a_project_whose_folder_fails_has_its_keys_and_is_repaired_with_apply() {
    let project = folder_with("migrations/20260101_one.sql", "create table public.a (x nonsense);");
    let supabase = project.path().join("supabase");
    std::fs::write(supabase.join("seed.sql"), "insert into public.a values (1);").unwrap();
    let folder = folder();
    let up = Process::up(folder.path(), &[]);
    let projects = |arguments: &[&str]| {
        let mut command = std::process::Command::new(crate::support::binary());
        command.arg("projects").args(arguments).arg("--workdir").arg(project.path());
        command.arg("--data-dir").arg(folder.path()).output().expect("the binary starts")
    };

    let create = projects(&["create", "shop", "--json"]);
    let shop: serde_json::Value = serde_json::from_slice(&create.stdout).unwrap();
    let key = shop["secret_key"].as_str().unwrap();
    assert!(!create.status.success());
    assert!(text(&create).contains("20260101_one.sql:1"), "{}", text(&create));
    let again = format!("meshbase projects apply shop --workdir {}", project.path().display());
    assert!(text(&create).contains(&again), "{}", text(&create));
    let table = projects(&["create", "plain"]);
    assert!(
        !table.status.success()
            && String::from_utf8_lossy(&table.stdout).contains("secret key        sb_secret_")
    );

    std::fs::write(supabase.join("migrations/20260101_one.sql"), "create table public.a (x int);").unwrap();
    for _ in 0..2 {
        let apply = projects(&["apply", "shop"]);
        assert!(apply.status.success(), "{}", text(&apply));
    }
    run(async {
        let call = crate::support::Call::new(Method::GET, &format!("{}/rest/v1/a", up.text("url")));
        let rows = call.header("apikey", key).send().await.expect(200);
        assert_eq!(rows.json(), json!([{"x": 1}]));
    });
    let nobody = projects(&["apply", "nobody"]);
    assert!(!nobody.status.success() && text(&nobody).contains("no project nobody"), "{}", text(&nobody));
}

/// A project folder with one file in `supabase/`.
fn folder_with(file: &str, content: &str) -> tempfile::TempDir {
    let folder = folder();
    let path = folder.path().join("supabase").join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::create_dir_all(folder.path().join("supabase/migrations")).unwrap();
    std::fs::write(path, content).unwrap();
    folder
}
