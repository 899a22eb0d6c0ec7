//! Documents: a project put together for one reader, with what that reader may know and nothing else.

use base::error::OrInternal;
use base::{Result, Secret};
use common::project::{ApiKey, Document, Keys, ProjectRef, SigningKey};
use serde_json::Value;
use uuid::Uuid;

use crate::Platform;
use crate::models::keys::Pair;
use crate::models::project::{StoredProject, context};

/// A service that may read documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Checks keys and signs role tokens; has no database.
    Gateway,
    /// Signs user tokens.
    Auth,
    /// Verifies tokens.
    Data,
    /// Verifies tokens.
    Storage,
}

impl Reader {
    /// The reader that a mesh identity stands for.
    pub fn of(service: &str) -> Option<Reader> {
        [Reader::Gateway, Reader::Auth, Reader::Data, Reader::Storage]
            .into_iter()
            .find(|r| r.name() == service)
    }

    fn name(self) -> &'static str {
        match self {
            Reader::Gateway => "gateway",
            Reader::Auth => "auth",
            Reader::Data => "data",
            Reader::Storage => "storage",
        }
    }
}

impl Platform {
    /// The project's document for `reader`.
    pub async fn document(&self, reference: &ProjectRef, reader: Reader) -> Result<Option<Document>> {
        let Some(project) = self.find(reference).await? else { return Ok(None) };
        if reader != Reader::Gateway {
            // whoever reads it as a user of the database is about to use it
            self.wake_found(&project).await?;
        }
        let version = sqlx::query_scalar!("SELECT version FROM platform.projects WHERE id = $1", project.id)
            .fetch_one(&self.0.db)
            .await
            .or_internal()?;
        let database = match reader {
            Reader::Gateway => None,
            _ => Some(self.login(&project, reader.name()).await?),
        };
        let settings = sqlx::query_scalar!(
            "SELECT document FROM platform.settings WHERE project_id = $1 AND service = $2",
            project.id,
            reader.name()
        )
        .fetch_optional(&self.0.db)
        .await
        .or_internal()?;
        Ok(Some(Document {
            id: project.id,
            reference: project.reference.clone(),
            version,
            database,
            keys: self.keys(&project, reader).await?,
            settings: settings.unwrap_or(Value::Null),
        }))
    }

    /// The project whose API key has this hash.
    pub async fn key_owner(&self, hash: &str) -> Result<Option<ProjectRef>> {
        let owner = sqlx::query_scalar!(
            "SELECT p.reference FROM platform.api_keys AS k JOIN platform.projects AS p ON p.id = k.project_id
             WHERE k.hash = $1",
            hash
        )
        .fetch_optional(&self.0.db)
        .await
        .or_internal()?;
        owner.map(|reference| reference.parse()).transpose()
    }

    async fn keys(&self, project: &StoredProject, reader: Reader) -> Result<Keys> {
        let mut keys = Keys::default();
        let rows = sqlx::query!(
            "SELECT id, kind, public, sealed FROM platform.token_keys WHERE project_id = $1
             ORDER BY created_at DESC, id",
            project.id
        )
        .fetch_all(&self.0.db)
        .await
        .or_internal()?;
        for row in rows {
            let open = || self.0.master.open(&context(project.id, &row.id), &row.sealed);
            if row.kind == "shared" {
                keys.shared = Some(open()?);
                continue;
            }
            if reader == Reader::Auth && keys.signing.is_none() {
                keys.signing = Some(SigningKey { id: row.id.clone(), pem: open()? });
            }
            if let Some(public) = row.public {
                keys.public.push(serde_json::from_value(public).or_internal()?);
            }
        }
        let (gateway, signing) = self.gateway_key().await?;
        keys.gateway = Some(gateway);
        if reader == Reader::Gateway {
            keys.signing = Some(signing);
            keys.api = self.api_keys(project.id).await?;
        }
        Ok(keys)
    }

    async fn api_keys(&self, project: Uuid) -> Result<Vec<ApiKey>> {
        let rows = sqlx::query!("SELECT hash, role FROM platform.api_keys WHERE project_id = $1", project)
            .fetch_all(&self.0.db)
            .await
            .or_internal()?;
        Ok(rows.into_iter().map(|row| ApiKey { hash: row.hash, role: row.role }).collect())
    }

    /// The installation's key for role tokens, made on first use.
    async fn gateway_key(&self) -> Result<(jsonwebtoken::jwk::Jwk, SigningKey)> {
        const PURPOSE: &str = "gateway role tokens";
        loop {
            let stored = sqlx::query!(
                "SELECT id, public, sealed FROM platform.installation_keys WHERE purpose = $1",
                PURPOSE
            )
            .fetch_optional(&self.0.db)
            .await
            .or_internal()?;
            if let Some(key) = stored {
                let pem: Secret = self.0.master.open(&context(Uuid::nil(), PURPOSE), &key.sealed)?;
                let public = serde_json::from_value(key.public).or_internal()?;
                return Ok((public, SigningKey { id: key.id, pem }));
            }
            let pair = Pair::generate()?;
            // whoever comes second finds the first one's key on the next turn
            sqlx::query!(
                "INSERT INTO platform.installation_keys (id, purpose, public, sealed, created_at)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (purpose) DO NOTHING",
                pair.id,
                PURPOSE,
                serde_json::to_value(&pair.public).or_internal()?,
                self.0.master.seal(&context(Uuid::nil(), PURPOSE), &pair.pem)?,
                self.0.clock.now()
            )
            .execute(&self.0.db)
            .await
            .or_internal()?;
        }
    }
}
