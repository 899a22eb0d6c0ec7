//! What is known of an exchange so far; told once, when it is over.

use base::header;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use http_body::Frame;
use tokio::time::Instant;

use crate::Cause;
use crate::classify::{Class, classify};
use crate::observe::trace::Trace;
use crate::observe::{Event, Exchange, Name, Observer, Side};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The status of an exchange whose caller left before an answer; it is in records alone and never on a wire.
const CALLER_LEFT: u16 = 499;

/// An exchange under way. Dropped, it is told to the observer.
pub(crate) struct Record {
    observer: Observer,
    started: Instant,
    exchange: Option<Box<Exchange>>,
}

impl Record {
    /// Begins the record of a request.
    pub(crate) fn begin(
        observer: &Observer,
        side: Side,
        names: [&Name; 2],
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Record {
        let [source, destination] = names.map(Name::clone);
        let exchange = Exchange {
            side,
            source,
            route: destination.clone(),
            destination,
            method: method.clone(),
            uri: uri.clone(),
            status: StatusCode::from_u16(CALLER_LEFT).expect("three digits are a status"),
            grpc_status: None,
            class: None,
            cause: None,
            endpoint: None,
            attempts: 0,
            head: Default::default(),
            total: Default::default(),
            request_bytes: 0,
            response_bytes: 0,
            request_id: headers.get(header::REQUEST_ID).cloned(),
            project: headers.get(header::PROJECT).cloned(),
            trace: None,
        };
        Record { observer: observer.clone(), started: Instant::now(), exchange: Some(Box::new(exchange)) }
    }

    /// When the request arrived.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    fn exchange(&mut self) -> &mut Exchange {
        self.exchange.as_mut().expect("it is taken on drop alone")
    }

    pub(crate) fn route(&mut self, route: &Name) {
        self.exchange().route = route.clone();
    }

    pub(crate) fn trace(&mut self, trace: Option<Trace>) {
        self.exchange().trace = trace;
    }

    /// The `x-request-id`, if it was made here.
    pub(crate) fn request_id(&mut self, id: &http::HeaderValue) {
        self.exchange().request_id.get_or_insert_with(|| id.clone());
    }

    pub(crate) fn request_bytes(&mut self, bytes: u64) {
        self.exchange().request_bytes = bytes;
    }

    /// One more attempt, at `endpoint`.
    pub(crate) fn attempt(&mut self, endpoint: &Name) {
        let exchange = self.exchange();
        exchange.attempts += 1;
        exchange.endpoint = Some(endpoint.clone());
    }

    /// The head of the answer that the caller gets.
    pub(crate) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        let elapsed = self.started.elapsed();
        let exchange = self.exchange();
        exchange.status = status;
        exchange.class = Some(classify(status, headers));
        exchange.grpc_status = grpc_status(headers);
        exchange.head = elapsed;
    }

    /// No answer came.
    pub(crate) fn failed(&mut self, cause: Cause) {
        let elapsed = self.started.elapsed();
        let exchange = self.exchange();
        exchange.status = cause.status();
        exchange.cause = Some(cause);
        exchange.class = None::<Class>;
        exchange.head = elapsed;
    }

    /// A part of the answer's body, or its trailers.
    pub(crate) fn frame(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.exchange().response_bytes += data.len() as u64;
        } else if let Some(trailers) = frame.trailers_ref() {
            self.exchange().grpc_status = grpc_status(trailers);
        }
    }

    /// The answer's body did not come to its end.
    pub(crate) fn broke_off(&mut self, cause: Cause) {
        self.exchange().cause = Some(cause);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.total = self.started.elapsed();
            self.observer.observe(&Event::Ended(*exchange));
        }
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}
