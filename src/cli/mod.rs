//! The command line.

mod drain;
#[cfg(feature = "control")]
mod mesh;
mod probe;
#[cfg(feature = "up")]
mod projects;
mod sidecar;
#[cfg(feature = "up")]
mod status;
#[cfg(feature = "up")]
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use base::error::OrInternal;
use base::{Error, Result, Secret};
use clap::{Parser, Subcommand};

use crate::exec_child::ExecChild;
use crate::migrate::{self, Target};
use crate::telemetry::LogFormat;
pub(crate) use sidecar::Programs;

/// A backend you start with one command and grow into a platform.
#[derive(Parser, Debug)]
#[command(name = "meshbase", version, about, long_about = None)]
pub struct Cli {
    /// How log lines look.
    #[arg(
        long,
        global = true,
        env = "MESHBASE_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// What to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The roles and tools.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start everything in one process.
    #[cfg(feature = "up")]
    Up(Box<crate::up::Config>),
    /// Show where a running installation is and how to use it.
    #[cfg(feature = "up")]
    Status(status::Status),
    /// Make, set up and list projects of a running installation.
    #[cfg(feature = "up")]
    Projects(projects::Projects),
    /// Run the gateway alone, beside its sidecar.
    #[cfg(feature = "gateway")]
    Gateway {
        /// Where it serves and how it calls others.
        #[command(flatten)]
        role: crate::roles::Role,
        /// Its own flags.
        #[command(flatten)]
        config: gateway::Config,
    },
    /// Run the auth service alone, beside its sidecar.
    #[cfg(feature = "auth")]
    Auth {
        /// Where it serves and how it calls others.
        #[command(flatten)]
        role: crate::roles::Role,
        /// Its own flags.
        #[command(flatten)]
        config: auth::Config,
    },
    /// Run the data service alone: beside its sidecar, or in the place of PostgREST.
    #[cfg(feature = "data")]
    Data {
        /// Where it serves and how it calls others; without any of it, in the place of PostgREST.
        #[command(flatten)]
        role: crate::roles::OptionalRole,
        /// In the place of PostgREST.
        #[command(flatten)]
        drop_in: data::DropIn,
        /// Its own flags.
        #[command(flatten)]
        config: data::Config,
    },
    /// Run the storage service alone, beside its sidecar.
    #[cfg(feature = "storage")]
    Storage {
        /// Where it serves and how it calls others.
        #[command(flatten)]
        role: crate::roles::Role,
        /// Its own flags.
        #[command(flatten)]
        config: storage::Config,
    },
    /// Run the platform service alone, beside its sidecar.
    #[cfg(feature = "platform")]
    Platform {
        /// Where it serves and how it calls others.
        #[command(flatten)]
        role: crate::roles::Role,
        /// Its own flags.
        #[command(flatten)]
        config: Box<crate::platform_role::Config>,
    },
    /// Run a replica of the control plane.
    #[cfg(feature = "control")]
    Control {
        /// Its own flags.
        #[command(flatten)]
        config: Box<::control::Config>,
        /// Print where it listens, as one line of JSON, once it serves.
        #[arg(long)]
        json: bool,
    },
    /// Write the secrets of an installation of containers, each once.
    #[cfg(all(feature = "platform", feature = "control"))]
    Init(crate::init::Init),
    /// Look at the mesh and steer it.
    #[cfg(feature = "control")]
    Mesh(mesh::MeshCommand),
    /// Run a proxy of the mesh, alone or around a program.
    Sidecar(Box<sidecar::Sidecar>),
    /// Have a running proxy take no new requests.
    Drain(drain::Drain),
    /// Ask whether something is there: a health check for where there is no shell.
    Probe(probe::Probe),
    /// Bring a database up to date with our schemas.
    Migrate {
        /// The database, as its superuser.
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: Secret,
        /// The platform's own database rather than a project's.
        #[arg(long)]
        platform: bool,
    },
    /// Write the OpenAPI documents.
    Openapi {
        /// The folder they go to.
        #[arg(long, default_value = "openapi", value_name = "DIR")]
        out: PathBuf,
    },
    /// Start a program that must not outlive us.
    #[command(hide = true)]
    ExecChild(ExecChild),
}

