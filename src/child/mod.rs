//! The program that a proxy stands beside: it is started, waited for, told what we are told, and stopped before us.

mod ready;
pub(crate) use ready::all_ready;
mod reap;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use base::{Code, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

/// The program beside the proxy could not be started, or was not ready in time.
pub const PROGRAM_FAILED: Code = Code::new(500, "program_failed");

/// The program that a proxy stands beside. Cheap to clone; it keeps running when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Child {
    pid: Pid,
    exited: watch::Receiver<Option<ExitStatus>>,
}

/// The command that becomes `program` and that the kernel ends with us, through [`crate::exec_child`] of our own
/// `executable`.
pub fn bound_to_us(executable: &Path, program: &[OsString]) -> Command {
    let mut command = Command::new(executable);
    command.args(["exec-child", "--signal", "kill", "--parent", &std::process::id().to_string(), "--"]);
    command.args(program);
    command
}

impl Child {
    /// Starts a program with our environment and our output.
    ///
    /// It gets a process group of its own: an interrupt from the terminal reaches us alone, so that the proxy drains
    /// before it stops the program. If we are the process that orphans go to (process 1 of a container, or a child
    /// subreaper), they are reaped as long as anything runs; nobody else in this process may then wait for children.
    pub async fn start(mut command: Command) -> Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        if std::io::stdin().is_terminal() {
            // a program in the background that reads from a terminal is stopped
            command.stdin(Stdio::null());
        }
        command.process_group(0);
        let (pid, exited) = reap::spawn(command)
            .await
            .map_err(|error| PROGRAM_FAILED.error(format!("cannot start {program}")).caused_by(error))?;
        Ok(Child { pid, exited })
    }

    /// Sends a signal, unless the program has ended.
    pub fn signal(&self, signal: Signal) {
        // while it is borrowed the program is not reaped, so that its number is nobody else's
        let exited = self.exited.borrow();
        if exited.is_none() {
            // it may have ended this moment
            let _ = kill_process(self.pid, signal);
        }
    }

    /// From now on SIGHUP, SIGUSR1, SIGUSR2 and SIGQUIT that reach us reach the program instead.
    pub fn forward_signals(&self) -> std::io::Result<()> {
        for (kind, forwarded) in [
            (SignalKind::hangup(), Signal::HUP),
            (SignalKind::user_defined1(), Signal::USR1),
            (SignalKind::user_defined2(), Signal::USR2),
            (SignalKind::quit(), Signal::QUIT),
        ] {
            let mut arrived = signal(kind)?;
            let child = self.clone();
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        Some(()) = arrived.recv() => child.signal(forwarded),
                        _ = child.exited() => return,
                    }
                }
            });
        }
        Ok(())
    }

    /// Waits for the end: the program's exit code, or 128 and the number of the signal that ended it.
    pub async fn exited(&self) -> u8 {
        let mut exited = self.exited.clone();
        match exited.wait_for(Option::is_some).await.map(|status| *status) {
            Ok(Some(status)) => code(status),
            // who waits for it tells before it goes
            _ => u8::MAX,
        }
    }

    /// Asks the program to end with SIGTERM; after `grace` its whole process group is killed. The exit code.
    pub async fn stop(&self, grace: Duration) -> u8 {
        self.signal(Signal::TERM);
        if let Ok(code) = timeout(grace, self.exited()).await {
            return code;
        }
        {
            let exited = self.exited.borrow();
            if exited.is_none() {
                let _ = kill_process_group(self.pid, Signal::KILL);
            }
        }
        self.exited().await
    }
}

/// As a shell tells it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
