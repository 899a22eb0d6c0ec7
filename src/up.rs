//! `meshbase up`: everything in one process. Each service is behind its own inbound stack, as it would be anywhere.

mod config;
#[cfg(feature = "control")]
mod fleet;
mod listeners;

pub use config::Config;

use std::time::Duration;

use base::{Clock, Random, Result, Secret};
use common::project::{Endpoint, ProjectRef};
use common::service::Tasks;
use common::{Dependencies, Outbound, Projects, Service};
use gateway::Gateway;
use mesh::DataPlane;
use mesh::observe::Observer;
use mesh::resource::Mesh;
use platform::Platform;
use platform::models::project::Access;
use platform::provision::Placement;
use tokio_util::sync::CancellationToken;

use crate::data_dir::DataDir;
pub use crate::info::Info;
use crate::migrate::{self, Target};
use crate::provision::{Embedded, External, PLATFORM_SERVER, Provisioner, Servers};
use crate::telemetry::Metrics;
use crate::workdir::Workdir;
#[cfg(feature = "control")]
use fleet::Fleet;
use listeners::Listeners;

/// How long requests in flight may take to finish once we are told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// A running installation. Call [`Up::stop`]: dropping it leaves no time to finish requests.
pub struct Up {
    /// Where it is and how to use it.
    pub info: Info,
    /// The platform, for whoever runs in the same process.
    pub platform: Platform,
    /// Counters of this process.
    pub metrics: Metrics,
    parts: Parts,
    serving: tokio::task::JoinHandle<()>,
    way: Way,
}

/// What a start made, beside what has to be ended if it fails.
struct Started {
    info: Info,
    platform: Platform,
    metrics: Metrics,
    serving: tokio::task::JoinHandle<()>,
    way: Way,
}

/// What has to be ended, in this order, whether the start succeeded or not.
struct Parts {
    stop: CancellationToken,
    tasks: Tasks,
    servers: Servers,
    data_dir: DataDir,
}

impl Parts {
    /// Tasks before the servers that they talk to, servers before the folder that they work on.
    async fn end(self) {
        self.stop.cancel();
        self.tasks.stop().await;
        self.servers.stop().await;
        drop(self.data_dir);
    }
}

impl Up {
    /// Starts everything; returns when it serves. What was started is stopped again if that fails.
    pub async fn start(config: Config) -> Result<Up> {
        let random = Random::system();
        let workdir = config.workdir.as_deref().map(Workdir::open).transpose()?;
        let data_dir = match (&config.data_dir, config.ephemeral) {
            (Some(path), _) => DataDir::open(path)?,
            (None, true) => DataDir::temporary()?,
            (None, false) => DataDir::open(&crate::data_dir::default_path())?,
        };
        // taken ports are found before anything is started
        let listeners = Listeners::bind(&config, &data_dir).await?;
        let servers = Servers::new(embedded(&config, &data_dir)?, random.clone());
        let (stop, tasks) = (CancellationToken::new(), Tasks::default());
        let parts = Parts { stop, tasks, servers, data_dir };
        let starting = Starting { config, workdir, parts: &parts, clock: Clock::system(), random };
        match starting.run(listeners).await {
            Ok(Started { info, platform, metrics, serving, way }) => {
                Ok(Up { info, platform, metrics, parts, serving, way })
            }
            Err(error) => {
                parts.end().await;
                Err(error)
            }
        }
    }

    /// Finishes what is in flight, stops every task and server.
    pub async fn stop(self) {
        self.parts.stop.cancel();
        let _ = self.serving.await;
        self.way.stop().await;
        self.parts.end().await;
    }
}

fn embedded(config: &Config, data_dir: &DataDir) -> Result<Embedded> {
    Ok(Embedded {
        folder: data_dir.path().join("postgres"),
        sockets: data_dir.sockets(),
        default_port: config.ports().database,
        ephemeral: config.ephemeral,
        executable: executable(config)?,
        bin: config.pg_bin.clone(),
        idle_stop: Duration::from_secs(config.idle_stop_seconds),
    })
}

