//! A project's sealed keys: the pair that signs user tokens, the shared secret, the hashes of its API keys.

use base::error::OrInternal;
use base::secret::sha256_hex;
use base::{Result, Secret};
use common::project::ProjectRef;

use crate::Platform;
use crate::models::keys::Pair;
use crate::models::project::{StoredProject, Tx, changed, context, not_found};

impl Platform {
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

    pub(super) async fn shared_secret(&self, project: &StoredProject) -> Result<Secret> {
        let sealed = sqlx::query_scalar!(
            "SELECT sealed FROM platform.token_keys WHERE project_id = $1 AND kind = 'shared'",
            project.id
        )
        .fetch_one(&self.0.db)
        .await
        .or_internal()?;
        self.0.master.open(&context(project.id, "shared"), &sealed)
    }

    pub(super) async fn insert_token_keys(
        &self,
        tx: &mut Tx,
        project: &StoredProject,
        shared: &Secret,
    ) -> Result<()> {
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

    pub(super) async fn insert_api_key(
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