/// Runs a command to its end. The code is that of a program that it ran, if it ran one.
pub async fn run(command: Command) -> Result<ExitCode> {
    let outcome = match command {
        #[cfg(feature = "up")]
        Command::Up(config) => up::run(*config).await,
        #[cfg(feature = "up")]
        Command::Status(status) => status.run().await,
        #[cfg(feature = "up")]
        Command::Projects(projects) => projects.run().await,
        #[cfg(feature = "gateway")]
        Command::Gateway { role, config } => crate::roles::run_gateway(role, config).await,
        #[cfg(feature = "auth")]
        Command::Auth { role, config } => {
            crate::roles::run(role, async |deps| auth::start(config, deps)).await
        }
        #[cfg(feature = "data")]
        Command::Data { role, drop_in, config } => match role.clone().given() {
            Some(role) => crate::roles::run(role, async |deps| data::start(config, deps)).await,
            None => crate::drop_in::run(drop_in, role.state_dir()).await,
        },
        #[cfg(feature = "storage")]
        Command::Storage { role, config } => {
            crate::roles::run(role, async |deps| storage::start(config, deps)).await
        }
        #[cfg(feature = "platform")]
        Command::Platform { role, config } => crate::platform_role::run(role, *config).await,
        #[cfg(feature = "control")]
        Command::Control { config, json } => crate::control::run(*config, json).await,
        #[cfg(all(feature = "platform", feature = "control"))]
        Command::Init(init) => init.run(),
        #[cfg(feature = "control")]
        Command::Mesh(command) => return command.run().await,
        Command::Sidecar(sidecar) => return sidecar.run().await,
        Command::Drain(drain) => drain.run().await,
        Command::Probe(probe) => probe.run().await,
        Command::Migrate { database_url, platform } => {
            let target = if platform { Target::Platform } else { Target::Project };
            let endpoint = common::project::Endpoint::parse(&database_url)?;
            migrate::run(target, &mut migrate::connect(&endpoint).await?).await
        }
        Command::Openapi { out } => write_openapi(&out),
        Command::ExecChild(_) => unreachable!("main runs it before anything else"),
    };
    outcome.map(|()| ExitCode::SUCCESS)
}

impl Command {
    /// Threads that carry requests; the machine's cores if nothing else is said.
    ///
    /// The data service takes half of the cores: the database that it keeps busy is often beside it, and a request that
    /// moves between cores costs more. A proxy beside a program takes one: what it saves its neighbour is worth more than what it could carry.
    ///
    /// Errors: the configuration that says it cannot be read.
    pub fn workers(&self) -> Result<Option<usize>> {
        match self {
            Command::Sidecar(sidecar) => sidecar.workers().map(Some),
            #[cfg(feature = "data")]
            Command::Data { .. } => Ok(Some(half_of_the_cores())),
            _ => Ok(None),
        }
    }
}

/// The stack of a thread: in one process a call from the gateway through a service and the mesh to the platform is one
/// chain of polls, which in a build without optimisation takes close to the usual 2 MiB. Only what is used takes memory.
pub const STACK_BYTES: usize = 8 * 1024 * 1024;

#[cfg(feature = "data")]
fn half_of_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

fn write_openapi(out: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(out).or_internal()?;
    for document in crate::openapi::documents() {
        std::fs::write(out.join(document.file), crate::openapi::text(&document)).or_internal()?;
    }
    Ok(())
}

/// One clear line: what failed, why, and what to do.
pub fn explain(error: &Error) -> String {
    let mut line = error.message.to_string();
    if let Some(source) = &error.source {
        line.push_str(": ");
        line.push_str(&base::error::chain(source.as_ref()));
    }
    if let Some(hint) = &error.hint {
        line.push_str(" – ");
        line.push_str(hint);
    }
    line
}
