//! Projects: creating, finding, listing, waking, and what their owner needs to use them.

use base::error::OrInternal;
use base::secret::sha256_hex;
use base::{Code, Error, Result, Secret, Timestamp};
use common::project::{Endpoint, ProjectRef};
use common::projects::PROJECT_NOT_FOUND;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::Platform;
use crate::models::keys::{self, Pair};
use crate::provision::{Login, Place, Placement};

/// The reference is taken.
pub const PROJECT_EXISTS: Code = Code::new(409, "project_exists");

/// What a project starts from.
pub struct NewProject {
    /// Its reference.
    pub reference: ProjectRef,
    /// A name for people.
    pub name: String,
    /// Where its database goes.
    pub placement: Placement,
    /// The shared secret; generated if not given.
    pub jwt_secret: Option<Secret>,
}

/// A stored project.
#[derive(Clone, Debug)]
pub struct StoredProject {
    /// Never changes, never reused.
    pub id: Uuid,
    /// The public name.
    pub reference: ProjectRef,
    /// The name for people.
    pub name: String,
    /// Where its database is.
    pub placement: Placement,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What the owner of a project needs to use it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access {
    /// The reference.
    pub reference: ProjectRef,
    /// The legacy key for browsers.
    pub anon_key: String,
    /// The legacy key that passes row-level security by.
    pub service_role_key: Secret,
    /// The secret of HS256 tokens.
    pub jwt_secret: Secret,
    /// The owner's database URL.
    pub db_url: Secret,
    /// The key for browsers; with `secret_key` only in the answer that made the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publishable_key: Option<Secret>,
    /// The key for servers, shown once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
}

impl Platform {
    /// Makes a project with its database and keys.
    ///
    /// Errors: `project_exists` (409).
    pub async fn create(&self, new: NewProject) -> Result<(StoredProject, Access)> {
        if self.find(&new.reference).await?.is_some() {
            return Err(taken(&new.reference));
        }
        let random = &self.0.random;
        let project = StoredProject {
            id: random.uuid(),
            reference: new.reference,
            name: new.name,
            placement: new.placement,
            created_at: self.0.clock.now(),
        };
        let logins = self.0.provision.provision(project.id, &project.reference, project.placement).await?;
        let shared = new.jwt_secret.unwrap_or_else(|| Secret::new(random.token(48)));
        let publishable = keys::api_key("publishable", random);
        let secret = keys::api_key("secret", random);

        let mut tx = self.0.db.begin().await.or_internal()?;
        self.insert(&mut tx, &project).await?;
        self.insert_logins(&mut tx, project.id, &logins).await?;
        self.insert_token_keys(&mut tx, &project, &shared).await?;
        self.insert_api_key(&mut tx, &project, "anon", &publishable).await?;
        self.insert_api_key(&mut tx, &project, "service_role", &secret).await?;
        tx.commit().await.or_internal()?;

        let mut access = self.access(&project.reference).await?;
        access.publishable_key = Some(publishable);
        access.secret_key = Some(secret);
        Ok((project, access))
    }

    /// The project with this reference.
    pub async fn find(&self, reference: &ProjectRef) -> Result<Option<StoredProject>> {
        let projects = self.projects(Some(reference.as_str())).await?;
        Ok(projects.into_iter().next())
    }

    /// Every project, by reference.
    pub async fn list(&self) -> Result<Vec<StoredProject>> {
        self.projects(None).await
    }

    async fn projects(&self, reference: Option<&str>) -> Result<Vec<StoredProject>> {
        let rows = sqlx::query!(
            "SELECT id, reference, name, placement, created_at FROM platform.projects
             WHERE $1::text IS NULL OR reference = $1 ORDER BY reference",
            reference
        )
        .fetch_all(&self.0.db)
        .await
        .or_internal()?;
        let stored = rows.into_iter().map(|row| {
            Ok(StoredProject {
                id: row.id,
                reference: row.reference.parse()?,
                name: row.name,
                placement: Placement::parse(&row.placement)
                    .ok_or_else(|| Error::internal("the stored placement is unknown"))?,
                created_at: row.created_at,
            })
        });
        stored.collect()
    }

    /// What the owner needs to use the project; the keys that are shown once are not in it.
    pub async fn access(&self, reference: &ProjectRef) -> Result<Access> {
        let project = self.find(reference).await?.ok_or_else(|| not_found(reference))?;
        let shared = self.shared_secret(&project).await?;
        let owner = self.login(&project, "owner").await?;
        let legacy = |role| keys::legacy_key(&project.reference, role, &shared, project.created_at);
        Ok(Access {
            anon_key: legacy("anon")?,
            service_role_key: Secret::new(legacy("service_role")?),
            db_url: Secret::new(url(&owner)),
            jwt_secret: shared,
            reference: project.reference,
            publishable_key: None,
            secret_key: None,
        })
    }

