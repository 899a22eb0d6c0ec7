//! Starts a process and waits for it, and for the orphans that come to us if we are their next parent.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, child_subreaper, getpid, wait, waitid, waitpid,
};
use tokio::sync::{oneshot, watch};

/// Starts a process on a thread of its own. The kernel's death signal follows the *thread* that forked, so this one
/// lives as long as the process.
pub(super) async fn spawn(mut command: Command) -> io::Result<(Pid, watch::Receiver<Option<ExitStatus>>)> {
    let (started, starting) = oneshot::channel();
    let (exit, exited) = watch::channel(None);
    let work = move || match command.spawn() {
        Err(error) => drop(started.send(Err(error))),
        Ok(child) => {
            let pid = Pid::from_child(&child);
            let _ = started.send(Ok(pid));
            reap(pid, adopts_orphans(), &exit);
        }
    };
    std::thread::Builder::new().name("program".to_owned()).spawn(work)?;
    let pid = starting.await.map_err(io::Error::other)??;
    Ok((pid, exited))
}

/// Whether processes whose parent ended become our children.
fn adopts_orphans() -> bool {
    getpid().is_init() || child_subreaper().is_ok_and(|pid| pid.is_some())
}

/// Waits for `program`, and with `orphans` for every child of ours until none is left.
fn reap(program: Pid, orphans: bool, exit: &watch::Sender<Option<ExitStatus>>) {
    loop {
        let id = if orphans { WaitId::All } else { WaitId::Pid(program) };
        // only looks: what is reaped under the lock of `exit` cannot be signalled any more
        match waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(Errno::INTR) => continue,
            // no child is left
            Err(_) => return,
            Ok(_) => {}
        }
        let ended = exit.send_if_modified(|exit| {
            let reaped =
                if orphans { wait(WaitOptions::NOHANG) } else { waitpid(Some(program), WaitOptions::NOHANG) };
            match reaped {
                Ok(Some((pid, status))) if pid == program => {
                    *exit = Some(ExitStatus::from_raw(status.as_raw()));
                    true
                }
                _ => false,
            }
        });
        if ended && !orphans {
            return;
        }
    }
}
