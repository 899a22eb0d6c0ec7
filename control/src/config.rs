//! The flags of `meshbase control`.

use std::net::SocketAddr;
use std::path::PathBuf;

use base::Secret;

/// Steers every proxy: who is who, what is where, what may be called how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// The database that every replica shares, migrated at the start.
    #[arg(long, env = "MESHBASE_CONTROL_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    #[arg(required_unless_present = "database_url_file")]
    pub database_url: Option<Secret>,
    /// The file with that URL.
    #[arg(long, env = "MESHBASE_CONTROL_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// What `meshbase init` wrote for the control plane: the first root, and the tokens of services.
    #[arg(long, env = "MESHBASE_BOOTSTRAP_FILE", value_name = "FILE")]
    pub bootstrap: Option<PathBuf>,
    /// The file of the key that seals the roots' keys; written if it is not there.
    #[arg(long, env = "MESHBASE_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key: PathBuf,
    /// The SPIFFE trust domain of all workloads. It cannot be changed later.
    #[arg(long, env = "MESHBASE_TRUST_DOMAIN", default_value = "meshbase.local", value_name = "DOMAIN")]
    pub trust_domain: String,
    /// Where proxies listen for changes, over mutual TLS.
    #[arg(long, env = "MESHBASE_CONTROL_LISTEN", default_value = "0.0.0.0:9444", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where workloads without a certificate join.
    #[arg(long, env = "MESHBASE_JOIN_LISTEN", default_value = "0.0.0.0:9445", value_name = "ADDR")]
    pub join_listen: SocketAddr,
    /// The socket of `meshbase mesh`.
    #[arg(
        long,
        env = "MESHBASE_CONTROL_ADMIN",
        default_value = "/run/meshbase/control.sock",
        value_name = "PATH"
    )]
    pub admin: PathBuf,
    /// Where autoscalers read how much each service has to do: `/mesh/demand`, and `/metrics` for Prometheus.
    #[arg(long, env = "MESHBASE_DEMAND_LISTEN", value_name = "ADDR")]
    pub demand_listen: Option<SocketAddr>,
    /// The file of the token that they must show; needed beyond loopback.
    #[arg(long, env = "MESHBASE_DEMAND_TOKEN_FILE", value_name = "FILE", requires = "demand_listen")]
    pub demand_token: Option<PathBuf>,
    /// How long a certificate is good. It is renewed when half of that is over.
    #[arg(long, env = "MESHBASE_SVID_TTL", default_value_t = 72 * 3600, value_name = "SECONDS")]
    pub svid_ttl_seconds: u64,
    /// How long a new root is only trusted before it signs: until then every proxy must have heard of it.
    #[arg(long, env = "MESHBASE_ROOT_SPREAD", default_value_t = 600, value_name = "SECONDS")]
    pub root_spread_seconds: u64,
    /// How long an endpoint that nothing is heard of counts as there.
    #[arg(long, env = "MESHBASE_LEASE", default_value_t = 15, value_name = "SECONDS")]
    pub lease_seconds: u64,
    /// Where /livez, /readyz and /startupz are.
    #[arg(long, env = "MESHBASE_PROBES", default_value = "0.0.0.0:9440", value_name = "ADDR")]
    pub probes: SocketAddr,
}