    /// Returns when the project's database accepts connections; a database that moved gets its new address.
    pub async fn wake(&self, reference: &ProjectRef) -> Result<()> {
        let project = self.find(reference).await?.ok_or_else(|| not_found(reference))?;
        match self.0.provision.wake(reference, project.placement).await? {
            Some(place) => self.move_logins(project.id, &place).await,
            None => Ok(()),
        }
    }

    /// Writes where the project's database is, if it is not there already.
    async fn move_logins(&self, project: Uuid, place: &Place) -> Result<()> {
        let mut tx = self.0.db.begin().await.or_internal()?;
        let moved = sqlx::query!(
            "UPDATE platform.logins
             SET host = place.host, port = place.port
             FROM (VALUES (false, $2::text, $3::integer), (true, $4::text, $5::integer)) AS place (owner, host, port)
             WHERE project_id = $1 AND (service = 'owner') = place.owner
               AND (logins.host, logins.port) IS DISTINCT FROM (place.host, place.port)",
            project,
            place.services.0,
            i32::from(place.services.1),
            place.owner.0,
            i32::from(place.owner.1)
        )
        .execute(&mut *tx)
        .await
        .or_internal()?;
        if moved.rows_affected() > 0 {
            changed(&mut tx, project).await?;
        }
        tx.commit().await.or_internal()
    }

    /// Replaces the shared secret of HS256 tokens; nothing happens if it is the same.
    pub async fn set_shared_secret(&self, reference: &ProjectRef, secret: &Secret) -> Result<()> {
        let project = self.find(reference).await?.ok_or_else(|| not_found(reference))?;
        if self.shared_secret(&project).await?.matches(secret.expose()) {
            return Ok(());
        }
        let sealed = self.0.master.seal(&context(project.id, "shared"), secret)?;
        let mut tx = self.0.db.begin().await.or_internal()?;
        sqlx::query!(
            "UPDATE platform.token_keys SET sealed = $2 WHERE project_id = $1 AND kind = 'shared'",
            project.id,
            sealed
        )
        .execute(&mut *tx)
        .await
        .or_internal()?;
        changed(&mut tx, project.id).await?;
        tx.commit().await.or_internal()
    }

    /// Replaces one service's settings; nothing happens if they are the same.
    pub async fn set_settings(&self, reference: &ProjectRef, service: &str, settings: &Value) -> Result<()> {
        let project = self.find(reference).await?.ok_or_else(|| not_found(reference))?;
        let mut tx = self.0.db.begin().await.or_internal()?;
        let written = sqlx::query!(
            "INSERT INTO platform.settings AS s (project_id, service, document) VALUES ($1, $2, $3)
             ON CONFLICT (project_id, service) DO UPDATE SET document = EXCLUDED.document
             WHERE s.document IS DISTINCT FROM EXCLUDED.document",
            project.id,
            service,
            settings
        )
        .execute(&mut *tx)
        .await
        .or_internal()?;
        if written.rows_affected() > 0 {
            changed(&mut tx, project.id).await?;
        }
        tx.commit().await.or_internal()
    }

    /// Replaces where the project's logins go, for a database that moved.
    pub async fn set_logins(&self, reference: &ProjectRef, logins: &[Login]) -> Result<()> {
        let project = self.find(reference).await?.ok_or_else(|| not_found(reference))?;
        let mut tx = self.0.db.begin().await.or_internal()?;
        sqlx::query!("DELETE FROM platform.logins WHERE project_id = $1", project.id)
            .execute(&mut *tx)
            .await
            .or_internal()?;
        self.insert_logins(&mut tx, project.id, logins).await?;
        changed(&mut tx, project.id).await?;
        tx.commit().await.or_internal()
    }

    /// One of the project's logins.
    pub async fn login(&self, project: &StoredProject, service: &str) -> Result<Endpoint> {
        let row = sqlx::query!(
            "SELECT host, port, database, tls, role, sealed_password FROM platform.logins
             WHERE project_id = $1 AND service = $2",
            project.id,
            service
        )
        .fetch_one(&self.0.db)
        .await
        .or_internal()?;
        Ok(Endpoint {
            host: row.host,
            port: u16::try_from(row.port).or_internal()?,
            database: row.database,
            user: row.role,
            password: self.0.master.open(&context(project.id, service), &row.sealed_password)?,
            tls: row.tls,
        })
    }

