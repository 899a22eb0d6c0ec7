//! In the place of the `postgrest` binary: its configuration file and its `PGRST_*` variables, one project, nobody else.

mod admin;
mod cors;
mod file;
mod options;
mod trace;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use base::error::{BAD_REQUEST, OrInternal};
use base::{Clock, Random, Result};
use common::project::{Document, Endpoint, ProjectRef};
use common::record::Recorder;
use common::service::Tasks;
use common::{Dependencies, Outbound, Projects, Service};

use crate::error::envelope;
use crate::settings::Settings;
use crate::{Data, serve};
use options::Options;
pub use options::Place;

/// Largest request body, in bytes. The original has no limit.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A variable that sets the option `db-uri` is `PGRST_DB_URI`.
const PREFIX: &str = "PGRST_";
/// Those that set `app.settings.NAME`.
const APP_SETTINGS: &str = "PGRST_APP_SETTINGS_";

/// How the data service runs in the place of PostgREST.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct DropIn {
    /// Run in the place of PostgREST, by its configuration file; `PGRST_*` variables come before it.
    #[arg(long, value_name = "FILE", conflicts_with = "serve")]
    pub config: Option<PathBuf>,
    /// Where it listens, before what the file says: `host:port`.
    #[arg(long, value_name = "ADDR", conflicts_with = "serve")]
    pub listen: Option<std::net::SocketAddr>,
}

/// A service that needs nobody, and where it is to listen.
pub struct Lone {
    /// The service.
    pub service: Service,
    /// Where.
    pub place: Place,
    /// What tells of it to whoever runs it, and where, if they want that.
    pub admin: Option<(Router, Place)>,
}

impl DropIn {
    /// Starts the service. The database is connected to when it is first asked for. Its schema cache
    /// is kept in `state_dir`; `metrics` renders what the process counts.
    ///
    /// Errors: what of the configuration cannot be.
    pub fn start(
        self,
        recorder: Recorder,
        tasks: Tasks,
        state_dir: Option<&Path>,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Result<Lone> {
        let options = self.options()?;
        for ignored in &options.ignored {
            tracing::warn!(option = ignored, "this option is not followed");
        }
        let document = Document {
            id: uuid::Uuid::nil(),
            reference: ProjectRef::default_project(),
            version: version(&options.database, &options.settings),
            database: Some(options.database),
            keys: options.keys,
            settings: serde_json::to_value(&options.settings).or_internal()?,
        };
        let deps = Dependencies {
            outbound: Outbound::nowhere(),
            clock: Clock::system(),
            random: Random::system(),
            state_dir: state_dir.unwrap_or(Path::new("")).to_owned(),
            recorder,
            tasks,
        };
        let projects = Projects::fixed(document.clone());
        let data = Data::new(projects.clone(), options.budget, MAX_BODY_BYTES, None, &deps);
        let place = match self.listen {
            Some(address) => Place::Tcp(address.ip().to_string(), address.port()),
            None => options.place,
        };
        let write = if options.brief_errors { envelope::write_brief } else { envelope::write };
        let data = Arc::new(data);
        let mut service = serve(data.clone(), projects, &deps, write);
        let origins = cors::Origins(options.allowed_origins);
        service.router = service.router.layer(from_fn_with_state(origins, cors::answer));
        if let Some(name) = options.trace_header {
            service.router = service.router.layer(from_fn_with_state(name, trace::echo));
        }
        let lonely = admin::Lonely { data, document: Arc::new(document), metrics: Arc::new(metrics) };
        let admin = options.admin.map(|place| (admin::router(lonely), place));
        Ok(Lone { service, place, admin })
    }

    fn options(&self) -> Result<Options> {
        let mut given = BTreeMap::new();
        if let Some(path) = &self.config {
            let refused = |why: String| BAD_REQUEST.error(format!("{}: {why}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
            given = file::read(&text, |name| std::env::var(name).ok()).map_err(refused)?;
        }
        given.extend(std::env::vars().filter_map(|(name, value)| Some((option(&name)?, value))));
        Options::of(given).map_err(|why| BAD_REQUEST.error(why))
    }
}

/// What is kept of one database is not for another.
fn version(database: &Endpoint, settings: &Settings) -> i64 {
    let mut hasher = DefaultHasher::new();
    (&database.host, database.port, &database.database, &database.user).hash(&mut hasher);
    serde_json::to_string(settings).unwrap_or_default().hash(&mut hasher);
    hasher.finish().cast_signed()
}

/// The option that a variable sets.
fn option(variable: &str) -> Option<String> {
    if let Some(name) = variable.strip_prefix(APP_SETTINGS) {
        return Some(format!("app.settings.{name}"));
    }
    Some(variable.strip_prefix(PREFIX)?.to_ascii_lowercase().replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_the_option_of_its_name() {
        assert_eq!(option("PGRST_DB_URI").as_deref(), Some("db-uri"));
        assert_eq!(option("PGRST_APP_SETTINGS_jwt_secret").as_deref(), Some("app.settings.jwt_secret"));
        assert_eq!(option("PATH"), None);
    }
}
