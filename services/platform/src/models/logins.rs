//! Where each service, the owner and our migrations log in to a project's database.

use base::Result;
use base::error::OrInternal;
use common::project::{Endpoint, ProjectRef};
use uuid::Uuid;

use crate::Platform;
use crate::models::project::{StoredProject, Tx, changed, context, not_found};
use crate::provision::{Login, Place};

impl Platform {
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
            options: String::new(),
        })
    }

    /// Writes where the project's database is, if it is not there already.
    pub(super) async fn move_logins(&self, project: Uuid, place: &Place) -> Result<()> {
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

    pub(super) async fn insert_logins(&self, tx: &mut Tx, project: Uuid, logins: &[Login]) -> Result<()> {
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
}
