//! The one binary: reads the command line and starts a role.

use std::process::ExitCode;

use base::error::OrInternal;
use clap::Parser;
use meshbase::cli::{Cli, Command};
use tokio::runtime::{Builder, Runtime};

/// Gives memory back soon after a burst: each password hash takes 19 MiB for a moment.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // before any thread exists: it changes the user of this process and becomes another program
    if let Command::ExecChild(child) = cli.command {
        return meshbase::exec_child::run(&child);
    }
    meshbase::telemetry::init(cli.log_format);
    let outcome = runtime(&cli.command).and_then(|runtime| runtime.block_on(meshbase::cli::run(cli.command)));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("meshbase: {}", meshbase::cli::explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// One thread where one is enough: no request then moves between cores.
fn runtime(command: &Command) -> base::Result<Runtime> {
    let mut builder = match command.workers()? {
        Some(1) => Builder::new_current_thread(),
        Some(workers) => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
        None => Builder::new_multi_thread(),
    };
    builder.thread_stack_size(meshbase::cli::STACK_BYTES).enable_all().build().or_internal()
}
