//! The flags of `meshbase up`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use base::Secret;

/// Starts everything in one process.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Where the gateway listens. With port 0 every listener takes a free port.
    #[arg(long, env = "MESHBASE_LISTEN", default_value = "127.0.0.1:54321", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where everything is kept [default: /var/lib/meshbase for root, else ~/.local/share/meshbase].
    #[arg(long, env = "MESHBASE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Keep everything in a temporary folder that is gone at exit.
    #[arg(long, conflicts_with = "data_dir")]
    pub ephemeral: bool,
    /// A Supabase project folder: its config.toml, migrations and seed are used as they are.
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// Run the services as processes of their own, joined by sidecars and a control plane, as in production.
    #[cfg(feature = "control")]
    #[arg(long)]
    pub mesh: bool,
    /// Print one JSON object with URLs and keys when everything serves.
    #[arg(long)]
    pub json: bool,

    /// A PostgreSQL to use for the project `default` in the place of an embedded one.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
    /// Put our schemas, and the folder's migrations, into the database of --database-url.
    #[arg(long, requires = "database_url")]
    pub migrate_database: bool,
    /// A PostgreSQL for the platform's own database in the place of an embedded one.
    #[arg(long, env = "MESHBASE_PLATFORM_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub platform_database_url: Option<Secret>,
    /// A PostgreSQL, as superuser, that projects with placement `database` share.
    #[arg(long, env = "MESHBASE_SHARED_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub shared_database_url: Option<Secret>,
    /// The secret of the default project's HS256 tokens and legacy keys [default: generated].
    #[arg(long, env = "MESHBASE_JWT_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub jwt_secret: Option<Secret>,
    /// Leave out `CREATE EXTENSION NAME` of the folder's migrations. Can be repeated.
    #[arg(long, value_name = "NAME")]
    pub skip_extension: Vec<String>,

    /// The port of the default project's PostgreSQL, on loopback [default: 54322].
    #[arg(long, value_name = "PORT")]
    pub db_port: Option<u16>,
    /// The port of the console, on loopback [default: 54323].
    #[arg(long, value_name = "PORT")]
    pub console_port: Option<u16>,
    /// Where /livez, /readyz and /startupz are served [default: 0.0.0.0:9440].
    #[arg(long, value_name = "ADDR")]
    pub probes: Option<SocketAddr>,
    /// The port of /metrics, on loopback [default: 9441].
    #[arg(long, value_name = "PORT")]
    pub metrics_port: Option<u16>,
    /// The folder with `postgres` and `initdb` [default: looked for].
    #[arg(long, env = "MESHBASE_PG_BIN", value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Stop a project's PostgreSQL after this many seconds without a connection; `default` is never stopped.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub idle_stop_seconds: u64,
    /// The binary that starts PostgreSQL; this one unless a test runs us as a library.
    #[arg(skip)]
    pub executable: Option<PathBuf>,

    /// The flags of gateway.
    #[command(flatten)]
    pub gateway: gateway::Config,
    /// The flags of auth.
    #[command(flatten)]
    pub auth: auth::Config,
    /// The flags of data.
    #[command(flatten)]
    pub data: data::Config,
    /// The flags of storage.
    #[command(flatten)]
    pub storage: storage::Config,
}

/// The ports in force.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// PostgreSQL of the project `default`.
    pub database: u16,
    /// The console.
    pub console: SocketAddr,
    /// The probes.
    pub probes: SocketAddr,
    /// The metrics.
    pub metrics: SocketAddr,
}

impl Config {
    /// The ports as given, else the defaults; all free ones if the gateway's port is 0.
    pub fn ports(&self) -> Ports {
        let free = self.listen.port() == 0;
        let or = |default| if free { 0 } else { default };
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        Ports {
            database: self.db_port.unwrap_or(or(54322)),
            console: loopback(self.console_port.unwrap_or(or(54323))),
            probes: self.probes.unwrap_or(if free { loopback(0) } else { any(9440) }),
            metrics: loopback(self.metrics_port.unwrap_or(or(9441))),
        }
    }
}