fn info(listeners: &Listeners, data_dir: &DataDir, access: Access, token: &Secret) -> Info {
    let console = listeners::url(&listeners.console);
    Info {
        url: listeners::url(&listeners.gateway),
        anon_key: access.anon_key,
        service_role_key: access.service_role_key,
        jwt_secret: access.jwt_secret,
        db_url: access.db_url,
        console_url: Secret::new(format!("{console}/?token={}", token.expose())),
        probes_url: listeners.probes_url().to_owned(),
        metrics_url: format!("{}/metrics", listeners::url(&listeners.metrics)),
        data_dir: data_dir.path().to_owned(),
    }
}

/// The binary that starts further processes.
fn executable(config: &Config) -> Result<std::path::PathBuf> {
    use base::error::OrInternal;
    match &config.executable {
        Some(executable) => Ok(executable.clone()),
        None => std::env::current_exe().or_internal(),
    }
}

struct Starting<'a> {
    config: Config,
    workdir: Option<Workdir>,
    parts: &'a Parts,
    clock: Clock,
    random: Random,
}

/// What every service shares.
struct Shared {
    way: Way,
    metrics: Metrics,
}

/// How services are joined.
enum Way {
    /// In this process.
    Local(DataPlane),
    /// By sidecars.
    #[cfg(feature = "control")]
    Fleet(Fleet),
}

impl Way {
    /// Ends the processes that were started for it.
    async fn stop(self) {
        match self {
            Way::Local(_) => {}
            #[cfg(feature = "control")]
            Way::Fleet(fleet) => fleet.stop().await,
        }
    }

    /// How `service` calls others.
    fn outbound(&self, service: &str) -> Outbound {
        match self {
            Way::Local(plane) => Outbound::new(plane.outbound(service, None)),
            #[cfg(feature = "control")]
            Way::Fleet(fleet) => Outbound::unix(fleet.outbound(service)),
        }
    }
}

