//! How a project gets its database. The process that runs the platform brings the means: an embedded server per
//! project, a shared server by URL, or a database that exists already.

use base::Result;
use common::project::{Endpoint, ProjectRef};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a project's database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// A PostgreSQL server of its own, started on first use and stopped when idle.
    Server,
    /// A database on one shared server; login roles of its own.
    Database,
    /// A database that somebody else runs; nothing is changed in it unless asked.
    External,
}

impl Placement {
    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Placement::Server => "server",
            Placement::Database => "database",
            Placement::External => "external",
        }
    }

    /// Reads a stored name.
    pub fn parse(name: &str) -> Option<Placement> {
        [Placement::Server, Placement::Database, Placement::External].into_iter().find(|p| p.as_str() == name)
    }
}

/// One login to a project's database.
#[derive(Clone, Debug)]
pub struct Login {
    /// `auth`, `data` or `storage`; `owner` is the one people use, `admin` the one migrations run as.
    pub service: &'static str,
    /// Where and as whom.
    pub endpoint: Endpoint,
}

/// Where a woken database is, for services and for people; they differ where services use a UNIX socket.
#[derive(Clone, Debug)]
pub struct Place {
    /// Host (or socket folder) and port for services.
    pub services: (String, u16),
    /// Host (or socket folder) and port for the owner.
    pub owner: (String, u16),
}

/// Makes and wakes databases.
pub trait Provision: Send + Sync {
    /// Where a project's database goes if nobody says.
    fn usual(&self) -> Placement;

    /// Makes a database with every schema of ours in it, and its logins.
    fn provision<'a>(
        &'a self,
        id: Uuid,
        reference: &'a ProjectRef,
        placement: Placement,
    ) -> BoxFuture<'a, Result<Vec<Login>>>;

    /// Returns when the project's database accepts connections and has our newest schemas; says where it is if that
    /// may change. `admin` is the login that migrations run as.
    fn wake<'a>(
        &'a self,
        reference: &'a ProjectRef,
        placement: Placement,
        admin: &'a Endpoint,
    ) -> BoxFuture<'a, Result<Option<Place>>>;
}
