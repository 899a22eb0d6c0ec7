//! The binary as a process of its own, for what only a process shows: exits, signals, crashes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Call;
use super::stack::binary;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running `meshbase up`.
pub struct Process {
    child: Child,
    /// What `--json` printed.
    pub info: Value,
}

impl Process {
    /// Starts `up` on free ports and waits until it serves.
    pub fn up(data_dir: &Path, arguments: &[&str]) -> Process {
        let mut child =
            command(data_dir, arguments).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it prints");
        let info = serde_json::from_str(&line).expect("the first line is a JSON object");
        Process { child, info }
    }

    /// Runs `up` where it must not start; what it printed.
    pub fn refused(data_dir: &Path, arguments: &[&str]) -> Output {
        let output = command(data_dir, arguments).stderr(Stdio::piped()).stdout(Stdio::piped()).output();
        let output = output.expect("the binary starts");
        assert!(!output.status.success(), "it started");
        output
    }

    pub fn text(&self, key: &str) -> &str {
        self.info[key].as_str().unwrap_or_default()
    }

    /// A request with the anon or service key.
    pub fn call(&self, method: http::Method, path: &str, key: &str) -> Call {
        let token = format!("Bearer {}", self.text(key));
        let call = Call::new(method, &format!("{}{path}", self.text("url")));
        call.header("apikey", self.text(key)).header("authorization", &token)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
    }

    /// SIGTERM, and its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it is ours").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(["up", "--json", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).args(arguments);
    command.stderr(Stdio::null());
    command
}

/// PostgreSQL servers that work on folders below `data_dir`.
pub fn servers_on(data_dir: &Path) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let commands = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let below = commands.filter_map(|line| {
        let words: Vec<String> =
            line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        let is_server = words.first()?.ends_with("postgres");
        let folder = PathBuf::from(words.iter().skip_while(|word| *word != "-D").nth(1)?);
        (is_server && folder.starts_with(data_dir)).then_some(folder)
    });
    below.collect()
}

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds, on a runtime.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A folder that PostgreSQL's own user can enter, gone when dropped.
pub fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::Builder::new()
        .prefix("meshbase-it-")
        .tempdir()
        .expect("the temporary folder can be written");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("it is ours");
    folder
}
