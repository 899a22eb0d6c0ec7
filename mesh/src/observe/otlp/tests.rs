//! The exporter against a collector on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base::{Request, Response};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::Side;
use super::super::sample::exchange;
use super::super::trace::Trace;
use super::collector::{Collector, Outcome};
use super::*;
use crate::cause::Cause;

const LONG: Duration = Duration::from_secs(120);

/// What the collector got, and the answers it is yet to give before it takes everything.
#[derive(Clone, Default)]
struct Fake {
    requests: Arc<Mutex<Vec<(http::request::Parts, Value)>>>,
    answers: Arc<Mutex<Vec<Response>>>,
}

impl Fake {
    async fn listen(&self, tls: Option<TlsAcceptor>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    None => fake.clone().serve(stream),
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => fake.clone().serve(stream),
                        Err(_) => continue,
                    },
                };
            }
        });
        port
    }

    fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let fake = self.clone();
            async move { Ok::<_, std::convert::Infallible>(fake.answer(request.map(base::Body::new)).await) }
        });
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }

    async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        self.requests.lock().unwrap().push((head, serde_json::from_slice(&body).unwrap()));
        self.answers.lock().unwrap().pop().unwrap_or_default()
    }

    /// Every span that came, checked against the schema, with the service that told it.
    fn spans(&self) -> Vec<(String, Span)> {
        let requests = self.requests.lock().unwrap();
        let parse = |body: &Value| serde_json::from_value::<Export>(body.clone()).unwrap();
        let resources = requests.iter().flat_map(|(_, body)| parse(body).resource_spans);
        let spans = resources.flat_map(|resource| {
            let name = resource.resource.attributes[0].text("service.name");
            resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
                .map(move |span| (name.clone(), span))
        });
        spans.collect()
    }
}

