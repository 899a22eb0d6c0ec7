//! `Server-Timing`: how long each stage of a request took (w3c.github.io/server-timing).

use std::fmt::Write;
use std::time::{Duration, Instant};

use base::Response;
use http::{HeaderName, HeaderValue};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The stages of one request as far as it has come; nothing where nobody wants to know.
pub(crate) struct Timing(Option<Laps>);

struct Laps {
    since: Instant,
    stages: Vec<(&'static str, Duration)>,
}

impl Timing {
    /// Begins the first stage.
    pub(crate) fn start(wanted: bool) -> Timing {
        Timing(wanted.then(|| Laps { since: Instant::now(), stages: Vec::new() }))
    }

    /// Ends a stage and begins the next.
    pub(crate) fn ends(&mut self, stage: &'static str) {
        if let Some(laps) = &mut self.0 {
            let now = Instant::now();
            laps.stages.push((stage, now - laps.since));
            laps.since = now;
        }
    }

    /// Says it in the answer, which was the last stage.
    pub(crate) fn tell(mut self, mut response: Response) -> Response {
        self.ends("response");
        let Some(laps) = self.0 else { return response };
        let mut value = String::new();
        for (stage, took) in laps.stages {
            let separator = if value.is_empty() { "" } else { ", " };
            let _ = write!(value, "{separator}{stage};dur={:.1}", took.as_secs_f64() * 1000.0);
        }
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(SERVER_TIMING, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_told_in_order_and_only_if_wanted() {
        let told = |wanted| {
            let mut timing = Timing::start(wanted);
            timing.ends("jwt");
            timing.ends("parse");
            let response = timing.tell(Response::default());
            response.headers().get(SERVER_TIMING).map(|value| value.to_str().unwrap().to_owned())
        };
        let value = told(true).unwrap();
        let stages: Vec<&str> = value.split(", ").filter_map(|part| part.split(";dur=").next()).collect();

        assert_eq!(stages, ["jwt", "parse", "response"]);
        assert_eq!(told(false), None);
    }
}
