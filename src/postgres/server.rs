//! One data folder and the server on it.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use base::error::OrInternal;
use base::{Code, Error, Random, Result, Secret};
use common::project::Endpoint;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::{Binaries, Owner, make_passable, own_folder};

/// Something about the data folder or its server stops us; the message says what to do.
const POSTGRES_FAILED: Code = Code::new(500, "postgres_failed");

/// How long a server may take to accept connections; recovery after a crash is part of it.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long a fast shutdown may take before an immediate one.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two attempts to connect.
const POLL: Duration = Duration::from_millis(10);
/// A log larger than this is put aside at the next start. In bytes.
const MAX_LOG_BYTES: u64 = 16 * 1024 * 1024;
/// The superuser that our migrations run as.
const SUPERUSER: &str = "supabase_admin";

/// Added to `postgresql.conf` once, at initdb. Small: many projects share a machine.
const SETTINGS: &str = "\
# Meshbase
wal_level = logical
max_replication_slots = 10
max_wal_senders = 10
max_slot_wal_keep_size = 1GB
shared_buffers = 64MB
max_connections = 100
jit = off
log_min_messages = warning
log_line_prefix = '%m [%p] %q%u@%d '
timezone = UTC
log_timezone = UTC
";

/// Where a server is and how it is reached.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The folder of this server: `log` and `admin.password`, ours; `data/`, the server's. What the server's user can
    /// write holds nothing that we open.
    pub folder: PathBuf,
    /// The folder of UNIX sockets, shared by the servers of one installation.
    pub sockets: PathBuf,
    /// The port: the socket's name, and TCP on loopback if `tcp`. 0 takes a free one.
    pub port: u16,
    /// Whether it listens on loopback too.
    pub tcp: bool,
    /// A folder that may be lost: nothing is synced to disk.
    pub ephemeral: bool,
    /// This binary, for [`crate::exec_child`].
    pub executable: PathBuf,
    /// `--pg-bin`.
    pub bin: Option<PathBuf>,
}

/// A running server. It stops when dropped; [`Server::stop`] waits for it.
pub struct Server {
    major: u32,
    pid: Pid,
    exited: watch::Receiver<Option<ExitStatus>>,
    admin: Endpoint,
    tcp: bool,
}

impl Server {
    /// Makes the data folder if it is not there, starts the server and waits until it accepts connections.
    ///
    /// A folder that a crash left behind is recovered. Errors: a data folder of another major version, a taken port,
    /// a folder that the server's user cannot reach, a server that ended: each says what to do.
    pub async fn start(spec: Spec, random: &Random) -> Result<Server> {
        let owner = Owner::needed();
        let data = spec.folder.join("data");
        let major = data_major(&data)?;
        let binaries = Binaries::find(spec.bin.as_deref(), major)?;
        make_passable(&spec.folder, owner)?;
        own_folder(&spec.sockets, owner)?;
        check_reachable(&spec.folder, owner)?;
        let password = if major.is_none() {
            init(&spec, &binaries, owner, random).await?
        } else {
            wait_for_predecessor(&data).await?;
            Secret::new(std::fs::read_to_string(spec.folder.join("admin.password")).or_internal()?)
        };
        let port = free_port(spec.port, spec.tcp)?;
        let arguments = arguments(&spec, &data, port);
        let log = open_log(&spec.folder)?;
        let command = command(&spec.executable, owner, &binaries.bin.join("postgres"), &arguments);
        let (pid, exited) = spawn(command, log).await?;
        let admin = Endpoint {
            host: spec.sockets.to_string_lossy().into_owned(),
            port,
            database: "postgres".to_owned(),
            user: SUPERUSER.to_owned(),
            password,
            tls: false,
            options: String::new(),
        };
        let server = Server { major: binaries.major, pid, exited, admin, tcp: spec.tcp };
        server.ready(&spec.folder.join("log")).await?;
        Ok(server)
    }

    /// The superuser's login, over the UNIX socket.
    pub fn admin(&self) -> &Endpoint {
        &self.admin
    }

