//! What must not be lost, in PostgreSQL. One statement is one function; every time is the database's own.

mod endpoints;
mod identities;
mod revisions;

use base::Result;
use base::error::OrInternal;
use sqlx::PgPool;
use sqlx::postgres::PgListener;

pub(crate) use endpoints::{Registered, Registration};
pub(crate) use identities::Root;

/// The channel on which replicas tell each other that something changed.
const CHANNEL: &str = "meshbase_control";

/// The store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    pool: PgPool,
}

impl Store {
    pub(crate) fn new(pool: PgPool) -> Store {
        Store { pool }
    }

    /// Told whenever something changed. What is told while nobody listens is lost: look anew after each begin.
    pub(crate) async fn changes(&self) -> Result<PgListener> {
        let mut listener = PgListener::connect_with(&self.pool).await.or_internal()?;
        listener.listen(CHANNEL).await.or_internal()?;
        Ok(listener)
    }
}
