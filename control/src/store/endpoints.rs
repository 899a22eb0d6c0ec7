//! Who is found by others, and for how long that is believed; the replicas and what they know of proxies.

use base::Result;
use base::error::OrInternal;
use mesh::steer::Presence;
use serde_json::Value;
use uuid::Uuid;

use super::{CHANNEL, Store};

/// One instance of a service, as it registers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Registration {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) presence: Presence,
}

/// One instance as all replicas know it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Registered {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) presence: Presence,
}

impl Store {
    /// Registers an instance on a replica's stream, and tells the replicas if that is news.
    pub(crate) async fn register(&self, one: &Registration, replica: Uuid, lease_seconds: f64) -> Result<()> {
        let Presence { address, zone, weight } = &one.presence;
        sqlx::query!(
            "WITH before AS (
                 SELECT address, zone, weight FROM control.endpoints WHERE service = $1 AND instance = $2
             ), put AS (
                 INSERT INTO control.endpoints (service, instance, address, zone, weight, replica, lease_until)
                 VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
                 ON CONFLICT (service, instance) DO UPDATE SET address = excluded.address, zone = excluded.zone,
                     weight = excluded.weight, replica = excluded.replica, lease_until = excluded.lease_until
             )
             SELECT pg_notify($8, 'endpoints')
             WHERE NOT EXISTS (SELECT FROM before WHERE (address, zone, weight) IS NOT DISTINCT FROM ($3, $4, $5))",
            one.service,
            one.instance,
            address,
            zone.as_deref(),
            i32::try_from(*weight).unwrap_or(i32::MAX),
            replica,
            lease_seconds,
            CHANNEL,
        )
        .fetch_optional(&self.pool)
        .await
        .or_internal()?;
        Ok(())
    }

    /// Takes an instance off, and tells the replicas.
    pub(crate) async fn deregister(&self, service: &str, instance: &str) -> Result<()> {
        sqlx::query!(
            "WITH gone AS (
                 DELETE FROM control.endpoints WHERE service = $1 AND instance = $2 RETURNING service
             )
             SELECT pg_notify($3, 'endpoints') FROM gone",
            service,
            instance,
            CHANNEL,
        )
        .fetch_optional(&self.pool)
        .await
        .or_internal()?;
        Ok(())
    }

    /// Has an instance whose stream to this replica broke off forgotten soon.
    pub(crate) async fn shorten(
        &self,
        service: &str,
        instance: &str,
        replica: Uuid,
        within_seconds: f64,
    ) -> Result<()> {
        sqlx::query!(
            "UPDATE control.endpoints SET lease_until = least(lease_until, now() + make_interval(secs => $4))
             WHERE service = $1 AND instance = $2 AND replica = $3",
            service,
            instance,
            replica,
            within_seconds,
        )
        .execute(&self.pool)
        .await
        .or_internal()?;
        Ok(())
    }

    /// Prolongs the leases of the instances on a replica's streams, given as pairs of the same index. Returns the
    /// numbers of those that were not there any more.
    pub(crate) async fn prolong(
        &self,
        services: &[String],
        instances: &[String],
        replica: Uuid,
        lease_seconds: f64,
    ) -> Result<Vec<i64>> {
        let missing = sqlx::query_scalar!(
            r#"WITH alive AS (
                 SELECT service, instance, number FROM unnest($1::text[], $2::text[])
                     WITH ORDINALITY AS alive (service, instance, number)
             ), prolonged AS (
                 UPDATE control.endpoints SET lease_until = now() + make_interval(secs => $4), replica = $3
                 FROM alive WHERE endpoints.service = alive.service AND endpoints.instance = alive.instance
                 RETURNING alive.number
             )
             SELECT number AS "number!" FROM alive WHERE number NOT IN (SELECT number FROM prolonged)"#,
            services,
            instances,
            replica,
            lease_seconds,
        )
        .fetch_all(&self.pool)
        .await
        .or_internal()?;
        Ok(missing)
    }

    /// Takes off whose lease is over, and tells the replicas. Nobody is taken off within a lease's time after the
    /// database started: those who are alive must have had the time to say so.
    pub(crate) async fn expire(&self, lease_seconds: f64) -> Result<Vec<String>> {
        let gone = sqlx::query_scalar!(
            r#"WITH gone AS (
                 DELETE FROM control.endpoints
                 WHERE lease_until < now()
                   AND pg_postmaster_start_time() < now() - make_interval(secs => $1)
                 RETURNING service, address
             ), told AS (
                 SELECT pg_notify($2, 'endpoints') FROM gone LIMIT 1
             )
             SELECT service || ' at ' || address AS "gone!" FROM gone LEFT JOIN told ON true"#,
            lease_seconds,
            CHANNEL,
        )
        .fetch_all(&self.pool)
        .await
        .or_internal()?;
        Ok(gone)
    }

    /// Everybody who is found.
    pub(crate) async fn endpoints(&self) -> Result<Vec<Registered>> {
        let rows = sqlx::query!(
            "SELECT service, instance, address, zone, weight FROM control.endpoints ORDER BY service, instance"
        )
        .fetch_all(&self.pool)
        .await
        .or_internal()?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let weight = u32::try_from(row.weight).unwrap_or_default();
            let presence = Presence { address: row.address, zone: row.zone, weight };
            all.push(Registered { service: row.service, instance: row.instance, presence });
        }
        Ok(all)
    }

    /// Says that a replica is there, and what it knows of its proxies; forgets replicas that say nothing for an hour.
    pub(crate) async fn report(&self, replica: Uuid, status: &Value) -> Result<()> {
        sqlx::query!(
            "WITH gone AS (DELETE FROM control.replicas WHERE seen_at < now() - interval '1 hour' AND id <> $1)
             INSERT INTO control.replicas (id, seen_at, status) VALUES ($1, now(), $2)
             ON CONFLICT (id) DO UPDATE SET seen_at = now(), status = excluded.status",
            replica,
            status,
        )
        .execute(&self.pool)
        .await
        .or_internal()?;
        Ok(())
    }

    /// What the replicas that said something lately know of their proxies: id, seconds since, status.
    pub(crate) async fn reports(&self, within_seconds: f64) -> Result<Vec<(Uuid, f64, Value)>> {
        let rows = sqlx::query!(
            r#"SELECT id, extract(epoch FROM now() - seen_at)::float8 AS "age!", status FROM control.replicas
             WHERE seen_at > now() - make_interval(secs => $1) ORDER BY id"#,
            within_seconds,
        )
        .fetch_all(&self.pool)
        .await
        .or_internal()?;
        Ok(rows.into_iter().map(|row| (row.id, row.age, row.status)).collect())
    }
}