    /// The same login as people reach it: over TCP if the server listens there.
    pub fn public_host(&self) -> String {
        if self.tcp { Ipv4Addr::LOCALHOST.to_string() } else { self.admin.host.clone() }
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The server's process.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Its end, as soon as it comes.
    pub fn exit(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.exited.clone()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.exited.borrow().is_none()
    }

    /// Shuts down: fast, then at once. Returns when the process is gone.
    pub async fn stop(&self) {
        let mut exited = self.exited.clone();
        for (signal, patience) in [(Signal::INT, STOP_WITHIN), (Signal::QUIT, STOP_WITHIN)] {
            if !self.is_running() {
                return;
            }
            let _ = kill_process(self.pid, signal);
            if timeout(patience, exited.wait_for(Option::is_some)).await.is_ok() {
                return;
            }
        }
        let _ = kill_process(self.pid, Signal::KILL);
    }

    async fn ready(&self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + START_WITHIN;
        let options = common::db::options(&self.admin);
        while self.is_running() {
            if let Ok(connection) = PgConnection::connect_with(&options).await {
                let _ = connection.close().await;
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(failed(
                    format!("PostgreSQL did not accept connections in {START_WITHIN:?}"),
                    log,
                ));
            }
            sleep(POLL).await;
        }
        Err(failed("PostgreSQL ended at once".to_owned(), log))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = kill_process(self.pid, Signal::INT);
        }
    }
}

/// The major version of a data folder, `None` if there is no folder yet.
fn data_major(data: &Path) -> Result<Option<u32>> {
    match std::fs::read_to_string(data.join("PG_VERSION")) {
        Ok(version) => version.trim().parse().map(Some).or_internal(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::internal(error)),
    }
}

/// The server's user must be able to walk to the folder.
fn check_reachable(folder: &Path, owner: Option<Owner>) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let Some(owner) = owner else { return Ok(()) };
    for parent in folder.ancestors().skip(1) {
        let Ok(metadata) = parent.metadata() else { continue };
        let class = if metadata.uid() == owner.uid { 0o100 } else { 0o001 };
        if metadata.mode() & class == 0 {
            let message = format!("PostgreSQL's user cannot enter {}", parent.display());
            return Err(POSTGRES_FAILED
                .error(message)
                .with_hint(format!("choose another --data-dir, or run `chmod o+x {}`", parent.display())));
        }
    }
    Ok(())
}

/// Makes the data folder beside its place and renames it, so that a crash leaves none or a whole one.
///
/// A folder that was whole once and is gone is an error: a project never starts anew by accident.
async fn init(spec: &Spec, binaries: &Binaries, owner: Option<Owner>, random: &Random) -> Result<Secret> {
    let (fresh, scratch) = (spec.folder.join("data.new"), spec.folder.join("init"));
    let password_file = spec.folder.join("admin.password");
    if password_file.exists() && !fresh.exists() {
        let message = format!("the data of {} is gone", spec.folder.display());
        let hint = format!("restore it, or remove {} to start with an empty server", spec.folder.display());
        return Err(POSTGRES_FAILED.error(message).with_hint(hint));
    }
    for folder in [&fresh, &scratch] {
        let _ = std::fs::remove_dir_all(folder);
        own_folder(folder, owner)?;
    }
    let password = Secret::new(random.token(24));
    // initdb reads it as the server's user; ours is written when that is done
    let for_initdb = scratch.join("password");
    write_private(&for_initdb, password.expose())?;
    if let Some(owner) = owner {
        std::os::unix::fs::chown(&for_initdb, Some(owner.uid), Some(owner.gid)).or_internal()?;
    }
    run_initdb(spec, binaries, owner, &fresh, &for_initdb).await?;
    std::fs::remove_dir_all(&scratch).or_internal()?;
    write_private(&password_file, password.expose())?;
    std::fs::rename(&fresh, spec.folder.join("data")).or_internal()?;
    File::open(&spec.folder).and_then(|folder| folder.sync_all()).or_internal()?;
    Ok(password)
}

async fn run_initdb(
    spec: &Spec,
    binaries: &Binaries,
    owner: Option<Owner>,
    fresh: &Path,
    password: &Path,
) -> Result<()> {
    let mut arguments = vec![
        format!("--pgdata={}", fresh.display()),
        format!("--username={SUPERUSER}"),
        "--auth=scram-sha-256".to_owned(),
        format!("--pwfile={}", password.display()),
        "--encoding=UTF8".to_owned(),
        "--locale=C.UTF-8".to_owned(),
        "--no-instructions".to_owned(),
    ];
    if spec.ephemeral {
        arguments.push("--no-sync".to_owned());
    }
    let command = command(&spec.executable, owner, &binaries.bin.join("initdb"), &arguments);
    let (_, mut exited) = spawn(command, open_log(&spec.folder)?).await?;
    let status = exited.wait_for(Option::is_some).await.or_internal()?.unwrap_or_default();
    if !status.success() {
        return Err(failed("initdb failed".to_owned(), &spec.folder.join("log")));
    }
    let mut config = File::options().append(true).open(fresh.join("postgresql.conf")).or_internal()?;
    config.write_all(SETTINGS.as_bytes()).or_internal()?;
    if spec.ephemeral {
        config.write_all(b"fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n").or_internal()?;
    }
    config.sync_all().or_internal()
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let _ = std::fs::remove_file(path);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).or_internal()?;
    file.write_all(text.as_bytes()).or_internal()?;
    file.sync_all().or_internal()
}

