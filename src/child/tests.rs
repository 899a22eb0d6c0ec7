//! With real processes: small shell programs, each seen by what it leaves in files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mesh::resource::{Listen, Ready};
use rustix::process::{Signal, getpid, kill_process, set_child_subreaper};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{Instant, sleep};

use super::{Child, bound_to_us};

/// The longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ends by a signal, or a while after everybody lost patience, and runs traps at once.
const FOREVER: &str = "n=0; while [ $((n += 1)) -lt 100 ]; do sleep 1 & wait $!; done";

/// A folder that the program works in.
fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn start(folder: &TempDir, script: &str) -> Child {
    // what the tests were started from may ignore signals, as a shell does for what it runs in the background: that is
    // inherited, and no shell can trap what it inherited
    let mut command = Command::new("env");
    command.args(["--default-signal", "sh", "-c", script]).current_dir(folder.path());
    Child::start(command).await.unwrap()
}

/// Waits until `file` is there, through the program's readiness.
async fn has_written(child: &Child, file: &Path) {
    let there = Ready::Exec(format!("test -e {}", file.display()));
    child.ready(&there, None, PATIENCE).await.unwrap();
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never held");
        sleep(Duration::from_millis(2)).await;
    }
}

fn read_pid(file: &Path) -> i32 {
    std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

fn is_there(pid: i32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn the_exit_code_is_the_programs() {
    let folder = folder();

    assert_eq!(start(&folder, "exit 7").await.exited().await, 7);
    assert_eq!(start(&folder, "exit 0").await.exited().await, 0);
    assert_eq!(start(&folder, "kill -KILL $$").await.exited().await, 128 + 9);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let error = Child::start(Command::new("/nowhere/program")).await.unwrap_err();

    assert_eq!(error.message, "cannot start /nowhere/program");
    assert!(error.source.unwrap().to_string().contains("No such file"));
}

#[tokio::test]
async fn a_program_may_end_in_its_own_way_when_it_is_stopped() {
    let folder = folder();
    let child = start(&folder, &format!("trap 'exit 3' TERM; : > up; {FOREVER}")).await;
    has_written(&child, &folder.path().join("up")).await;

    assert_eq!(child.stop(PATIENCE).await, 3);
    // and once more does nothing
    assert_eq!(child.stop(PATIENCE).await, 3);
}

#[tokio::test]
async fn a_program_that_does_not_end_is_killed_with_its_group() {
    let folder = folder();
    let script = "trap '' TERM; sleep 1000 & echo $! > new; mv new pid; wait";
    let child = start(&folder, script).await;
    let file = folder.path().join("pid");
    has_written(&child, &file).await;

    assert_eq!(child.stop(Duration::from_millis(20)).await, 128 + 9);

    let grandchild = read_pid(&file);
    // whoever adopts it may leave it as a zombie
    eventually(|| {
        let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    })
    .await;
}

#[tokio::test]
async fn the_terminals_group_is_not_the_programs() {
    let folder = folder();
    let child = start(&folder, &format!("trap 'exit 0' TERM; : > up; {FOREVER}")).await;
    has_written(&child, &folder.path().join("up")).await;

    let group = rustix::process::getpgid(Some(child.pid)).unwrap();

    assert_eq!(group, child.pid);
    child.stop(PATIENCE).await;
}

#[tokio::test]
async fn signals_are_passed_on() {
    let folder = folder();
    let traps: String =
        ["HUP", "USR1", "USR2", "QUIT"].map(|name| format!("trap ': > {name}' {name}; ")).concat();
    let child = start(&folder, &format!("{traps} trap 'exit 0' TERM; : > up; {FOREVER}")).await;
    has_written(&child, &folder.path().join("up")).await;
    child.forward_signals().unwrap();

    for (name, signal) in
        [("HUP", Signal::HUP), ("USR1", Signal::USR1), ("USR2", Signal::USR2), ("QUIT", Signal::QUIT)]
    {
        kill_process(getpid(), signal).unwrap();
        eventually(|| folder.path().join(name).exists()).await;
    }

    assert_eq!(child.stop(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_program_is_ready_when_it_accepts_connections() {
    let folder = folder();
    let child = start(&folder, FOREVER).await;
    let socket = folder.path().join("socket");
    let at = Listen::Unix(socket.clone());

    let (ready, _listener) = tokio::join!(child.ready(&Ready::Tcp(None), Some(&at), PATIENCE), async {
        // after the first probe, which finds nothing
        tokio::task::yield_now().await;
        UnixListener::bind(&socket).unwrap()
    });

    ready.unwrap();
    child.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_program_is_ready_when_it_answers_2xx() {
    let folder = folder();
    let child = start(&folder, FOREVER).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = Listen::Tcp(listener.local_addr().unwrap());
    let program = async {
        let mut asked = Vec::new();
        for status in ["503 Busy", "301 Moved", "204 Ready"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..length]).lines().next().unwrap().to_owned());
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    };

    let path = Ready::Http("/readyz?x=1".to_owned());
    let (ready, asked) = tokio::join!(child.ready(&path, Some(&at), PATIENCE), program);

    ready.unwrap();
    assert_eq!(asked, ["GET /readyz?x=1 HTTP/1.1"; 3]);
    child.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_program_that_ends_or_takes_too_long_is_not_ready() {
    let folder = folder();
    let never = Ready::Exec("printf ready; false".to_owned());
    let ends = start(&folder, "exit 4").await;
    let hangs = start(&folder, FOREVER).await;

    let ended = ends.ready(&never, None, PATIENCE).await.unwrap_err();
    let hung = hangs.ready(&never, None, Duration::from_millis(40)).await.unwrap_err();
    let nowhere = hangs.ready(&Ready::Tcp(None), None, PATIENCE).await.unwrap_err();

    assert_eq!(ended.message, "the program ended with 4 before it was ready");
    assert_eq!(hung.message, "the program was not ready within 40ms: exec:printf ready; false");
    assert_eq!(nowhere.message, "tcp needs to know where the program listens");
    hangs.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_probe_that_hangs_is_killed() {
    let folder = folder();
    let child = start(&folder, FOREVER).await;
    let file = folder.path().join("probe");
    let hangs = Ready::Exec(format!("sleep 1000 & echo $! > {}; wait", file.display()));

    child.ready(&hangs, None, Duration::from_millis(200)).await.unwrap_err();

    let probe = read_pid(&file);
    eventually(|| {
        let stat = std::fs::read_to_string(format!("/proc/{probe}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    })
    .await;
    child.stop(Duration::ZERO).await;
}

#[test]
fn the_program_is_started_so_that_it_ends_with_us() {
    let command = bound_to_us(Path::new("/bin/meshbase"), &["prog".into(), "--flag".into()]);

    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();

    let us = std::process::id().to_string();
    assert_eq!(command.get_program(), "/bin/meshbase");
    assert_eq!(arguments, ["exec-child", "--signal", "kill", "--parent", &us, "--", "prog", "--flag"]);
}

/// Set in the process that adopts orphans: being one cannot be undone for the other tests' processes.
const ADOPTS: &str = "MESHBASE_TEST_ADOPTS_ORPHANS";

#[tokio::test]
async fn orphans_are_reaped_and_the_program_keeps_its_exit_code() {
    if std::env::var_os(ADOPTS).is_none() {
        let name = "orphans_are_reaped_and_the_program_keeps_its_exit_code";
        let folder = folder();
        // a file: what is left behind by a failure would hold a pipe open
        let told = std::fs::File::create(folder.path().join("told")).unwrap();
        let mut inner = Command::new(std::env::current_exe().unwrap());
        let status = inner.arg(name).env(ADOPTS, "1").stdout(told).stderr(Stdio::null()).status().unwrap();
        let told = std::fs::read_to_string(folder.path().join("told")).unwrap();
        assert!(status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    set_child_subreaper(Some(getpid())).unwrap();
    let folder = folder();
    // the inner shell's parent ends at once; it waits for a word
    let orphan = "sh -c 'echo $$ > new; mv new pid; read word < fifo'";
    let script = format!("mkfifo fifo; ({orphan} &); trap 'exit 5' TERM; {FOREVER}");
    let child = start(&folder, &script).await;
    let file = folder.path().join("pid");
    has_written(&child, &file).await;
    let orphan = read_pid(&file);
    let ours = format!(" {} ", getpid().as_raw_nonzero());
    eventually(|| std::fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap().contains(&ours)).await;

    std::fs::write(folder.path().join("fifo"), "end\n").unwrap();

    eventually(|| !is_there(orphan)).await;
    assert_eq!(child.stop(PATIENCE).await, 5);
}
