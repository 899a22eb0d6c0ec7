//! A store, replicas of the control plane, and proxies under it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base::Random;
use common::Outbound;
use meshbase::postgres::{Server, Spec};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::joining::wait_for_answer;
use crate::mesh::support::{Origin, Sample, client, get, load};
use crate::support::binary;
use crate::support::process::{folder, wait_until};

/// A port that is free now: for what must come back at the same place.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server of its own, which can be stopped and started.
pub struct Store {
    server: Option<Server>,
    spec: Spec,
    _folder: tempfile::TempDir,
}

impl Store {
    pub async fn start() -> Store {
        let folder = folder();
        let spec = Spec {
            folder: folder.path().join("store"),
            sockets: folder.path().join(".s"),
            port: free_port(),
            tcp: true,
            ephemeral: true,
            executable: binary(),
            bin: None,
        };
        let mut store = Store { server: None, spec, _folder: folder };
        store.begin().await;
        store
    }

    pub async fn begin(&mut self) {
        let server = Server::start(self.spec.clone(), &Random::system()).await;
        self.server = Some(server.expect("the store starts"));
    }

    pub async fn stop(&mut self) {
        self.server.take().expect("it runs").stop().await;
    }

    /// A connection of our own.
    pub async fn connect(&self) -> PgConnection {
        let admin = self.server.as_ref().expect("it runs").admin();
        PgConnection::connect_with(&common::db::options(admin)).await.expect("the store lets us in")
    }

    pub fn url(&self) -> String {
        self.server.as_ref().expect("it runs").admin().url().expose().to_owned()
    }
}

