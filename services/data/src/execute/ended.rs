//! Asks whether the session of a token has ended, where nobody else says it.

use base::Result;
use common::revocations::HAS_ENDED;
use uuid::Uuid;

use super::lease::Lease;
use super::transaction::COMMIT;
use super::wire::Reading;
use crate::error::database::failed;
use crate::error::envelope::internal;
use crate::render::{Sql, Value};

/// The login itself may nothing; it asks as a caller.
const BEGIN: &[&str] = &["BEGIN READ ONLY", "SET LOCAL ROLE authenticated"];

/// What the database says of a session.
pub(crate) async fn ask(mut lease: Lease, session: Uuid) -> Result<bool> {
    let asked = Sql::fixed(HAS_ENDED, vec![Value::Text(session.to_string().into())]);
    let mut flush = lease.connection().wire.ask();
    flush.commands(BEGIN).statement(&asked, Reading::Once).commands(COMMIT);
    let answers = flush.answers().await.map_err(|failure| failed(failure, true))?;
    let said = answers.get(BEGIN.len()).and_then(|rows| rows.first()?.boolean(0));
    lease.finish();
    said.ok_or_else(|| internal("the database did not say whether a session has ended"))
}
