//! The gateway: the one door from outside.
//!
//! A request passes, in this order: `cors` (preflights end here) → `edge` (which service, which key rule) →
//! `keys` (which project, which role) → `forward` (header hygiene, body limit, the mesh). The answer goes back
//! through the same hands: our headers are stripped, CORS is set.

pub mod config;
mod cors;
mod edge;
mod forward;
mod keys;
mod origin;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use base::header;
use base::{Body, Clock, Error, Random, Request, Response};
use common::record::{Recorder, RequestRecord};
use common::{Outbound, Projects};
use http::{HeaderValue, Method};

pub use config::Config;

/// The gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    outbound: Outbound,
    keys: keys::Keyring,
    origins: origin::Origins,
    config: Config,
    random: Random,
    recorder: Recorder,
}

impl Gateway {
    /// A gateway that calls services through `outbound` and learns of projects from `projects`.
    pub fn new(
        config: Config,
        outbound: Outbound,
        projects: Projects,
        clock: Clock,
        random: Random,
        recorder: Recorder,
    ) -> Gateway {
        let keys = keys::Keyring::new(projects, config.domain.clone(), clock);
        let origins = origin::Origins::new(&config);
        Gateway(Arc::new(Inner { outbound, keys, origins, config, random, recorder }))
    }

    /// The gateway as a service for [`base::serve::serve`].
    pub fn into_service(
        self,
    ) -> impl tower::Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
    {
        tower::service_fn(move |request| {
            let gateway = self.clone();
            async move { Ok(gateway.answer(request).await) }
        })
    }

    /// Answers one request.
    pub async fn answer(&self, mut request: Request) -> Response {
        let started = Instant::now();
        // before anything of ours is on the request: the client's `Connection` is about its own headers
        let upgrade = request.headers().contains_key(http::header::UPGRADE);
        header::strip_hop_by_hop(request.headers_mut(), upgrade);
        let request_id = self.identify(&mut request);
        let method = request.method().clone();
        let from_browser = cors::Asked::of(&request);
        let mut record = RequestRecord {
            service: "gateway",
            project: None,
            operation: "unmatched".to_owned(),
            method: method.clone(),
            status: http::StatusCode::OK,
            code: None,
            duration: started.elapsed(),
            request_id: request_id.to_str().ok().map(str::to_owned),
        };

        let mut response = if method == Method::OPTIONS && from_browser.is_preflight() {
            record.operation = "preflight".to_owned();
            cors::preflight(&from_browser)
        } else {
            match self.pass(request, &mut record).await {
                Ok(response) => response,
                Err(error) => {
                    record.code = Some(error.code.name().to_owned());
                    refuse(&error)
                }
            }
        };

        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            header::strip_hop_by_hop(response.headers_mut(), false);
        }
        header::strip_own(response.headers_mut());
        cors::allow(response.headers_mut());
        response.headers_mut().insert(header::REQUEST_ID, request_id);
        record.status = response.status();
        record.duration = started.elapsed();
        self.0.recorder.record(&record);
        response
    }

    /// From the edge table to the service and back.
    async fn pass(&self, mut request: Request, record: &mut RequestRecord) -> Result<Response, Error> {
        edge::check_path(request.uri().path())?;
        let rule = edge::find(request.uri().path())?;
        record.operation = rule.name.to_owned();
        let client = self.0.origins.client(&request)?;
        let pass = self.0.keys.admit(&mut request, rule, client.host.as_ref()).await?;
        record.project = Some(pass.project.to_string());
        let request = forward::prepare(request, rule, &pass, client, &self.0.origins)?;
        forward::send(&self.0.outbound, request).await
    }

    /// The client's request id if it is fit to be logged, or a new one; set on the request.
    fn identify(&self, request: &mut Request) -> HeaderValue {
        let fit = |id: &&HeaderValue| id.len() <= 128 && id.as_bytes().iter().all(u8::is_ascii_graphic);
        let given = request.headers().get(header::REQUEST_ID).filter(fit).cloned();
        let id = given.unwrap_or_else(|| {
            HeaderValue::from_str(&self.0.random.uuid().to_string()).expect("a UUID is visible ASCII")
        });
        request.headers_mut().insert(header::REQUEST_ID, id.clone());
        id
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.0.config
    }
}

/// The gateway's own answers: text for a refused key, as clients of the original know it, JSON for the rest.
fn refuse(error: &Error) -> Response {
    let status = error.status();
    if status.is_server_error() {
        tracing::error!(error = %base::error::chain(error), "the gateway could not pass a request on");
    }
    let (body, content_type) = if status == http::StatusCode::UNAUTHORIZED {
        (error.message.to_string(), "text/plain")
    } else {
        let body =
            serde_json::json!({"code": error.code.name(), "message": error.message, "hint": error.hint});
        (body.to_string(), "application/json")
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().extend(error.headers.clone());
    response
}
