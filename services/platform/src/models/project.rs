//! Projects: creating, finding, listing, waking, and what their owner needs to use them.

use base::error::OrInternal;
use base::{Code, Error, Result, Secret, Timestamp};
use common::project::ProjectRef;
use common::projects::PROJECT_NOT_FOUND;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::Platform;
use crate::models::keys;
use crate::provision::Placement;

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
    /// Where a project's database goes if nobody says.
    pub(crate) fn usual_placement(&self) -> Placement {
        self.0.provision.usual()
    }

    /// Makes a project with its database and keys. Once begun it goes on though nobody waits for it any more: half a
    /// project would be one that nobody can use or make again.
    ///
    /// Errors: `project_exists` (409).
    pub async fn create(&self, new: NewProject) -> Result<(StoredProject, Access)> {
        let platform = self.clone();
        tokio::spawn(async move { platform.create_alone(new).await }).await.or_internal()?
    }

    /// Of several that make the same project, one does and the others find it there.
    async fn create_alone(&self, new: NewProject) -> Result<(StoredProject, Access)> {
        let _turn = self.0.creating.acquire().await.or_internal()?;
        let mut tx = self.0.db.begin().await.or_internal()?;
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", new.reference.as_str())
            .execute(&mut *tx)
            .await
            .or_internal()?;
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
            db_url: owner.url(),
            jwt_secret: shared,
            reference: project.reference,
            publishable_key: None,
            secret_key: None,
        })
    }

    /// Returns when the project's database accepts connections; a database that moved gets its new address.
    pub async fn wake(&self, reference: &ProjectRef) -> Result<()> {
        let project = self.find(reference).await?.ok_or_else(|| not_found(reference))?;
        self.wake_found(&project).await
    }

    /// As [`Platform::wake`], for a project that was just read.
    pub(super) async fn wake_found(&self, project: &StoredProject) -> Result<()> {
        let admin = self.login(project, "admin").await?;
        match self.0.provision.wake(&project.reference, project.placement, &admin).await? {
            Some(place) => self.move_logins(project.id, &place).await,
            None => Ok(()),
        }
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
}

pub(crate) type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

/// What a sealed value is and whose: it opens nowhere else.
pub(crate) fn context(project: Uuid, what: &str) -> String {
    format!("{project}/{what}")
}

/// Gives the project a new version, which tells every watcher. Writers of versions wait for each other, so that
/// versions commit in their order and a watcher that saw one has seen all before it. Readers are not held up.
pub(super) async fn changed(tx: &mut Tx, project: Uuid) -> Result<()> {
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

pub(super) fn not_found(reference: &ProjectRef) -> Error {
    PROJECT_NOT_FOUND.error(format!("no project {reference}"))
}
