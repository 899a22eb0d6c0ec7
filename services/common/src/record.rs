//! One record per request. It feeds the access log and the metrics; nothing else logs or counts a request.

use std::sync::Arc;
use std::time::Duration;

/// What is known of a request when its answer begins.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// The service that answered.
    pub service: &'static str,
    /// The project's reference, if the request got as far as having one.
    pub project: Option<String>,
    /// The `operation_id` of the OpenAPI document, `unmatched` if no route fits. Bounded: it comes from the table.
    pub operation: String,
    /// The method.
    pub method: http::Method,
    /// The answer's status.
    pub status: http::StatusCode,
    /// The error's code, if it is one.
    pub code: Option<String>,
    /// From the request's arrival to the head of the answer.
    pub duration: Duration,
    /// The `x-request-id`.
    pub request_id: Option<String>,
}

/// Where records go.
#[derive(Clone)]
pub struct Recorder(Arc<dyn Fn(&RequestRecord) + Send + Sync>);

impl Recorder {
    /// A recorder that calls `sink` for each request.
    pub fn new(sink: impl Fn(&RequestRecord) + Send + Sync + 'static) -> Recorder {
        Recorder(Arc::new(sink))
    }

    /// Forgets every record.
    pub fn none() -> Recorder {
        Recorder::new(|_| {})
    }

    /// Hands over one record.
    pub fn record(&self, record: &RequestRecord) {
        (self.0)(record);
    }
}