/// The schema, strictly: nothing else may be there, ids are hexadecimal, 64-bit numbers are strings.
mod schema {
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(super) struct Export {
        pub(super) resource_spans: Vec<ResourceSpans>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(super) struct ResourceSpans {
        pub(super) resource: Resource,
        pub(super) scope_spans: Vec<ScopeSpans>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Resource {
        pub(super) attributes: Vec<Attribute>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct ScopeSpans {
        #[serde(rename = "scope")]
        pub(super) _scope: Scope,
        pub(super) spans: Vec<Span>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Scope {
        #[serde(rename = "name")]
        pub(super) _name: String,
        #[serde(rename = "version")]
        pub(super) _version: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(super) struct Span {
        pub(super) trace_id: Hex<32>,
        pub(super) span_id: Hex<16>,
        pub(super) parent_span_id: Option<Hex<16>>,
        pub(super) flags: u32,
        pub(super) name: String,
        pub(super) kind: u8,
        pub(super) start_time_unix_nano: Number,
        pub(super) end_time_unix_nano: Number,
        pub(super) attributes: Vec<Attribute>,
        pub(super) status: Option<Status>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Status {
        pub(super) code: u8,
        pub(super) message: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Attribute {
        pub(super) key: String,
        pub(super) value: AnyValue,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(super) enum AnyValue {
        StringValue(String),
        IntValue(Number),
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    pub(super) struct Hex<const DIGITS: usize>(pub(super) String);

    impl<const DIGITS: usize> TryFrom<String> for Hex<DIGITS> {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            let good = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if good { Ok(Hex(text)) } else { Err(format!("{text} is no id")) }
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    pub(super) struct Number(pub(super) i64);

    impl TryFrom<String> for Number {
        type Error = std::num::ParseIntError;
        fn try_from(text: String) -> Result<Self, Self::Error> {
            text.parse().map(Number)
        }
    }

    impl Attribute {
        pub(super) fn text(&self, key: &str) -> String {
            assert_eq!(self.key, key);
            self.value.to_string()
        }
    }

    impl std::fmt::Display for AnyValue {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self {
                AnyValue::StringValue(text) => f.write_str(text),
                AnyValue::IntValue(number) => write!(f, "{}", number.0),
            }
        }
    }
}
use schema::{Export, Span};

fn config(endpoint: String) -> Otlp {
    let headers = BTreeMap::from([("authorization".to_owned(), "Bearer hunter2".to_owned())]);
    Otlp { endpoint, sample: 1.0, headers }
}

/// An exporter to `fake`, with the count of what it dropped.
async fn start(fake: &Fake) -> (Exporter, Counter) {
    let port = fake.listen(None).await;
    let dropped = Counter::default();
    let clock = Clock::fixed(Timestamp::UNIX_EPOCH + Duration::from_secs(1_000));
    let config = config(format!("http://127.0.0.1:{port}/otel/"));
    (Exporter::start(&config, clock, dropped.clone()).unwrap(), dropped)
}

fn answer(status: StatusCode, body: &str) -> Response {
    let mut response = Response::new(base::Body::from(body.to_owned()));
    *response.status_mut() = status;
    response
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    span.attributes.iter().map(|attribute| (attribute.key.as_str(), attribute.value.to_string())).collect()
}

#[tokio::test]
async fn spans_of_both_sides_arrive_as_the_conventions_want_them() {
    let fake = Fake::default();
    let (exporter, dropped) = start(&fake).await;
    let inbound = Exchange {
        side: Side::Inbound,
        status: StatusCode::GATEWAY_TIMEOUT,
        cause: Some(Cause::Deadline),
        method: Method::from_bytes(b"BREW").unwrap(),
        ..exchange()
    };

    exporter.observe(&Event::Ended(exchange()));
    exporter.observe(&Event::Ended(inbound));
    assert!(exporter.flush(LONG).await);

    let spans = fake.spans();
    let [(server, brewed), (client, got)] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((server.as_str(), client.as_str()), ("data", "gateway"));
    assert_eq!((got.kind, got.name.as_str(), got.flags), (3, "GET /rest/v1/*", 1));
    assert_eq!((brewed.kind, brewed.name.as_str(), brewed.flags), (2, "HTTP /rest/v1/*", 0x301));
    assert_eq!(got.trace_id.0, "00000000000000070000000000000007");
    assert_eq!(got.span_id.0, "0000000000000009");
    assert_eq!(got.parent_span_id.as_ref().unwrap().0, "0000000000000007");
    assert_eq!(got.end_time_unix_nano.0, 1_000_000_000_000);
    assert_eq!(got.end_time_unix_nano.0 - got.start_time_unix_nano.0, 2_000_000);
    assert!(got.status.is_none());
    let status = brewed.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_deref()), (2, Some("the deadline passed")));
    let got = attributes(got);
    assert_eq!(got["url.full"], "http://data.mesh:8080/rest/v1/people");
    assert_eq!(got["server.address"], "data.mesh");
    assert_eq!(got["server.port"], "8080");
    assert_eq!(
        (got["network.peer.address"].as_str(), got["network.peer.port"].as_str()),
        ("10.0.0.1", "9443")
    );
    assert_eq!(got["http.response.status_code"], "200");
    assert!(!got.contains_key("error.type"));
    let brewed = attributes(brewed);
    assert_eq!(brewed["http.request.method"], "_OTHER");
    assert_eq!(brewed["http.request.method_original"], "BREW");
    assert_eq!(brewed["error.type"], "deadline_exceeded");
    assert_eq!(
        (brewed["url.path"].as_str(), brewed["http.route"].as_str()),
        ("/rest/v1/people", "/rest/v1/*")
    );
    assert_eq!(dropped.get(), 0);
    let requests = fake.requests.lock().unwrap();
    let (head, body) = &requests[0];
    assert_eq!((&head.method, head.uri.path()), (&Method::POST, "/otel/v1/traces"));
    assert_eq!(head.headers["authorization"], "Bearer hunter2");
    assert_eq!(head.headers["content-type"], "application/json");
    assert!(!body.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_trace_that_is_not_recorded_is_not_sent() {
    let fake = Fake::default();
    let (exporter, _) = start(&fake).await;

    exporter.observe(&Event::Ended(Exchange { trace: Some(Trace::begin(|| 1, false)), ..exchange() }));
    exporter.observe(&Event::Ended(Exchange { trace: None, ..exchange() }));
    assert!(exporter.flush(LONG).await);

    assert!(fake.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_holds_512_spans_and_goes_on_one_connection() {
    let fake = Fake::default();
    let (exporter, _) = start(&fake).await;

    (0..BATCH * 2 + 1).for_each(|_| exporter.observe(&Event::Ended(exchange())));
    assert!(exporter.flush(LONG).await);

    assert_eq!(fake.spans().len(), BATCH * 2 + 1);
    assert_eq!(fake.requests.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_span_goes_after_a_second_without_being_asked_for() {
    let (queue, mut spans) = mpsc::channel(8);
    let finished = Finished { exchange: exchange(), ended_at: Timestamp::UNIX_EPOCH };
    queue.send(Message::Span(Box::new(finished))).await.unwrap();
    let started = Instant::now();

    let batch = Batch::next(&mut spans).await;

    assert_eq!((batch.spans.len(), started.elapsed()), (1, PAUSE));
}

#[tokio::test]
async fn what_the_collector_cannot_take_now_is_sent_again() {
    let fake = Fake::default();
    let (exporter, dropped) = start(&fake).await;
    let mut busy = answer(StatusCode::TOO_MANY_REQUESTS, "");
    busy.headers_mut().insert("retry-after", http::HeaderValue::from_static("0"));
    fake.answers.lock().unwrap().push(busy);

    exporter.observe(&Event::Ended(exchange()));
    assert!(exporter.flush(LONG).await);

    assert_eq!(fake.requests.lock().unwrap().len(), 2);
    assert_eq!(dropped.get(), 0);
}

#[tokio::test]
async fn what_the_collector_never_takes_is_dropped_and_counted() {
    let fake = Fake::default();
    let (exporter, dropped) = start(&fake).await;
    let partial = answer(StatusCode::OK, r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no"}}"#);
    fake.answers.lock().unwrap().extend([partial, answer(StatusCode::BAD_REQUEST, "")]);

    exporter.observe(&Event::Ended(exchange()));
    assert!(exporter.flush(LONG).await);
    assert_eq!(dropped.get(), 1, "refused as a whole");
    exporter.observe(&Event::Ended(exchange()));
    assert!(exporter.flush(LONG).await);

    assert_eq!(dropped.get(), 3, "and two of the next");
    assert_eq!(fake.requests.lock().unwrap().len(), 2, "neither is sent again");
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_away_costs_spans_and_no_time() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let dropped = Counter::default();
    let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
    let exporter = Exporter::start(&config(format!("http://{nobody}")), clock, dropped.clone()).unwrap();

    let sent = QUEUE as u64 + 1_000;
    (0..sent).for_each(|_| exporter.observe(&Event::Ended(exchange())));
    assert_eq!(dropped.get(), 1_000);
    assert!(!exporter.flush(Duration::ZERO).await);
    assert!(exporter.flush(LONG * 100).await);

    assert_eq!(dropped.get(), sent, "every batch had its tries");
}

#[tokio::test]
async fn a_collector_behind_tls_must_prove_its_name() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], private)
        .unwrap();
    let port = Fake::default().listen(Some(TlsAcceptor::from(Arc::new(server)))).await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let collector =
        |host: &str, roots| Collector::new(&config(format!("https://{host}:{port}")), roots).unwrap();

    let known = collector("localhost", roots.clone()).post("{}".into()).await;
    let unknown = collector("localhost", crate::identity::web_roots()).post("{}".into()).await;
    let misnamed = collector("127.0.0.1", roots).post("{}".into()).await;

    assert_eq!(known, Outcome::Taken { rejected: 0 });
    assert_eq!((unknown, misnamed), (Outcome::Later(None), Outcome::Later(None)));
}

#[test]
fn a_collector_that_cannot_be_is_refused_without_its_secrets() {
    let refused = |config: &Otlp| Collector::new(config, RootCertStore::empty()).err();

    for endpoint in
        ["", "collector:4318", "ftp://collector", "http://me:pw@collector", "http://collector?x=1", "/x"]
    {
        assert!(refused(&config(endpoint.to_owned())).is_some(), "{endpoint}");
    }
    let mut bad = config("http://collector:4318".to_owned());
    assert!(refused(&bad).is_none());
    bad.headers.insert("x-token".to_owned(), "hunter2\n".to_owned());
    assert!(!refused(&bad).unwrap().contains("hunter2"));
}
