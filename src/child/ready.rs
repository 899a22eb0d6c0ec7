//! When the program counts as started.

use std::process::Stdio;
use std::time::Duration;

use base::Result;
use http::Method;
use mesh::resource::{Listen, Ready};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::{Child, PROGRAM_FAILED};
use crate::local_http;

/// The pauses between two probes: short at first, since most programs start in no time.
const PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(250);
/// The longest time for one probe.
const PROBE: Duration = Duration::from_secs(1);
/// Runs the command and says so if it went well. Its own output goes where errors go: the answer is read here, not the
/// exit status, which the one who reaps orphans may take first.
const SCRIPT: &str = r#"(eval "$1") >&2 && printf ready"#;

impl Child {
    /// Waits until the program is ready. `at` is where it listens, needed for all but a command.
    ///
    /// Errors: [`PROGRAM_FAILED`] if it ended before, or was not ready `within` the time.
    pub async fn ready(&self, ready: &Ready, at: Option<&Listen>, within: Duration) -> Result<()> {
        if at.is_none() && ready.needs_place() {
            return Err(PROGRAM_FAILED.error(format!("{ready} needs to know where the program listens")));
        }
        tokio::select! {
            code = self.exited() => {
                Err(PROGRAM_FAILED.error(format!("the program ended with {code} before it was ready")))
            }
            in_time = timeout(within, until(ready, at)) => in_time.map_err(|_| {
                PROGRAM_FAILED.error(format!("the program was not ready within {within:?}: {ready}"))
            }),
        }
    }
}

/// Waits until every one of these programs, which somebody else starts, is ready.
pub(crate) async fn all_ready(programs: &[(Ready, Option<Listen>)]) {
    futures_util::future::join_all(programs.iter().map(|(ready, at)| until(ready, at.as_ref()))).await;
}

async fn until(ready: &Ready, at: Option<&Listen>) {
    let mut pause = *PAUSES.start();
    while !probe(ready, at).await {
        sleep(pause).await;
        pause = (pause * 2).min(*PAUSES.end());
    }
}

async fn probe(ready: &Ready, at: Option<&Listen>) -> bool {
    let answer = async {
        match (ready, at) {
            (Ready::Exec(command), _) => exec(command).await,
            (Ready::Tcp(Some(place)), _) | (Ready::Tcp(None), Some(place)) => connects(place).await,
            (Ready::Http(path), Some(at)) => {
                local_http::send(at, Method::GET, path).await.is_ok_and(|(status, _)| status.is_success())
            }
            (Ready::Tcp(None) | Ready::Http(_), None) => false,
        }
    };
    timeout(PROBE, answer).await.unwrap_or(false)
}

async fn connects(place: &Listen) -> bool {
    match place {
        Listen::Tcp(addr) => TcpStream::connect(addr).await.is_ok(),
        Listen::Unix(socket) => UnixStream::connect(socket).await.is_ok(),
    }
}

/// Kills what is left of a command when its time is over.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn exec(command: &str) -> bool {
    let started = Command::new("sh")
        .args(["-c", SCRIPT, "sh", command])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut shell) = started else { return false };
    let mut group = Group(shell.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let Some(output) = shell.stdout.take() else { return false };
    let mut said = Vec::new();
    let read = output.take(16).read_to_end(&mut said).await;
    group.0 = None;
    read.is_ok() && said == b"ready"
}
