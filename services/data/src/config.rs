//! How the process runs the data service; what a project decides is in `settings.rs`.

use std::time::Duration;

use clap::Args;
use common::db::Budget;

/// Configuration of the data service.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// Connections over all projects. Each active project uses one of its share to listen for schema changes.
    #[arg(long = "data-connections", env = "MESHBASE_DATA_CONNECTIONS", default_value_t = 64)]
    pub connections: u32,
    /// Connections for one project.
    #[arg(
        long = "data-connections-per-project",
        env = "MESHBASE_DATA_CONNECTIONS_PER_PROJECT",
        default_value_t = 8
    )]
    pub connections_per_project: u32,
    /// Seconds after which an unused connection is closed, and an unused project forgotten.
    #[arg(long = "data-idle-seconds", env = "MESHBASE_DATA_IDLE_SECONDS", default_value_t = 120)]
    pub idle_seconds: u64,
    /// Seconds a request waits for a connection.
    #[arg(long = "data-wait-seconds", env = "MESHBASE_DATA_WAIT_SECONDS", default_value_t = 5)]
    pub wait_seconds: u64,
    /// Largest request body, in bytes.
    #[arg(long = "data-max-body-bytes", env = "MESHBASE_DATA_MAX_BODY_BYTES", default_value_t = 10 * 1024 * 1024)]
    pub max_body_bytes: usize,
}

impl Default for Config {
    fn default() -> Config {
        let budget = Budget::default();
        Config {
            connections: budget.total,
            connections_per_project: budget.per_project,
            idle_seconds: budget.idle.as_secs(),
            wait_seconds: budget.wait.as_secs(),
            max_body_bytes: 10 * 1024 * 1024,
        }
    }
}

impl Config {
    /// How many connections there may be, and how long they live.
    pub fn budget(&self) -> Budget {
        Budget {
            total: self.connections,
            per_project: self.connections_per_project,
            idle: Duration::from_secs(self.idle_seconds),
            wait: Duration::from_secs(self.wait_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_defaults_of_the_flags_are_the_defaults() {
        let matches = <Program as clap::CommandFactory>::command().get_matches_from(["program"]);

        let parsed = Program::from_arg_matches(&matches).unwrap().config;

        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
    }
}
