//! `meshbase projects create|apply|usage|list`.

use std::path::{Path, PathBuf};

use base::error::OrInternal;
use base::{Error, Result};
use clap::Subcommand;
use common::project::{Endpoint, ProjectRef};
use common::usage::Usage;
use platform::models::project::Access;
use platform::provision::Placement;
use platform::{CreateProject, Listed};

use super::status::Installation;
use crate::up::Info;
use crate::workdir::Workdir;

/// Makes projects, sets them up, lists them and shows what they take up.
#[derive(clap::Args, Debug)]
pub struct Projects {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a project; its keys are printed, the secret one this once.
    Create {
        /// Its name in hosts and keys: a-z, 0-9 and -.
        reference: ProjectRef,
        /// A name for people.
        #[arg(long, default_value = "")]
        name: String,
        /// Put its database on the shared server rather than on a server of its own, where servers are started.
        #[arg(long)]
        shared: bool,
        /// A Supabase project folder: its config.toml, migrations and seed are used as they are.
        #[arg(long, value_name = "DIR")]
        workdir: Option<PathBuf>,
        /// Leave out `CREATE EXTENSION NAME` of the folder's migrations. Can be repeated.
        #[arg(long, value_name = "NAME")]
        skip_extension: Vec<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        installation: Installation,
    },
    /// Bring a project to where a Supabase project folder wants it; what was applied before is left alone.
    Apply {
        /// The project.
        reference: ProjectRef,
        /// The folder: its config.toml, migrations and seed are used as they are.
        #[arg(long, value_name = "DIR")]
        workdir: PathBuf,
        /// Leave out `CREATE EXTENSION NAME` of the folder's migrations. Can be repeated.
        #[arg(long, value_name = "NAME")]
        skip_extension: Vec<String>,
        #[command(flatten)]
        installation: Installation,
    },
    /// Show what a project takes up.
    Usage {
        /// The project.
        reference: ProjectRef,
        #[command(flatten)]
        installation: Installation,
    },
    /// List the projects.
    List {
        #[command(flatten)]
        installation: Installation,
    },
}

impl Projects {
    pub(super) async fn run(self) -> Result<()> {
        match self.command {
            Command::Create { reference, name, shared, workdir, skip_extension, json, installation } => {
                // what cannot be read is found before anything is made
                let folder = workdir.as_deref().map(Workdir::open).transpose()?;
                let info: Info = installation.get("/status").await?;
                let placement = shared.then_some(Placement::Database);
                let request = CreateProject { reference, name, placement };
                let access: Access = installation.post("/projects", &request).await?;
                // the secret key is shown this once: before anything else can fail
                if json {
                    println!("{}", serde_json::to_string(&access).or_internal()?);
                } else {
                    print!("{}", table(&access, &info.url));
                }
                if let (Some(folder), Some(path)) = (folder, workdir) {
                    apply(&folder, &access, &skip_extension, &installation)
                        .await
                        .map_err(|error| to_be_applied(error, &access.reference, &path))?;
                }
            }
            Command::Apply { reference, workdir, skip_extension, installation } => {
                let folder = Workdir::open(&workdir)?;
                let access: Access = installation.get(&format!("/projects/{reference}")).await?;
                apply(&folder, &access, &skip_extension, &installation).await?;
            }
            Command::Usage { reference, installation } => {
                let usage: Usage = installation.get(&format!("/projects/{reference}/usage")).await?;
                println!("{} objects, {} bytes", usage.objects, usage.bytes);
            }
            Command::List { installation } => {
                let projects: Vec<Listed> = installation.get("/projects").await?;
                for project in projects {
                    println!("{:<20} {:<9} {}", project.reference, project.placement.as_str(), project.name);
                }
            }
        }
        Ok(())
    }
}

async fn apply(
    workdir: &Workdir,
    access: &Access,
    skip: &[String],
    installation: &Installation,
) -> Result<()> {
    workdir.warn();
    for (service, settings) in &workdir.config.settings {
        let path = format!("/projects/{}/settings/{service}", access.reference);
        let _: serde_json::Value = installation.put(&path, settings).await?;
    }
    workdir.apply(&Endpoint::parse(&access.db_url)?, skip).await
}

/// The project is there, its folder is not applied: what to do about it.
fn to_be_applied(error: Error, reference: &ProjectRef, folder: &Path) -> Error {
    let again = format!(
        "the project is made; after a repair run `meshbase projects apply {reference} --workdir {}`",
        folder.display()
    );
    let hint = match &error.hint {
        Some(hint) => format!("{hint}; {again}"),
        None => again,
    };
    error.with_hint(hint)
}

fn table(access: &Access, gateway: &str) -> String {
    let port = gateway.rsplit_once(':').map_or("", |(_, port)| port);
    let shown =
        |key: &Option<base::Secret>| key.as_ref().map(|key| key.expose().to_owned()).unwrap_or_default();
    format!(
        "  API               http://{reference}.localhost:{port}
  Database          {db_url}
  publishable key   {publishable}
  secret key        {secret}   (shown this once)
  anon key          {anon}
  service_role key  {service}
",
        reference = access.reference,
        db_url = access.db_url.expose(),
        publishable = shown(&access.publishable_key),
        secret = shown(&access.secret_key),
        anon = access.anon_key,
        service = access.service_role_key.expose(),
    )
}
