//! The one binary: reads the command line and starts a role.

use std::process::ExitCode;

use clap::Parser;
use meshbase::cli::{Cli, Command};

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(meshbase::cli::run(cli.command)),
        Err(error) => Err(base::Error::internal(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meshbase: {}", meshbase::cli::explain(&error));
            ExitCode::FAILURE
        }
    }
}