impl Starting<'_> {
    async fn run(&self, mut listeners: Listeners) -> Result<Started> {
        let probes = listeners.serve_probes(GRACE);
        let metrics = Metrics::default();
        let observer = Observer::all(vec![metrics.mesh().observer(), mesh::observe::log(self.clock.clone())]);
        let parts = mesh::Parts::new(observer, self.clock.clone(), &self.random);
        let mut shared = Shared { way: self.way(parts)?, metrics };
        let platform = self.open_platform(&self.dependencies("platform", &shared)?).await?;
        self.ensure_default(&platform).await?;
        self.start_services(&platform, &mut shared).await?;
        let gateway = self.gateway(&shared)?;
        let idle = self.parts.servers.clone();
        self.parts.tasks.spawn(async move { idle.stop_idle().await });

        let token = self.parts.data_dir.console_token(&self.random)?;
        let access = platform.access(&ProjectRef::default_project()).await?;
        let info = info(&listeners, &self.parts.data_dir, access, &token);
        let metrics = shared.metrics;
        let doors = listeners::Doors {
            gateway,
            console: platform::console::router(platform.clone(), token),
            platform: platform.clone(),
            metrics: metrics.clone(),
            info: info.clone(),
        };
        let serving = tokio::spawn(listeners.serve(doors, probes, self.parts.stop.clone(), GRACE));
        Ok(Started { info, platform, metrics, serving, way: shared.way })
    }

    fn way(&self, parts: mesh::Parts) -> Result<Way> {
        #[cfg(feature = "control")]
        if self.config.mesh {
            return Fleet::new(self.parts.data_dir.mesh(), executable(&self.config)?).map(Way::Fleet);
        }
        DataPlane::new(Mesh::defaults(), parts).map(Way::Local)
    }

    /// Each behind its own inbound stack, in this process or in a sidecar.
    async fn start_services(&self, platform: &Platform, shared: &mut Shared) -> Result<()> {
        let platform = platform::start(platform.clone(), &self.dependencies("platform", shared)?);
        let deps = ["auth", "data", "storage"].map(|service| self.dependencies(service, shared));
        match &mut shared.way {
            Way::Local(plane) => {
                let [auth, data, storage] = deps;
                let allow_autoconfirm = self.may_autoconfirm();
                for Service { name, router } in [
                    platform,
                    auth::start(auth::Config { allow_autoconfirm, ..self.config.auth.clone() }, auth?)?,
                    data::start(self.config.data.clone(), data?)?,
                    storage::start(self.config.storage.clone(), storage?)?,
                ] {
                    plane.serve_locally(name, router);
                }
                Ok(())
            }
            #[cfg(feature = "control")]
            Way::Fleet(fleet) => {
                let store = self.platform_endpoint().await?;
                fleet.start(&self.config, &store, platform.router, self.may_autoconfirm()).await
            }
        }
    }

    fn dependencies(&self, service: &str, shared: &Shared) -> Result<Dependencies> {
        let Shared { way, metrics } = shared;
        Ok(Dependencies {
            outbound: way.outbound(service),
            clock: self.clock.clone(),
            random: self.random.clone(),
            state_dir: self.parts.data_dir.service(service)?,
            recorder: metrics.recorder(),
            tasks: self.parts.tasks.clone(),
        })
    }

    fn gateway(&self, shared: &Shared) -> Result<Gateway> {
        let deps = self.dependencies("gateway", shared)?;
        let projects = Projects::start(deps.outbound.clone(), deps.state_dir, &deps.tasks);
        let config = self.config.gateway.clone();
        Ok(Gateway::new(config, deps.outbound, projects, deps.clock, deps.random, deps.recorder))
    }

    /// Starts the platform's own database; that of `default` starts at the same time.
    async fn open_platform(&self, deps: &Dependencies) -> Result<Platform> {
        let master = self.parts.data_dir.master_key(&self.random)?;
        let early = async {
            match self.config.database_url {
                Some(_) => Ok(()),
                None => self.parts.servers.ensure("default").await.map(drop),
            }
        };
        let (own, early) = tokio::join!(self.platform_database(), early);
        early?;
        let shared = self.config.shared_database_url.clone();
        let provisioner =
            Provisioner::new(Some(self.parts.servers.clone()), shared, self.external(), self.random.clone());
        Ok(Platform::open(platform::connect(own?).await?, master, Box::new(provisioner), deps))
    }

    async fn platform_database(&self) -> Result<sqlx::postgres::PgConnectOptions> {
        let endpoint = self.platform_endpoint().await?;
        if self.config.platform_database_url.is_some() {
            migrate::run(Target::Platform, &mut migrate::connect(&endpoint).await?).await?;
        }
        Ok(common::db::options(&endpoint))
    }

    async fn platform_endpoint(&self) -> Result<Endpoint> {
        match &self.config.platform_database_url {
            None => Ok(self.parts.servers.ensure(PLATFORM_SERVER).await?.admin().clone()),
            Some(url) => Endpoint::parse(url),
        }
    }

    fn external(&self) -> Option<External> {
        let url = self.config.database_url.clone()?;
        Some(External { url, migrate: self.config.migrate_database })
    }

    /// The project that is there from the first start, as the command line and the folder want it today.
    async fn ensure_default(&self, platform: &Platform) -> Result<()> {
        let reference = ProjectRef::default_project();
        let url = self.config.database_url.as_ref();
        let placement = if url.is_some() { Placement::External } else { Placement::Server };
        crate::default_project::ensure(platform, placement, url, self.config.jwt_secret.as_ref()).await?;
        match &self.workdir {
            Some(workdir) => self.apply_workdir(platform, &reference, workdir).await,
            None => Ok(()),
        }
    }

    async fn apply_workdir(
        &self,
        platform: &Platform,
        reference: &ProjectRef,
        workdir: &Workdir,
    ) -> Result<()> {
        workdir.warn();
        for (service, settings) in &workdir.config.settings {
            platform.set_settings(reference, service, settings).await?;
        }
        if self.config.database_url.is_some() && !self.config.migrate_database {
            tracing::warn!(
                "the folder's migrations are not applied to --database-url; ask with --migrate-database"
            );
            return Ok(());
        }
        let project = platform.find(reference).await?;
        let project = project.ok_or_else(|| base::Error::internal("the default project is gone"))?;
        let owner = platform.login(&project, "owner").await?;
        workdir.apply(&owner, &self.config.skip_extension).await
    }

    /// Nobody can confirm a mail that is not sent: on loopback, where only the machine's user can sign up, accounts
    /// are confirmed at once unless the project says otherwise.
    fn may_autoconfirm(&self) -> bool {
        self.config.listen.ip().is_loopback()
    }
}