/// The server's log, kept over starts; a large one makes room for a new one.
fn open_log(folder: &Path) -> Result<File> {
    let path = folder.join("log");
    if path.metadata().is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES) {
        std::fs::rename(&path, folder.join("log.old")).or_internal()?;
    }
    File::options().append(true).create(true).mode(0o600).open(&path).or_internal()
}

/// After a `kill -9` of ours the old server is shutting down: it has the folder until it is done.
async fn wait_for_predecessor(data: &Path) -> Result<()> {
    let pid_file = data.join("postmaster.pid");
    let deadline = Instant::now() + STOP_WITHIN * 2;
    let mut told = false;
    while let Some(pid) = predecessor(&pid_file, data) {
        if Instant::now() > deadline {
            return Err(POSTGRES_FAILED.error(format!(
                "another PostgreSQL (process {pid}) works on {}; stop it first",
                data.display()
            )));
        }
        if !told && Instant::now() + STOP_WITHIN > deadline {
            told = true;
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::INT));
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// The live server that the pid file names, if it really works on this folder: a server's working directory is its
/// data folder, a process that only got the same number has another. A stale file is PostgreSQL's to remove.
fn predecessor(pid_file: &Path, data: &Path) -> Option<i32> {
    let content = std::fs::read_to_string(pid_file).ok()?;
    let pid: i32 = content.lines().next()?.trim().parse().ok()?;
    let works_in = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    (works_in == data.canonicalize().ok()?).then_some(pid)
}

fn free_port(wanted: u16, tcp: bool) -> Result<u16> {
    if !tcp && wanted != 0 {
        return Ok(wanted);
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, wanted));
    let listener = TcpListener::bind(address).map_err(|error| {
        POSTGRES_FAILED
            .error(format!("port {wanted} for PostgreSQL is taken"))
            .with_hint("give another one with --db-port")
            .caused_by(error)
    })?;
    Ok(listener.local_addr().or_internal()?.port())
}

fn arguments(spec: &Spec, data: &Path, port: u16) -> Vec<String> {
    let mut arguments = vec!["-D".to_owned(), data.to_string_lossy().into_owned()];
    let listen = if spec.tcp { "127.0.0.1" } else { "" };
    for setting in [
        format!("port={port}"),
        format!("listen_addresses={listen}"),
        format!("unix_socket_directories={}", spec.sockets.display()),
    ] {
        arguments.extend(["-c".to_owned(), setting]);
    }
    arguments
}

fn command(executable: &Path, owner: Option<Owner>, program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(executable);
    command.args(["exec-child", "--parent", &std::process::id().to_string()]);
    if let Some(owner) = owner {
        command.args(["--uid", &owner.uid.to_string(), "--gid", &owner.gid.to_string()]);
    }
    command.arg("--").arg(program).args(arguments).current_dir("/");
    // our own environment holds secrets, and the server's users can read the server's
    command.env_clear();
    for name in ["PATH", "LANG", "TZ", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Starts a process on a thread of its own. The kernel's death signal follows the *thread* that forked, so this one
/// lives as long as the process it waits for.
async fn spawn(mut command: Command, log: File) -> Result<(Pid, watch::Receiver<Option<ExitStatus>>)> {
    let (started, starting) = oneshot::channel();
    let (exit, exited) = watch::channel(None);
    let errors = log.try_clone().or_internal()?;
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    std::thread::Builder::new()
        .name("postgres".to_owned())
        .spawn(move || match command.spawn() {
            Err(error) => drop(started.send(Err(error))),
            Ok(mut child) => {
                let _ = started.send(Ok(child.id()));
                let status = child.wait().unwrap_or_default();
                exit.send_replace(Some(status));
            }
        })
        .or_internal()?;
    let pid = starting.await.or_internal()?.or_internal()?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok((pid.ok_or_else(|| Error::internal("a process without an id"))?, exited))
}

/// An error with the last lines of the server's log.
fn failed(what: String, log: &Path) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let tail = lines.into_iter().rev().collect::<Vec<_>>().join(" | ");
    POSTGRES_FAILED.error(what).with_hint(format!("its log {} ends with: {tail}", log.display()))
}
