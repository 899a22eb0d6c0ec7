//! A request's way through the stages: parse → plan → render → execute → respond, in that direction alone.

use std::sync::Arc;

use axum::body::HttpBody as _;
use base::error::PAYLOAD_TOO_LARGE;
use base::{Body, Error, Request, Response, Result};
use bytes::{Bytes, BytesMut};
use common::project::Document;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::Data;
use crate::document;
use crate::error::{self, ROOT_DISABLED};
use crate::execute::export::{self, Exported};
use crate::execute::session::Session;
use crate::execute::{Export, Frame, Outcome, Series, transaction};
use crate::nested;
use crate::plan::{Plan, plan};
use crate::plan_cache::{Cached, Lookup};
use crate::render;
use crate::request::{self, ApiRequest, Question, Resource};
use crate::respond::{describe, respond};
use crate::settings::OpenApiMode;
use crate::snapshot::Snapshot;
use crate::visit::Visit;

/// Answers a request about a relation or function.
///
/// In a box of its own: the router moves a handler's future from box to box, and this one is large. So are those inside
/// of it that are not for a read that is cached.
pub(crate) fn answer<'a>(
    data: &'a Data,
    project: &'a Document,
    request: Request,
) -> BoxFuture<'a, Result<Response>> {
    Box::pin(async {
        let (parts, body) = request.into_parts();
        let visit = Visit::of(data, project, &parts.headers).await?;
        if !body.is_end_stream() {
            let body = Box::pin(read(body, data.max_body_bytes)).await?;
            return Box::pin(Call::read(visit, parts, body)?.answer()).await;
        }
        let question = Question::of(&parts);
        match visit.snapshot.plans.look_up(&question) {
            Lookup::Ready(read) => again(visit, parts, &read).await,
            Lookup::First => Box::pin(Call::read(visit, parts, Bytes::new())?.answer()).await,
            Lookup::Again(slot) => {
                let call = Call::read(visit, parts, Bytes::new())?;
                Box::pin(call.answer_and_keep(Some((slot, question)))).await
            }
        }
    })
}

/// Answers a read that is cached.
async fn again(mut visit: Visit<'_>, parts: Parts, read: &Cached) -> Result<Response> {
    visit.timing.ends("parse");
    visit.timing.ends("plan");
    let Cached { request, plan, main } = read;
    let session = visit.session(&parts, request, &visit.snapshot);
    let (frame, step) = (session.frame(plan), session.step_of(plan, main.clone()));
    let outcome = transaction::run(visit.lease().await?, frame, &step).await?;
    visit.timing.ends("transaction");
    Ok(visit.timing.tell(respond(request, plan, outcome)?))
}

/// Answers `OPTIONS`.
pub(crate) async fn options(data: &Data, project: &Document, request: Request) -> Result<Response> {
    let Call { visit, request, .. } = Call::of(data, project, request).await?;
    let answer = visit.planned(|snapshot| describe::answer(&request, &snapshot.schema)).await?.0;
    Ok(visit.timing.tell(answer))
}

/// Answers a request for the description of the schema; a project may have a function that does.
///
/// Errors: PGRST126 if the project describes nothing.
pub(crate) async fn inspect(data: &Data, project: &Document, request: Request) -> Result<Response> {
    let call = Call::of(data, project, request).await?;
    if call.request.target.resource != Resource::Root {
        return call.answer().await;
    }
    let Call { mut visit, parts, request } = call;
    let snapshot = visit.snapshot.clone();
    if snapshot.settings.openapi_mode == OpenApiMode::Disabled {
        return Err(ROOT_DISABLED.error("Root endpoint metadata is disabled"));
    }
    visit.timing.ends("plan");
    let session = visit.session(&parts, &request, &snapshot);
    let (frame, step) = (session.looking(), session.visibility());
    let visible = transaction::run(visit.lease().await?, frame, &step).await?;
    visit.timing.ends("transaction");
    let answer = document::answer(&parts.headers, &request, &snapshot, &visible.body)?;
    Ok(visit.timing.tell(answer))
}

/// A request that was read, and whose caller is known.
pub(crate) struct Call<'a> {
    visit: Visit<'a>,
    parts: Parts,
    request: ApiRequest,
}

