//! Who comes to which project: what all requests of one caller have in common.

use std::sync::Arc;

use base::Result;
use common::Caller;
use common::project::Document;
use http::HeaderMap;
use http::request::Parts;

use crate::Data;
use crate::caller::identify;
use crate::error::missing;
use crate::execute::Active;
use crate::execute::lease::Lease;
use crate::execute::session::Session;
use crate::execute::turns::Turns;
use crate::request::ApiRequest;
use crate::snapshot::Snapshot;
use crate::timing::Timing;

/// A caller at a project.
pub(crate) struct Visit<'a> {
    pub(crate) data: &'a Data,
    pub(crate) caller: Caller,
    active: Arc<Active>,
    /// The project as it was when the request came.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) timing: Timing,
}

impl<'a> Visit<'a> {
    /// Finds out who calls.
    pub(crate) async fn of(data: &'a Data, project: &Document, headers: &HeaderMap) -> Result<Visit<'a>> {
        let active = data.actives.of(project).await?;
        let snapshot = active.snapshot().await?;
        let mut timing = Timing::start(snapshot.settings.server_timing_enabled);
        let caller = identify(headers, project, &active, &snapshot, data).await?;
        timing.ends("jwt");
        Ok(Visit { data, caller, active, snapshot, timing })
    }

    /// What `look` makes of the project; if it misses a name, once more with a fresh snapshot.
    pub(crate) async fn planned<T>(
        &self,
        look: impl Fn(&Snapshot) -> Result<T>,
    ) -> Result<(T, Arc<Snapshot>)> {
        let error = match look(&self.snapshot) {
            Ok(found) => return Ok((found, self.snapshot.clone())),
            Err(error) if missing::may_be_stale(&error) => error,
            Err(error) => return Err(error),
        };
        match self.data.actives.after_miss(&self.active).await? {
            Some(fresh) => Ok((look(&fresh)?, fresh)),
            None => Err(error),
        }
    }

    /// What a request's transaction is for.
    pub(crate) fn session<'s>(
        &'s self,
        parts: &'s Parts,
        request: &'s ApiRequest,
        snapshot: &'s Snapshot,
    ) -> Session<'s> {
        let Snapshot { schema, settings, .. } = snapshot;
        Session { parts, caller: &self.caller, request, schema, settings }
    }

    /// Turns to send lines.
    pub(crate) fn turns(&self) -> &Turns {
        self.active.turns()
    }

    /// A connection to the project's database.
    pub(crate) async fn lease(&self) -> Result<Lease> {
        self.active.lease().await
    }
}