/// A running process that prints one line of JSON when it serves.
pub struct Running {
    child: Child,
    said: Value,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_default();
        assert_ne!(said, Value::Null, "it does not start: {command:?}");
        Running { child, said }
    }

    /// What it printed when it began.
    pub fn said(&self, key: &str) -> &str {
        self.said[key].as_str().expect("it said so")
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, to its end; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it is ours").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A control plane with one store, one replica or more, and a folder for everything.
pub struct Plane {
    pub store: Store,
    pub replicas: Vec<Option<Running>>,
    pub folder: tempfile::TempDir,
    ports: Vec<[u16; 2]>,
    /// Further flags of every replica.
    pub flags: Vec<String>,
}

impl Plane {
    pub async fn start(replicas: usize, flags: &[&str]) -> Plane {
        let mut plane = Plane::prepare(replicas).await;
        plane.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        for number in 0..replicas {
            plane.begin(number);
        }
        plane
    }

    /// The same before any replica runs.
    pub async fn prepare(replicas: usize) -> Plane {
        let ports = (0..replicas).map(|_| [free_port(), free_port()]).collect();
        let (store, folder) = (Store::start().await, folder());
        let replicas = (0..replicas).map(|_| None).collect();
        Plane { store, replicas, folder, ports, flags: Vec::new() }
    }

    /// Starts a replica, on the ports that it always has.
    pub fn begin(&mut self, number: usize) {
        self.replicas[number] = Some(Running::start(&mut self.replica(number)));
    }

    /// The command of a replica.
    pub fn replica(&self, number: usize) -> Command {
        let [control, join] = self.ports[number];
        let mut command = Command::new(binary());
        command.args(["control", "--json", "--probes", "127.0.0.1:0", "--database-url", &self.store.url()]);
        command.args([
            "--listen",
            &format!("127.0.0.1:{control}"),
            "--join-listen",
            &format!("127.0.0.1:{join}"),
        ]);
        command.arg("--master-key").arg(self.path("master.key")).arg("--admin").arg(self.admin(number));
        command.args(&self.flags);
        command
    }

    /// What `meshbase init` writes, in the folder `secrets`, for this store and every replica from now on.
    pub fn init(&mut self) {
        for owner in ["control", "platform"] {
            let folder = self.path("secrets").join(owner);
            std::fs::create_dir_all(&folder).unwrap();
            // the store has a password already: what is there stays as it is
            std::fs::write(folder.join("database.url"), self.store.url()).unwrap();
        }
        let mut command = Command::new(binary());
        assert!(command.args(["init", "--out"]).arg(self.path("secrets")).status().unwrap().success());
        std::fs::copy(self.secret("control/master.key"), self.path("master.key")).unwrap();
        self.flags = vec!["--bootstrap".to_owned(), self.secret("control/bootstrap.json")];
    }

    /// The path of a file of `init`.
    pub fn secret(&self, name: &str) -> String {
        self.path("secrets").join(name).to_string_lossy().into_owned()
    }

    /// The token that `init` wrote for `service`.
    pub fn first_token(&self, service: &str) -> String {
        std::fs::read_to_string(self.secret(&format!("{service}/join.token"))).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn admin(&self, number: usize) -> PathBuf {
        self.path(&format!("control-{number}.sock"))
    }

    /// `meshbase mesh …` at the first replica that runs.
    pub fn try_mesh(&self, arguments: &[&str]) -> Output {
        let number = self.replicas.iter().position(Option::is_some).expect("a replica runs");
        let mut command = Command::new(binary());
        command.args(["mesh", "--output", "json", "--admin"]).arg(self.admin(number)).args(arguments);
        command.output().expect("the binary starts")
    }

    /// The same, which must succeed; its answer.
    #[track_caller]
    pub fn mesh(&self, arguments: &[&str]) -> Value {
        let output = self.try_mesh(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }

    /// Puts documents in force.
    #[track_caller]
    pub fn apply(&self, text: &str) -> Value {
        let file = self.path("applied.yaml");
        std::fs::write(&file, text).unwrap();
        self.mesh(&["apply", "--file", file.to_str().unwrap()])
    }

    /// A new token for `service`.
    pub fn token(&self, service: &str) -> String {
        self.mesh(&["token", "make", service])["token"].as_str().unwrap().to_owned()
    }

    /// Where a replica listens: `control` or `join`.
    pub fn address(&self, number: usize, door: &str) -> String {
        let [control, join] = self.ports[number];
        format!("127.0.0.1:{}", if door == "join" { join } else { control })
    }

    fn addresses(&self, door: &str) -> String {
        let all: Vec<String> = (0..self.ports.len()).map(|number| self.address(number, door)).collect();
        all.join(",")
    }

    /// The command of a proxy for `service` that joins with `token`. `name` is its own: of one service there may be
    /// several.
    pub fn proxy(&self, name: &str, service: &str, token: &str, more: &[&str]) -> Command {
        let file = self.path(&format!("{name}.token"));
        std::fs::write(&file, token).unwrap();
        let mut command = Command::new(binary());
        command.args(["sidecar", "--json", "--service", service, "--control", &self.addresses("control")]);
        command.args(["--join", &self.addresses("join"), "--join-token"]).arg(file);
        command.arg("--state").arg(self.path(&format!("{name}.state"))).args(more);
        command
    }

    /// A proxy that is called: before a program at `program`.
    pub fn callee(&self, name: &str, service: &str, program: &str) -> Running {
        let token = self.token(service);
        let more = ["--program-at", program, "--inbound", "127.0.0.1:0"];
        Running::start(&mut self.proxy(name, service, &token, &more))
    }

    /// A proxy that only calls, on a socket.
    pub fn caller(&self, service: &str) -> Caller {
        let socket = self.path(&format!("{service}.out"));
        let token = self.token(service);
        let mut command = self.proxy(service, service, &token, &[]);
        command.arg("--outbound").arg(format!("unix:{}", socket.display()));
        Caller { proxy: Running::start(&mut command), command, socket }
    }

    /// `echo` behind a proxy of its own, and `web`, which calls it and is answered.
    pub async fn echoing(&self) -> (Origin, Running, Caller) {
        self.apply(ECHO);
        let origin = Origin::start().await;
        let echo = self.callee("echo", "echo", &origin.address.to_string());
        let web = self.caller("web");
        wait_for_answer(&web).await;
        (origin, echo, web)
    }

    /// Has `echo` answer 418 by a document, and waits until who calls it is told so.
    pub async fn steers(&self, calls: &Outbound) {
        self.apply("kind: Fault\nname: stop\nspec: { service: echo, route: '*', fault: { abort: 418 } }");
        let started = Instant::now();
        while get(calls, "http://echo.mesh/").await.map(|status| status.as_u16()) != Some(418) {
            assert!(started.elapsed() < 5 * SECOND, "it does not steer");
        }
    }

    /// Waits until every proxy has what it should have.
    pub fn settled(&self, proxies: usize) -> Value {
        let mut status = Value::Null;
        wait_until("every proxy has what it should have", || {
            status = serde_json::from_slice(&self.try_mesh(&["check"]).stdout).unwrap_or_default();
            let all = status["proxies"].as_array().map_or(0, Vec::len);
            all == proxies && status["problems"].as_array().is_some_and(Vec::is_empty)
        });
        status
    }

    /// Waits until `count` endpoints of `service` are known.
    pub fn found(&self, service: &str, count: usize) {
        wait_until(&format!("{count} of {service} are found"), || {
            let answer = self.mesh(&["endpoints"]);
            let all = answer["endpoints"].as_array().unwrap();
            all.iter().filter(|one| one["service"] == service).count() == count
        });
    }
}

/// A proxy that only calls.
pub struct Caller {
    pub proxy: Running,
    command: Command,
    socket: PathBuf,
}

impl Caller {
    pub fn calls(&self) -> Outbound {
        client(&self.socket)
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Kills it and starts it again on what it kept.
    pub fn restart(self) -> Caller {
        let Caller { proxy, mut command, socket } = self;
        proxy.kill();
        let proxy = Running::start(&mut command);
        Caller { proxy, command, socket }
    }
}

/// The documents of a service `echo` that `web` may call, on unary and upgrade routes.
pub const ECHO: &str = "\
kind: Service
name: echo
spec:
  callers: [web]
  routes:
    - { path: /ws, kind: upgrade, response_ms: 5000, idle_ms: 600000, life_ms: 600000 }
    - { kind: unary, deadline_ms: 5000 }
---
kind: Service
name: web
spec: {}
";

/// A hundred requests a second to `echo`, beside whatever else the test does: it may block.
pub fn traffic(calls: &Outbound, seconds: u64) -> tokio::task::JoinHandle<Vec<Sample>> {
    let calls = calls.clone();
    tokio::spawn(async move { load(&calls, "http://echo.mesh/", 100, Duration::from_secs(seconds)).await })
}

pub const SECOND: Duration = Duration::from_secs(1);
