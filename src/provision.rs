//! Projects' databases: an embedded server each, a database each on one shared server, or one that exists.

mod servers;
mod shared;

pub use servers::{Embedded, PLATFORM_SERVER, Servers};

use std::collections::HashSet;
use std::sync::Arc;

use base::error::{BAD_REQUEST, OrInternal};
use base::{Error, Random, Result, Secret};
use common::project::{Endpoint, ProjectRef};
use futures_util::future::{BoxFuture, FutureExt};
use platform::provision::{Login, Place, Placement, Provision};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use crate::migrate::{self, Target};
use crate::postgres::Server;
use shared::SharedServer;

/// Makes and wakes the databases of projects. Cheap to clone.
#[derive(Clone)]
pub struct Provisioner {
    /// Absent where each project's database is on a shared server.
    servers: Option<Servers>,
    random: Random,
    /// The superuser's URL of the shared server.
    shared: Option<Secret>,
    /// The URL of a database that exists, for the project `default`.
    external: Option<External>,
    template: Arc<OnceCell<()>>,
    /// Databases that were brought up to date by this process.
    migrated: Arc<Mutex<HashSet<ProjectRef>>>,
}

/// A database that somebody else runs.
#[derive(Clone)]
pub struct External {
    /// How to reach it; every service logs in as its user.
    pub url: Secret,
    /// Whether our schemas are put into it.
    pub migrate: bool,
}

impl Provisioner {
    /// Uses `servers` for projects with a server of their own.
    pub fn new(
        servers: Option<Servers>,
        shared: Option<Secret>,
        external: Option<External>,
        random: Random,
    ) -> Provisioner {
        Provisioner { servers, random, shared, external, template: Arc::default(), migrated: Arc::default() }
    }

    async fn on_own_server(&self, reference: &ProjectRef) -> Result<Vec<Login>> {
        let server = self.servers()?.ensure(reference.as_str()).await?;
        let mut connection = migrate::connect(server.admin()).await?;
        let place = place(&server);
        let mut logins = vec![Login { service: "admin", endpoint: server.admin().clone() }];
        for (service, role, attributes) in [
            ("auth", "supabase_auth_admin", "LOGIN"),
            ("data", "authenticator", "LOGIN"),
            ("storage", "supabase_storage_admin", "LOGIN"),
            ("owner", "postgres", owner_attributes(&server)),
        ] {
            let password = Secret::new(self.random.token(24));
            // the password is base64url: nothing in it needs quoting
            execute(
                &mut connection,
                format!("ALTER ROLE {role} {attributes} PASSWORD '{}'", password.expose()),
            )
            .await?;
            let (host, port) = if service == "owner" { place.owner.clone() } else { place.services.clone() };
            let database = "postgres".to_owned();
            let (user, options) = (role.to_owned(), String::new());
            let endpoint = Endpoint { host, port, database, user, password, tls: false, options };
            logins.push(Login { service, endpoint });
        }
        execute(&mut connection, "ALTER DATABASE postgres OWNER TO postgres".to_owned()).await?;
        connection.close().await.or_internal()?;
        Ok(logins)
    }

    fn servers(&self) -> Result<&Servers> {
        self.servers.as_ref().ok_or_else(|| {
            BAD_REQUEST
                .error("no servers are started here for placement `server`")
                .with_hint("make the project on the shared server: --shared")
        })
    }

    fn shared_server(&self) -> Result<SharedServer> {
        let url = self.shared.as_ref().ok_or_else(|| {
            BAD_REQUEST
                .error("there is no shared server for placement `database`")
                .with_hint("start with --shared-database-url")
        })?;
        Ok(SharedServer { admin: Endpoint::parse(url)?, template: self.template.clone() })
    }

    async fn existing(&self) -> Result<Vec<Login>> {
        let external = self.external.as_ref();
        let external =
            external.ok_or_else(|| Error::internal("no --database-url for an external project"))?;
        let endpoint = Endpoint::parse(&external.url)?;
        let connection = migrate::connect(&endpoint).await.map_err(|error| {
            let message = format!("the database of --database-url at {} does not let us in", endpoint.host);
            BAD_REQUEST.error(message).caused_by(error)
        })?;
        connection.close().await.or_internal()?;
        let services = ["auth", "data", "storage", "owner", "admin"];
        Ok(services.map(|service| Login { service, endpoint: endpoint.clone() }).into())
    }

    /// Brings a database that we do not start up to date, once per process. Requests wait for it.
    async fn migrate_once(&self, reference: &ProjectRef, admin: &Endpoint) -> Result<()> {
        let mut migrated = self.migrated.lock().await;
        if !migrated.contains(reference) {
            migrate::run(Target::Project, &mut migrate::connect(admin).await?).await?;
            migrated.insert(reference.clone());
        }
        Ok(())
    }
}

impl Provision for Provisioner {
    fn usual(&self) -> Placement {
        if self.servers.is_some() { Placement::Server } else { Placement::Database }
    }

    fn provision<'a>(
        &'a self,
        id: Uuid,
        reference: &'a ProjectRef,
        placement: Placement,
    ) -> BoxFuture<'a, Result<Vec<Login>>> {
        async move {
            match placement {
                Placement::Server => self.on_own_server(reference).await,
                Placement::Database => self.shared_server()?.place(id, &self.random).await,
                Placement::External => self.existing().await,
            }
        }
        .boxed()
    }

    fn wake<'a>(
        &'a self,
        reference: &'a ProjectRef,
        placement: Placement,
        admin: &'a Endpoint,
    ) -> BoxFuture<'a, Result<Option<Place>>> {
        async move {
            let is_ours = self.external.as_ref().is_some_and(|external| external.migrate);
            match placement {
                Placement::Server => {
                    let server = self.servers()?.ensure(reference.as_str()).await?;
                    return Ok(Some(place(&server)));
                }
                Placement::External if !is_ours => {}
                Placement::Database | Placement::External => self.migrate_once(reference, admin).await?,
            }
            Ok(None)
        }
        .boxed()
    }
}

/// What the project's owner may do on a server of its own. Before PostgreSQL 16 a role that makes roles can grant
/// itself `pg_execute_server_program`, and with it the user that all embedded servers run as.
fn owner_attributes(server: &Server) -> &'static str {
    if server.major() < 16 {
        "LOGIN CREATEDB NOCREATEROLE REPLICATION BYPASSRLS"
    } else {
        "LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS"
    }
}

/// Services use the UNIX socket, people TCP.
fn place(server: &Server) -> Place {
    let admin = server.admin();
    Place { services: (admin.host.clone(), admin.port), owner: (server.public_host(), admin.port) }
}

/// Runs one statement that takes no parameters; what is in it comes from us, never from a request.
fn execute(connection: &mut PgConnection, statement: String) -> BoxFuture<'_, Result<()>> {
    async move {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.or_internal()?;
        Ok(())
    }
    .boxed()
}
