//! `meshbase sidecar`: a proxy from a file, alone or around the program that it is for.

mod steered;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base::error::{BAD_REQUEST, OrInternal};
use base::{Error, Result};
use mesh::resource::{Listen, Mesh, Ready};

use crate::child::{Child, bound_to_us};
use steered::Steered;

/// Runs a proxy from a file, alone or around the program that it is for.
#[derive(clap::Args, Debug)]
pub struct Sidecar {
    /// The mesh file: its services and, under `sidecar`, what this proxy does. docs/mesh.md is the reference.
    #[arg(long, env = "MESHBASE_MESH_CONFIG", value_name = "FILE", required_unless_present = "service")]
    config: Option<PathBuf>,
    /// Or, without a file, one program under a control plane.
    #[command(flatten)]
    steered: Steered,
    /// When the program counts as started: it accepts connections, answers 2xx, or this command ends with 0
    /// [default: as the file says, else at once].
    #[arg(long, env = "MESHBASE_READY", value_name = "tcp|tcp:ADDR|http:/PATH|exec:COMMAND")]
    ready: Option<Ready>,
    /// Seconds that the program may take to be ready.
    #[arg(long, env = "MESHBASE_START_TIMEOUT", value_name = "SECONDS", default_value_t = 60)]
    start_timeout: u64,
    /// Print where it listens, as one line of JSON, once it serves.
    #[arg(long)]
    json: bool,
    /// Only read the file and say what is wrong with it.
    #[arg(long)]
    check: bool,
    /// A program to run beside the proxy, after `--`: started when the proxy serves, told to stop when the proxy has
    /// drained, and we end with its exit code.
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
    /// The file as it was read.
    #[arg(skip)]
    read: OnceCell<Mesh>,
}

/// Who starts what is behind the proxy.
#[derive(Debug)]
pub(crate) enum Programs {
    /// We do.
    Ours(Program),
    /// Somebody else: when each of those that say so is ready, and where it listens.
    Elsewhere(Vec<(Ready, Option<Listen>)>),
}

/// The program to run beside the proxy.
#[derive(Debug)]
pub(crate) struct Program {
    command: Vec<OsString>,
    ready: Option<Ready>,
    at: Option<Listen>,
    start_within: Duration,
}

impl Program {
    /// Starts it and passes signals on to it.
    pub(crate) async fn start(&self) -> Result<Child> {
        let executable = std::env::current_exe().or_internal()?;
        let child = Child::start(bound_to_us(&executable, &self.command)).await?;
        child.forward_signals().or_internal()?;
        Ok(child)
    }

    /// Waits until it is ready, if anything says when that is.
    pub(crate) async fn ready(&self, child: &Child) -> Result<()> {
        match &self.ready {
            Some(ready) => child.ready(ready, self.at.as_ref(), self.start_within).await,
            None => Ok(()),
        }
    }
}

impl Sidecar {
    /// Threads that carry requests, as the file says. The file is read here, once: what it says is what runs.
    pub(super) fn workers(&self) -> Result<usize> {
        let mesh = self.load()?;
        let workers = mesh.sidecar.as_ref().map_or(1, |sidecar| sidecar.workers);
        let _ = self.read.set(mesh);
        Ok(workers)
    }

    pub(super) async fn run(mut self) -> Result<ExitCode> {
        let mesh = match self.read.take() {
            Some(mesh) => mesh,
            None => self.load()?,
        };
        if mesh.sidecar.is_none() {
            return Err(self.refusal("says nothing under `sidecar`: it is no proxy's file"));
        }
        let programs = self.programs(&mesh)?;
        if self.check {
            println!("{}: valid", self.name());
            return Ok(ExitCode::SUCCESS);
        }
        // what a control plane steers is not in the file
        let is_steered = mesh.sidecar.as_ref().is_some_and(|sidecar| sidecar.control.is_some());
        let followed = self.config.as_deref().filter(|_| !is_steered);
        crate::sidecar::run(followed, mesh, programs, self.json).await
    }

    fn load(&self) -> Result<Mesh> {
        match &self.config {
            Some(path) => Mesh::load(path),
            None => self.steered.mesh(),
        }
    }

    fn name(&self) -> String {
        self.config.as_ref().map_or_else(|| "the flags".to_owned(), |path| path.display().to_string())
    }

    /// The program after `--` is the one workload that the file has a program for. Without one, each is somebody else's.
    fn programs(&self, mesh: &Mesh) -> Result<Programs> {
        let workloads = mesh.sidecar.iter().flat_map(|sidecar| &sidecar.workloads);
        if self.program.is_empty() && self.ready.is_none() {
            let awaited =
                workloads.filter_map(|workload| Some((workload.ready.clone()?, workload.program.clone())));
            return Ok(Programs::Elsewhere(awaited.collect()));
        }
        let listening: Vec<_> = workloads.filter(|workload| workload.program.is_some()).collect();
        let workload = match (listening.as_slice(), self.program.is_empty()) {
            ([], _) => None,
            ([one], _) => Some(one),
            (_, true) => return Err(self.refusal("has several programs: say for each when it is ready")),
            (_, false) => {
                return Err(self.refusal("has several programs: start each by itself, not after --"));
            }
        };
        let at = workload.and_then(|workload| workload.program.clone());
        let ready = self.ready.clone().or_else(|| workload.and_then(|workload| workload.ready.clone()));
        if at.is_none() && ready.as_ref().is_some_and(Ready::needs_place) {
            return Err(self.refusal("does not say where the program listens, which --ready needs"));
        }
        if self.program.is_empty() {
            return Ok(Programs::Elsewhere(ready.map(|ready| (ready, at)).into_iter().collect()));
        }
        let start_within = Duration::from_secs(self.start_timeout);
        Ok(Programs::Ours(Program { command: self.program.clone(), ready, at, start_within }))
    }

