//! `meshbase platform`: the platform service alone, with the operator's doors beside it.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::routing::get;
use base::error::OrInternal;
use base::seal::MasterKey;
use base::serve::{Listener, serve};
use base::{Random, Result, Secret};
use common::project::{Endpoint, ProjectRef};
use common::service::Tasks;
use platform::Platform;
use platform::provision::Placement;

use crate::info::Info;
use crate::migrate::{self, Target};
use crate::provision::Provisioner;
use crate::roles::{GRACE, Role, stop_signal};
use crate::secret_file::read;
use crate::{data_dir, default_project};

/// The platform service's own flags.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// The file with the URL of the platform's database, as its superuser.
    #[arg(long, env = "MESHBASE_PLATFORM_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: PathBuf,
    /// The file with the URL of the server that projects' databases are on, as its superuser [default: the same].
    #[arg(long, env = "MESHBASE_SHARED_DATABASE_URL_FILE", value_name = "FILE")]
    pub shared_database_url_file: Option<PathBuf>,
    /// The file of the key that seals projects' secrets.
    #[arg(long, env = "MESHBASE_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key: PathBuf,
    /// The file of the console's token.
    #[arg(long, env = "MESHBASE_CONSOLE_TOKEN_FILE", value_name = "FILE")]
    pub console_token: PathBuf,
    /// Where the console is.
    #[arg(long, env = "MESHBASE_CONSOLE", default_value = "127.0.0.1:54323", value_name = "ADDR")]
    pub console: SocketAddr,
    /// The console's address, as `status` tells it [default: where it is].
    #[arg(long, env = "MESHBASE_CONSOLE_URL", value_name = "URL")]
    pub console_url: Option<String>,
    /// The gateway's address, as `status` tells it.
    #[arg(long, env = "MESHBASE_PUBLIC_URL", default_value = "http://127.0.0.1:54321", value_name = "URL")]
    pub public_url: String,
}

/// Runs the service until SIGTERM.
pub(crate) async fn run(role: Role, config: Config) -> Result<()> {
    let (stop, tasks) = (stop_signal(), Tasks::default());
    let listener = role.listener().await?;
    let deps = role.dependencies(&tasks)?;
    let admin = Listener::unix(&data_dir::admin_socket(&role.state_dir)).or_internal()?;
    let console = Listener::tcp(config.console).await.or_internal()?;
    let token = read(&config.console_token)?;
    let platform = open(&config, &deps).await?;
    default_project::ensure(&platform, Placement::Database, None, None).await?;
    let service = platform::start(platform.clone(), &deps);
    let info = info(&config, &role, &platform, &token).await?;
    let doors =
        platform::admin(platform.clone()).route("/status", get(async move || axum::Json(info.clone())));
    tracing::info!(service = service.name, "serving");
    tokio::join!(
        serve(listener, service.router, stop.clone(), GRACE),
        serve(admin, doors, stop.clone(), GRACE),
        serve(console, platform::console::router(platform, token), stop.clone(), GRACE),
    );
    tasks.stop().await;
    Ok(())
}

async fn open(config: &Config, deps: &common::Dependencies) -> Result<Platform> {
    let url = read(&config.database_url_file)?;
    let shared =
        config.shared_database_url_file.as_deref().map(read).transpose()?.unwrap_or_else(|| url.clone());
    let endpoint = Endpoint::parse(&url)?;
    migrate::run(Target::Platform, &mut migrate::connect(&endpoint).await?).await?;
    let master = MasterKey::parse(&read(&config.master_key)?)?;
    let provisioner = Provisioner::new(None, Some(shared), None, Random::system());
    let db = platform::connect(common::db::options(&endpoint)).await?;
    Ok(Platform::open(db, master, Box::new(provisioner), deps))
}

async fn info(config: &Config, role: &Role, platform: &Platform, token: &Secret) -> Result<Info> {
    let access = platform.access(&ProjectRef::default_project()).await?;
    let console = config.console_url.clone().unwrap_or_else(|| format!("http://{}", config.console));
    Ok(Info {
        url: config.public_url.clone(),
        anon_key: access.anon_key,
        service_role_key: access.service_role_key,
        jwt_secret: access.jwt_secret,
        db_url: access.db_url,
        console_url: Secret::new(format!("{console}/?token={}", token.expose())),
        probes_url: String::new(),
        metrics_url: String::new(),
        data_dir: role.state_dir.clone(),
    })
}