    async fn shared_secret(&self, project: &StoredProject) -> Result<Secret> {
        let sealed = sqlx::query_scalar!(
            "SELECT sealed FROM platform.token_keys WHERE project_id = $1 AND kind = 'shared'",
            project.id
        )
        .fetch_one(&self.0.db)
        .await
        .or_internal()?;
        self.0.master.open(&context(project.id, "shared"), &sealed)
    }

    async fn insert(&self, tx: &mut Tx, project: &StoredProject) -> Result<()> {
        take_turn(tx).await?;
        sqlx::query!(
            "INSERT INTO platform.projects (id, reference, name, placement, created_at)
             VALUES ($1, $2, $3, $4, $5)",
            project.id,
            project.reference.as_str(),
            project.name,
            project.placement.as_str(),
            project.created_at
        )
        .execute(&mut **tx)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => taken(&project.reference),
            _ => Error::internal(error),
        })?;
        Ok(())
    }

    async fn insert_logins(&self, tx: &mut Tx, project: Uuid, logins: &[Login]) -> Result<()> {
        for Login { service, endpoint } in logins {
            let sealed = self.0.master.seal(&context(project, service), &endpoint.password)?;
            sqlx::query!(
                "INSERT INTO platform.logins
                   (project_id, service, host, port, database, tls, role, sealed_password)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                project,
                service,
                endpoint.host,
                i32::from(endpoint.port),
                endpoint.database,
                endpoint.tls,
                endpoint.user,
                sealed
            )
            .execute(&mut **tx)
            .await
            .or_internal()?;
        }
        Ok(())
    }

    async fn insert_token_keys(&self, tx: &mut Tx, project: &StoredProject, shared: &Secret) -> Result<()> {
        let pair = Pair::generate()?;
        let rows = [
            (pair.id.as_str(), "signing", Some(serde_json::to_value(&pair.public).or_internal()?), &pair.pem),
            ("shared", "shared", None, shared),
        ];
        for (id, kind, public, secret) in rows {
            sqlx::query!(
                "INSERT INTO platform.token_keys (project_id, id, kind, public, sealed, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                project.id,
                id,
                kind,
                public,
                self.0.master.seal(&context(project.id, id), secret)?,
                project.created_at
            )
            .execute(&mut **tx)
            .await
            .or_internal()?;
        }
        Ok(())
    }

    async fn insert_api_key(
        &self,
        tx: &mut Tx,
        project: &StoredProject,
        role: &str,
        key: &Secret,
    ) -> Result<()> {
        sqlx::query!(
            "INSERT INTO platform.api_keys (id, project_id, name, role, hash, prefix, created_at)
             VALUES ($1, $2, 'default ' || $3, $3, $4, left($5, 20), $6)",
            self.0.random.uuid(),
            project.id,
            role,
            sha256_hex(key.expose()),
            key.expose(),
            project.created_at
        )
        .execute(&mut **tx)
        .await
        .or_internal()?;
        Ok(())
    }
}

pub(crate) type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

/// What a sealed value is and whose: it opens nowhere else.
pub(crate) fn context(project: Uuid, what: &str) -> String {
    format!("{project}/{what}")
}

/// Gives the project a new version, which tells every watcher. Writers of versions wait for each other, so that
/// versions commit in their order and a watcher that saw one has seen all before it. Readers are not held up.
async fn changed(tx: &mut Tx, project: Uuid) -> Result<()> {
    take_turn(tx).await?;
    sqlx::query!(
        "UPDATE platform.projects SET version = nextval('platform.versions') WHERE id = $1",
        project
    )
    .execute(&mut **tx)
    .await
    .or_internal()?;
    Ok(())
}

async fn take_turn(tx: &mut Tx) -> Result<()> {
    sqlx::query!("LOCK TABLE platform.projects IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut **tx)
        .await
        .or_internal()?;
    Ok(())
}

fn taken(reference: &ProjectRef) -> Error {
    PROJECT_EXISTS.error(format!("project {reference} exists already"))
}

fn not_found(reference: &ProjectRef) -> Error {
    PROJECT_NOT_FOUND.error(format!("no project {reference}"))
}

/// A libpq URL; a socket's folder goes into the query, as libpq has it.
fn url(endpoint: &Endpoint) -> String {
    let Endpoint { host, port, database, user, password, .. } = endpoint;
    let password = password.expose();
    if host.starts_with('/') {
        format!("postgresql://{user}:{password}@/{database}?host={host}&port={port}")
    } else {
        format!("postgresql://{user}:{password}@{host}:{port}/{database}")
    }
}
