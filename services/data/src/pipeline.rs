//! A request's way through the stages: parse → plan → render → execute → respond, in that direction alone.

use std::sync::Arc;

use base::error::PAYLOAD_TOO_LARGE;
use base::{Body, Error, Request, Response, Result};
use bytes::Bytes;
use common::Caller;
use common::project::Document;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::Data;
use crate::caller::identify;
use crate::document;
use crate::error::{self, ROOT_DISABLED, missing};
use crate::execute::session::Session;
use crate::execute::{Active, Outcome, Transaction, transaction};
use crate::plan::plan;
use crate::request::{self, ApiRequest, Resource};
use crate::respond::{describe, respond};
use crate::settings::OpenApiMode;
use crate::snapshot::Snapshot;
use crate::timing::Timing;

/// Answers a request about a relation or function.
pub(crate) async fn answer(data: &Data, project: &Document, request: Request) -> Result<Response> {
    Call::of(data, project, request).await?.answer().await
}

/// Answers `OPTIONS`.
pub(crate) async fn options(data: &Data, project: &Document, request: Request) -> Result<Response> {
    let call = Call::of(data, project, request).await?;
    let answer = call.planned(|request, snapshot| describe::answer(request, &snapshot.schema)).await?.0;
    Ok(call.timing.tell(answer))
}

/// Answers a request for the description of the schema; a project may have a function that does.
///
/// Errors: PGRST126 if the project describes nothing.
pub(crate) async fn inspect(data: &Data, project: &Document, request: Request) -> Result<Response> {
    let mut call = Call::of(data, project, request).await?;
    if call.request.target.resource != Resource::Root {
        return call.answer().await;
    }
    let snapshot = call.snapshot.clone();
    if snapshot.settings.openapi_mode == OpenApiMode::Disabled {
        return Err(ROOT_DISABLED.error("Root endpoint metadata is disabled"));
    }
    call.timing.ends("plan");
    let visible = call.run(call.session(&snapshot).visibility()).await?;
    call.timing.ends("transaction");
    let answer = document::answer(&call.parts.headers, &call.request, &snapshot, &visible.body)?;
    Ok(call.timing.tell(answer))
}

/// A request that was read, and whose caller is known.
struct Call<'a> {
    data: &'a Data,
    parts: Parts,
    caller: Caller,
    request: ApiRequest,
    active: Arc<Active>,
    /// The project as it was when the request came.
    snapshot: Arc<Snapshot>,
    timing: Timing,
}

impl<'a> Call<'a> {
    /// The caller is known before anything else is looked at.
    async fn of(data: &'a Data, project: &Document, request: Request) -> Result<Call<'a>> {
        let (mut parts, body) = request.into_parts();
        let active = data.actives.of(project).await?;
        let snapshot = active.snapshot().await?;
        let settings = &snapshot.settings;
        let mut timing = Timing::start(settings.server_timing_enabled);
        let caller = identify(&parts.headers, project, &active, &snapshot, data).await?;
        timing.ends("jwt");
        let body = read(body, data.max_body_bytes).await?;
        let request = request::parse(&mut parts, body, settings)?;
        timing.ends("parse");
        Ok(Call { data, parts, caller, request, active, snapshot, timing })
    }

    async fn answer(mut self) -> Result<Response> {
        let (plan, snapshot) = self
            .planned(|request, Snapshot { schema, settings, .. }| plan(request, schema, settings))
            .await?;
        let transaction = self.session(&snapshot).transaction(&plan);
        self.timing.ends("plan");
        let outcome = self.run(transaction).await?;
        self.timing.ends("transaction");
        let answer = respond(&self.request, &plan, outcome)?;
        Ok(self.timing.tell(answer))
    }

    /// What `look` makes of the request; if it misses a name, once more with a fresh snapshot.
    async fn planned<T>(
        &self,
        look: impl Fn(&ApiRequest, &Snapshot) -> Result<T>,
    ) -> Result<(T, Arc<Snapshot>)> {
        let error = match look(&self.request, &self.snapshot) {
            Ok(found) => return Ok((found, self.snapshot.clone())),
            Err(error) if missing::may_be_stale(&error) => error,
            Err(error) => return Err(error),
        };
        match self.data.actives.after_miss(&self.active).await? {
            Some(fresh) => Ok((look(&self.request, &fresh)?, fresh)),
            None => Err(error),
        }
    }

    fn session<'s>(&'s self, snapshot: &'s Snapshot) -> Session<'s> {
        let Call { parts, caller, request, .. } = self;
        let Snapshot { schema, settings, .. } = snapshot;
        Session { parts, caller, request, schema, settings }
    }

    async fn run(&self, transaction: Transaction) -> Result<Outcome> {
        let lease = self.active.lease().await?;
        transaction::run(lease, &transaction).await
    }
}

/// The whole body.
///
/// Errors: 413 beyond the limit, PGRST102 if it breaks off.
async fn read(body: Body, max_bytes: usize) -> Result<Bytes> {
    match Limited::new(body, max_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(cause) if cause.is::<LengthLimitError>() => Err(too_large(max_bytes)),
        Err(cause) => Err(error::body("the request body broke off").caused_by(cause)),
    }
}

fn too_large(max_bytes: usize) -> Error {
    PAYLOAD_TOO_LARGE.error(format!("the request body is over {max_bytes} bytes"))
}
