//! A request as a case writes it, and its answer as a case reads it.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use base::{Body, Request, Response};
use http::header::DATE;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use mesh::Cause;

use crate::program::bodies::digest;
use crate::world::World;

/// A request of `gateway` to `echo`, unless it says otherwise. Awaited, it is sent and its answer read to the end.
pub(crate) struct Ask<'w> {
    world: &'w World,
    source: &'static str,
    to: Option<&'static str>,
    recorded: bool,
    request: Request,
}

impl<'w> Ask<'w> {
    pub(crate) fn new(world: &'w World, method: &'static str, path: &str) -> Ask<'w> {
        let uri = if path.starts_with('/') { format!("http://echo.mesh{path}") } else { path.to_owned() };
        let request = http::Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        Ask { world, source: "gateway", to: None, recorded: true, request }
    }

    /// Sent by another service.
    pub(crate) fn from(mut self, source: &'static str) -> Ask<'w> {
        self.source = source;
        self
    }

    /// Sent to this service, whatever the host is.
    pub(crate) fn to(mut self, service: &'static str) -> Ask<'w> {
        self.to = Some(service);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Ask<'w> {
        self.request.headers_mut().append(name, value.parse().unwrap());
        self
    }

    /// What the program does; see [`crate::program`].
    pub(crate) fn plan(self, steps: &str) -> Ask<'w> {
        self.header("x-plan", steps)
    }

    pub(crate) fn show(self, headers: &str) -> Ask<'w> {
        self.header("x-show", headers)
    }

    pub(crate) fn project(self, project: &str) -> Ask<'w> {
        self.header("x-meshbase-project", project)
    }

    pub(crate) fn extension(mut self, value: &'static str) -> Ask<'w> {
        self.request.extensions_mut().insert(value);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Ask<'w> {
        *self.request.body_mut() = body.into();
        self
    }

    /// Its answer holds something that no two worlds share: it is not compared.
    pub(crate) fn incomparable(mut self) -> Ask<'w> {
        self.recorded = false;
        self
    }

    /// Resolves at the head of the answer, whose body is the caller's to read.
    pub(crate) async fn open(self) -> Result<Response, Cause> {
        let outbound = self.world.outbound(self.source);
        match self.to {
            Some(service) => outbound.send_to(service, self.request).await,
            None => outbound.send(self.request).await,
        }
    }

    async fn send(self) -> Answer {
        let (world, recorded) = (self.world, self.recorded);
        let asked = format!("{} {}", self.request.method(), self.request.uri());
        let outcome = match self.open().await {
            Ok(response) => Ok(Whole::read(response).await),
            Err(cause) => Err(cause),
        };
        let answer = Answer { world: world.name, asked, outcome };
        if recorded {
            world.answers.lock().unwrap().push(answer.record());
        }
        answer
    }
}

impl<'w> IntoFuture for Ask<'w> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'w>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// An answer, or why there is none.
pub(crate) struct Answer {
    world: &'static str,
    asked: String,
    outcome: Result<Whole, Cause>,
}

/// An answer to its end.
pub(crate) struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    broke_off: bool,
}

impl Whole {
    pub(crate) async fn read(response: Response) -> Whole {
        let (head, mut body) = response.into_parts();
        let mut whole = Whole {
            status: head.status,
            headers: head.headers,
            body: Vec::new(),
            trailers: None,
            broke_off: false,
        };
        while let Some(frame) = body.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => whole.body.extend_from_slice(&data),
                Ok(Err(frame)) => whole.trailers = frame.into_trailers().ok(),
                Err(_) => {
                    whole.broke_off = true;
                    break;
                }
            }
        }
        whole
    }

    /// The status and the body; of an error of the mesh's own only its code.
    fn summary(&self) -> String {
        let code = serde_json::from_slice::<serde_json::Value>(&self.body).ok();
        let code = code.and_then(|body| Some(body.get("code")?.as_str()?.to_owned()));
        let text = || match std::str::from_utf8(&self.body) {
            Ok(text) if text.len() < 512 => text.to_owned(),
            _ => digest(&self.body),
        };
        let body = code.unwrap_or_else(text);
        let space = if body.is_empty() { "" } else { " " };
        let end = if self.broke_off { " (broke off)" } else { "" };
        format!("{}{space}{body}{end}", self.status.as_u16())
    }
}

impl Answer {
    /// As [`Answer::is`] has it.
    pub(crate) fn summary(&self) -> String {
        match &self.outcome {
            Ok(whole) => whole.summary(),
            Err(cause) => format!("no answer: {}", cause.name()),
        }
    }

    /// Everything that the other world must answer too.
    ///
    /// Left out: a `Date` is each server's own (RFC 9110 §6.6.1), and each server writes the length down of what it has
    /// whole, which an answer within the process need not say.
    fn record(&self) -> String {
        let Answer { asked, outcome, .. } = self;
        let Ok(whole) = outcome else { return format!("{asked} -> {}", self.summary()) };
        let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        let is_its_length = |name: &http::HeaderName, value: &http::HeaderValue| {
            *name == http::header::CONTENT_LENGTH && *value == whole.body.len().to_string()
        };
        let headers = whole.headers.iter();
        let headers = headers.filter(|(name, value)| *name != DATE && !is_its_length(name, value));
        let mut headers: Vec<String> = headers.map(line).collect();
        headers.sort_unstable();
        let trailers: Vec<String> = whole.trailers.iter().flatten().map(line).collect();
        format!("{asked} -> {} {headers:?} {trailers:?} {}", self.summary(), digest(&whole.body))
    }

    /// It must be this: `200 text`, `403 code`, `200 begin (broke off)`, `no answer: cause`.
    #[track_caller]
    pub(crate) fn is(&self, expected: &str) -> &Answer {
        assert_eq!(self.summary(), expected, "{} in the {} world", self.asked, self.world);
        self
    }

    /// The header must have this value; `-` for none.
    #[track_caller]
    pub(crate) fn has(&self, name: &str, expected: &str) -> &Answer {
        assert_eq!(
            self.header(name).unwrap_or("-"),
            expected,
            "{name} of {} in the {} world",
            self.asked,
            self.world
        );
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let whole = self.outcome.as_ref().ok()?;
        whole.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The trailer must have this value; `-` for none.
    #[track_caller]
    pub(crate) fn trails(&self, name: &str, expected: &str) -> &Answer {
        let trailers = self.outcome.as_ref().ok().and_then(|whole| whole.trailers.as_ref());
        let value = trailers.and_then(|trailers| trailers.get(name)).map(|value| value.to_str().unwrap());
        assert_eq!(value.unwrap_or("-"), expected, "{name} of {} in the {} world", self.asked, self.world);
        self
    }

    /// The last word of the body, as a number.
    pub(crate) fn number(&self) -> u64 {
        let summary = self.summary();
        let word = summary.rsplit([' ', '=']).next().unwrap();
        word.parse().unwrap_or_else(|_| panic!("{summary} in the {} world", self.world))
    }
}
