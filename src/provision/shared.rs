//! A server that projects share: a database each, copied from a template that has every schema of ours.

use std::sync::Arc;

use base::error::OrInternal;
use base::{Random, Result, Secret};
use common::project::Endpoint;
use platform::provision::Login;
use sqlx::Connection;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::execute;
use crate::migrate::{self, Target};

/// The database that projects are copied from.
const TEMPLATE: &str = "meshbase_template";

/// The server, as its superuser.
pub(super) struct SharedServer {
    pub(super) admin: Endpoint,
    /// Set once this process has brought the template up to date.
    pub(super) template: Arc<OnceCell<()>>,
}

impl SharedServer {
    /// A database on the shared server, copied from a template that has every schema.
    ///
    /// Roles belong to the whole server: the API's roles are shared and cannot log in; each project gets logins of
    /// its own, which may connect to its database and to no other.
    pub(super) async fn place(self, id: Uuid, random: &Random) -> Result<Vec<Login>> {
        let admin = self.admin;
        self.template.get_or_try_init(|| make_template(&admin)).await?;
        let mut connection = migrate::connect(&admin).await?;
        let short = &id.simple().to_string()[..12];
        let database = format!("project_{}", id.simple());
        execute(&mut connection, format!("CREATE DATABASE {database} TEMPLATE {TEMPLATE}")).await?;
        execute(&mut connection, format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC")).await?;
        let mut logins = Vec::new();
        for (service, member_of) in [
            ("auth", "supabase_auth_admin"),
            ("data", "anon, authenticated, service_role"),
            ("storage", "supabase_storage_admin"),
            (
                "owner",
                "anon, authenticated, service_role, supabase_auth_admin, supabase_storage_admin, \
                 supabase_realtime_admin",
            ),
        ] {
            let role = format!("p{short}_{service}");
            let password = Secret::new(random.token(24));
            let inherit = if service == "data" { "NOINHERIT" } else { "INHERIT" };
            let create = format!("CREATE ROLE {role} LOGIN {inherit} PASSWORD '{}'", password.expose());
            execute(&mut connection, format!("{create} IN ROLE {member_of}")).await?;
            execute(&mut connection, format!("GRANT CONNECT ON DATABASE {database} TO {role}")).await?;
            let endpoint = Endpoint { user: role, password, database: database.clone(), ..admin.clone() };
            logins.push(Login { service, endpoint });
        }
        connection.close().await.or_internal()?;
        let admin = Endpoint { database, ..admin };
        finish_shared(&admin, short).await?;
        logins.push(Login { service: "admin", endpoint: admin });
        Ok(logins)
    }
}

/// Makes the template if it is not there, brings it up to date, and closes every database to strangers.
async fn make_template(admin: &Endpoint) -> Result<()> {
    let mut connection = migrate::connect(admin).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(TEMPLATE)
        .fetch_one(&mut connection)
        .await
        .or_internal()?;
    if !exists {
        execute(&mut connection, format!("CREATE DATABASE {TEMPLATE}")).await?;
    }
    // tenants' logins are the server's: no database of it lets in whoever has not been named
    let databases: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(datname) FROM pg_database WHERE datallowconn AND NOT datistemplate",
    )
    .fetch_all(&mut connection)
    .await
    .or_internal()?;
    for database in databases.iter().map(String::as_str).chain(["template1"]) {
        execute(&mut connection, format!("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")).await?;
    }
    connection.close().await.or_internal()?;
    let template = Endpoint { database: TEMPLATE.to_owned(), ..admin.clone() };
    let mut connection = migrate::connect(&template).await?;
    migrate::run(Target::Project, &mut connection).await?;
    connection.close().await.or_internal()
}

/// What a copy does not take over, and what belongs to the project's own owner.
async fn finish_shared(admin: &Endpoint, short: &str) -> Result<()> {
    let mut connection = migrate::connect(admin).await?;
    let owner = format!("p{short}_owner");
    for statement in [
        "SELECT meshbase.apply_settings()".to_owned(),
        format!("ALTER DATABASE {} OWNER TO {owner}", admin.database),
        format!("GRANT ALL ON SCHEMA public, extensions, auth, storage, realtime TO {owner}"),
        format!("ALTER ROLE p{short}_auth IN DATABASE {} SET search_path = auth", admin.database),
        format!("ALTER ROLE p{short}_storage IN DATABASE {} SET search_path = storage", admin.database),
        format!("ALTER PUBLICATION supabase_realtime OWNER TO {owner}"),
        format!("GRANT USAGE ON SCHEMA meshbase TO {owner}"),
        format!("GRANT SELECT, UPDATE ON meshbase.settings TO {owner}"),
    ] {
        execute(&mut connection, statement).await?;
    }
    for kind in ["TABLES", "SEQUENCES", "FUNCTIONS"] {
        execute(
            &mut connection,
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public \
                 GRANT ALL ON {kind} TO anon, authenticated, service_role"
            ),
        )
        .await?;
    }
    connection.close().await.or_internal()
}
