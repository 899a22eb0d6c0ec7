//! Asks whether the session of a token has ended, where nobody else says it.

use base::Result;
use common::revocations::HAS_ENDED;
use futures_util::future::join_all;
use uuid::Uuid;

use super::lease::Lease;
use super::step::{command, query};
use crate::error::database::failed;
use crate::error::envelope::internal;
use crate::render::{Sql, Value};

/// The login itself may nothing; it asks as a caller.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL ROLE authenticated";
const END: &str = "COMMIT; RESET ALL";

/// What the database says of a session.
pub(crate) async fn ask(mut lease: Lease, session: Uuid) -> Result<bool> {
    let asked = Sql::fixed(HAS_ENDED, vec![Value::Text(session.to_string().into())]);
    let client = &lease.connection().client;
    let steps = vec![command(client, BEGIN), query(client, &asked, None), command(client, END)];
    let mut said = None;
    for answer in join_all(steps).await {
        let rows = answer.map_err(|error| failed(error, true))?;
        if let Some(row) = rows.first() {
            said = Some(row.try_get(0).map_err(internal)?);
        }
    }
    lease.finish();
    said.ok_or_else(|| internal("the database did not say whether a session has ended"))
}