    fn refusal(&self, why: &str) -> Error {
        BAD_REQUEST.error(format!("{} {why}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Cli {
        #[command(flatten)]
        sidecar: Sidecar,
    }

    const SERVICES: &str = "trust_domain: t.local\nservices:\n  a: { routes: [{ kind: unary, deadline_ms: 1 }] }\n  \
                            b: { routes: [{ kind: unary, deadline_ms: 1 }] }\n";

    fn parse(arguments: &[&str]) -> Result<Sidecar, clap::Error> {
        Cli::try_parse_from([&["sidecar", "--config", "mesh.yaml"], arguments].concat())
            .map(|cli| cli.sidecar)
    }

    fn programs(workloads: &str, arguments: &[&str]) -> Result<Programs, String> {
        let mesh = Mesh::parse(&format!("{SERVICES}sidecar: {{ workloads: [{workloads}] }}\n")).unwrap();
        parse(arguments).unwrap().programs(&mesh).map_err(|error| error.message.into_owned())
    }

    /// What `--` means with these workloads; `None` if nothing is to be started.
    fn program(workloads: &str, arguments: &[&str]) -> Result<Option<Program>, String> {
        programs(workloads, arguments).map(|programs| match programs {
            Programs::Ours(program) => Some(program),
            Programs::Elsewhere(_) => None,
        })
    }

    #[test]
    fn what_somebody_else_starts_is_awaited() {
        let awaited = |workloads: &str, arguments: &[&str]| match programs(workloads, arguments).unwrap() {
            Programs::Elsewhere(ready) => ready,
            Programs::Ours(program) => panic!("{program:?} is to be started"),
        };
        let place = |text: &str| Some(text.parse::<Listen>().unwrap());
        let both = "{ service: a, program: 127.0.0.1:1, ready: tcp }, { service: b, program: 127.0.0.1:2 }";
        let caller = "{ service: a, outbound: [{ listen: 127.0.0.1:1 }] }";

        assert_eq!(awaited(both, &[]), [(Ready::Tcp(None), place("127.0.0.1:1"))]);
        let at = Ready::Tcp(place("127.0.0.1:2"));
        assert_eq!(awaited(caller, &["--ready", "tcp:127.0.0.1:2"]), [(at, None)]);
        assert_eq!(
            programs(both, &["--ready", "tcp"]).unwrap_err(),
            "mesh.yaml has several programs: say for each when it is ready"
        );
    }

    #[test]
    fn the_program_is_the_workload_that_listens() {
        let workloads = "{ service: a, program: 127.0.0.1:80, ready: tcp }, \
                         { service: b, outbound: [{ listen: 127.0.0.1:1 }] }";

        let of_file = program(workloads, &["--", "prog", "--ready"]).unwrap().unwrap();
        let of_flag = program(workloads, &["--ready", "http:/up", "--", "prog"]).unwrap().unwrap();

        assert_eq!(of_file.command, ["prog", "--ready"]);
        assert_eq!(of_file.at, Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(of_file.ready, Some(Ready::Tcp(None)));
        assert_eq!(of_file.start_within, Duration::from_secs(60));
        assert_eq!(of_flag.ready, Some(Ready::Http("/up".to_owned())));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let caller = "{ service: a, outbound: [{ listen: 127.0.0.1:1 }] }";
        let two = "{ service: a, program: 127.0.0.1:1 }, { service: b, program: 127.0.0.1:2 }";
        for (workloads, arguments, expected) in [
            (
                caller,
                vec!["--ready", "tcp", "--", "prog"],
                "mesh.yaml does not say where the program listens, which --ready needs",
            ),
            (two, vec!["--", "prog"], "mesh.yaml has several programs: start each by itself, not after --"),
        ] {
            assert_eq!(program(workloads, &arguments).unwrap_err(), expected);
        }
        assert!(program(caller, &["--ready", "exec:true", "--", "prog"]).unwrap().is_some());
        assert!(program(caller, &["--ready", "tcp:127.0.0.1:80", "--", "prog"]).unwrap().is_some());
        assert!(program(two, &[]).unwrap().is_none());
        assert!(programs(caller, &["--ready", "tcp"]).unwrap_err().contains("does not say where"));
        assert!(parse(&["--ready", "http"]).is_err());
    }

    #[tokio::test]
    async fn a_file_is_checked_without_running_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let check = async |yaml: &str| {
            std::fs::write(&path, yaml).unwrap();
            let cli = Cli::try_parse_from(["sidecar", "--config", &path, "--check"]).unwrap();
            cli.sidecar.run().await.map_err(|error| error.message.into_owned())
        };

        let sidecar = "sidecar: { workloads: [{ service: a, program: 127.0.0.1:1 }] }\n";
        let valid = check(&format!("{SERVICES}{sidecar}")).await;
        let invalid = check(&format!("{SERVICES}sidecar: {{ workloads: [] }}\n")).await;
        let no_proxy = check(SERVICES).await;

        assert_eq!(valid, Ok(ExitCode::SUCCESS));
        assert_eq!(invalid, Err(format!("{path}:5:12: sidecar.workloads: names no workload")));
        assert_eq!(no_proxy, Err(format!("{path} says nothing under `sidecar`: it is no proxy's file")));
    }
}