impl<'a> Call<'a> {
    /// The caller is known before anything else is looked at.
    async fn of(data: &'a Data, project: &Document, request: Request) -> Result<Call<'a>> {
        let (parts, body) = request.into_parts();
        let visit = Visit::of(data, project, &parts.headers).await?;
        let body = read(body, data.max_body_bytes).await?;
        Call::read(visit, parts, body)
    }

    /// Reads a request.
    pub(crate) fn read(mut visit: Visit<'a>, mut parts: Parts, body: Bytes) -> Result<Call<'a>> {
        let request = request::parse(&mut parts, body, &visit.snapshot.settings)?;
        visit.timing.ends("parse");
        Ok(Call { visit, parts, request })
    }

    /// Does what it asks for.
    pub(crate) async fn answer(self) -> Result<Response> {
        self.answer_and_keep(None).await
    }

    /// Does what it asks for, and keeps what it came to for the next who asks the same.
    ///
    /// Not of an export, whose lines are sent by another way, and not if it was parsed by a snapshot that is gone.
    async fn answer_and_keep(self, slot: Option<(usize, Question)>) -> Result<Response> {
        let Call { mut visit, parts, request } = self;
        let look = |Snapshot { schema, settings, .. }: &Snapshot| plan(&request, schema, settings);
        let (plan, snapshot) = visit.planned(look).await?;
        visit.timing.ends("plan");
        let (plan, outcome, rest) = run(&visit, visit.session(&parts, &request, &snapshot), plan).await?;
        visit.timing.ends("transaction");
        let mut answer = respond(&request, &plan, outcome)?;
        if let Some(rest) = rest {
            *answer.body_mut() = rest;
        } else if let Some((slot, question)) = slot
            && !plan.is_export()
            && Arc::ptr_eq(&snapshot, &visit.snapshot)
        {
            let main = render::main(&plan, &request, &snapshot.settings);
            snapshot.plans.keep(slot, &question, Cached { request, plan, main });
        }
        Ok(visit.timing.tell(answer))
    }
}

/// Does what is planned, in a transaction of its own. A body that is not in the outcome is sent as it comes.
async fn run(visit: &Visit<'_>, session: Session<'_>, plan: Plan) -> Result<(Plan, Outcome, Option<Body>)> {
    let frame = session.frame(&plan);
    // what must hold of all rows cannot be known while they are sent
    if plan.is_export() && session.checks_nothing(&plan) {
        let export = Arc::new(session.export(&plan));
        let (outcome, rest) = Box::pin(send(visit, frame, &export)).await?;
        return Ok((plan, outcome, rest));
    }
    if plan.is_nested() {
        let mut series = Series::new(visit.lease().await?, frame);
        let done = Box::pin(perform(&mut series, session, plan)).await;
        let (plan, outcome) = Box::pin(series.end(done)).await?;
        return Ok((plan, outcome, None));
    }
    let step = session.step(&plan);
    let outcome = transaction::run(visit.lease().await?, frame, &step).await?;
    Ok((plan, outcome, None))
}

/// Sends lines. What is short needs no turn to do so; what is not and finds none begins again when its turn has come, and
/// waits for it without a connection.
async fn send(visit: &Visit<'_>, frame: Frame, export: &Arc<Export>) -> Result<(Outcome, Option<Body>)> {
    let mut turn = visit.turns().free();
    loop {
        let mut lease = visit.lease().await?;
        lease.hold(turn);
        match export::run(lease, frame, export).await? {
            Exported::Whole(outcome) => return Ok((outcome, None)),
            Exported::Begun(outcome, body) => return Ok((outcome, Some(body))),
            Exported::Waits => turn = Some(visit.turns().next().await?),
        }
    }
}

/// Does what is planned, as a part of a transaction.
pub(crate) async fn perform(
    series: &mut Series,
    session: Session<'_>,
    plan: Plan,
) -> Result<(Plan, Outcome)> {
    if plan.is_nested() {
        return nested::insert(series, session, plan).await;
    }
    let outcome = series.step(&session.step(&plan)).await?;
    Ok((plan, outcome))
}

/// The whole body, in memory once.
///
/// Errors: 413 beyond the limit, PGRST102 if it breaks off.
pub(crate) async fn read(body: Body, max_bytes: usize) -> Result<Bytes> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max_bytes {
        return Err(too_large(max_bytes));
    }
    let mut body = Limited::new(body, max_bytes);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|cause| broken_off(cause, max_bytes))?.into_data() else { continue };
        if whole.is_empty() && data.len() >= announced && body.is_end_stream() {
            return Ok(data);
        }
        if whole.is_empty() {
            whole.reserve(announced);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn broken_off(cause: Box<dyn std::error::Error + Send + Sync>, max_bytes: usize) -> Error {
    if cause.is::<LengthLimitError>() {
        return too_large(max_bytes);
    }
    error::body("the request body broke off").caused_by(cause)
}

fn too_large(max_bytes: usize) -> Error {
    PAYLOAD_TOO_LARGE.error(format!("the request body is over {max_bytes} bytes"))
}
