//! A hidden role that this binary re-executes itself in to start another program: it gives up root if told, asks the kernel to end
//! the program when its parent ends, however that happens, and becomes the program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Gid, Pid, Signal, Uid};

/// The hidden role's arguments.
#[derive(clap::Args, Debug)]
pub struct ExecChild {
    /// The process that the program must not outlive.
    #[arg(long)]
    parent: i32,
    /// What the kernel sends it when that process ends. `INT` is PostgreSQL's fast shutdown.
    #[arg(long, value_enum, default_value = "int")]
    signal: DeathSignal,
    /// The user to become.
    #[arg(long)]
    uid: Option<u32>,
    /// The group to become.
    #[arg(long)]
    gid: Option<u32>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

/// The signals that a program may be ended with.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DeathSignal {
    Int,
    Kill,
}

/// Becomes the program; returns only if that failed.
pub fn run(child: &ExecChild) -> ExitCode {
    let error = match prepare(child) {
        Ok(()) => Command::new(&child.program[0]).args(&child.program[1..]).exec(),
        Err(error) => error,
    };
    eprintln!("{}: {error}", child.program[0].display());
    ExitCode::from(127)
}

fn prepare(child: &ExecChild) -> std::io::Result<()> {
    if let (Some(uid), Some(gid)) = (child.uid, child.gid) {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    let signal = match child.signal {
        DeathSignal::Int => Signal::INT,
        DeathSignal::Kill => Signal::KILL,
    };
    // after the change of user, which clears it
    rustix::process::set_parent_process_death_signal(Some(signal))?;
    // the parent may have ended before the line above
    if rustix::process::getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get()) != Some(child.parent) {
        return Err(std::io::Error::other("the parent is gone"));
    }
    Ok(())
}
