//! What the process decides for all projects; what a project decides is in [`crate::Settings`].

use common::db::Budget;

/// Options of the auth service.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Allow projects to confirm addresses without a mail. Only for a gateway that listens on loopback and has no
    /// SMTP server: elsewhere anybody could claim any address.
    #[arg(long = "auth-allow-autoconfirm", env = "MESHBASE_AUTH_ALLOW_AUTOCONFIRM")]
    pub allow_autoconfirm: bool,
    /// Database connections over all projects
    #[arg(long = "auth-max-connections", env = "MESHBASE_AUTH_MAX_CONNECTIONS", default_value_t = Config::default().max_connections)]
    pub max_connections: u32,
    /// Database connections for one project
    #[arg(long = "auth-max-connections-per-project", env = "MESHBASE_AUTH_MAX_CONNECTIONS_PER_PROJECT", default_value_t = Config::default().max_connections_per_project)]
    pub max_connections_per_project: u32,
}

impl Default for Config {
    fn default() -> Config {
        let budget = Budget::default();
        Config {
            allow_autoconfirm: false,
            max_connections: budget.total,
            max_connections_per_project: budget.per_project,
        }
    }
}

impl Config {
    pub(crate) fn budget(&self) -> Budget {
        Budget {
            total: self.max_connections,
            per_project: self.max_connections_per_project,
            ..Budget::default()
        }
    }
}
