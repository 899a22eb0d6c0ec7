//! Logs on standard error, and the metrics that request records and mesh events add up to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, OnceLock};

use common::record::{Recorder, RequestRecord};
use mesh::admin::LogLevel;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The filter in force, and how another one is put in its place.
type Reload = reload::Handle<EnvFilter, Registry>;

static FILTER: OnceLock<Reload> = OnceLock::new();

/// Starts logging. `RUST_LOG` chooses what is logged; access lines are `access=info`.
pub fn init(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,access=warn,sqlx=error"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // a second call, as tests make it, changes nothing
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Reads and changes what is logged, for the admin socket.
pub fn log_level() -> LogLevel {
    let get = || {
        let filter = FILTER.get().and_then(|handle| handle.with_current(ToString::to_string).ok());
        filter.unwrap_or_default()
    };
    let set = |text: &str| {
        let filter = EnvFilter::try_new(text).map_err(|error| error.to_string())?;
        let handle = FILTER.get().ok_or("logging was not started")?;
        handle.reload(filter).map_err(|error| error.to_string())
    };
    LogLevel { get: Arc::new(get), set: Arc::new(set) }
}

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Counters of this process. Every label comes from a table of ours, so their number is bounded. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {
    requests: Arc<Mutex<Counters>>,
    mesh: mesh::observe::metrics::Metrics,
}

#[derive(Default)]
struct Counters {
    /// (service, operation, status) → requests.
    requests: BTreeMap<(&'static str, String, u16), u64>,
    /// (service, operation) → requests per bucket, and the sum of seconds.
    durations: BTreeMap<(&'static str, String), ([u64; BUCKETS.len() + 1], f64)>,
}

impl Metrics {
    /// A recorder that counts each request and writes its access line.
    pub fn recorder(&self) -> Recorder {
        let metrics = self.clone();
        Recorder::new(move |record| {
            metrics.count(record);
            tracing::info!(
                target: "access",
                service = record.service,
                project = record.project.as_deref().unwrap_or("-"),
                operation = record.operation,
                method = %record.method,
                status = record.status.as_u16(),
                code = record.code.as_deref().unwrap_or("-"),
                micros = record.duration.as_micros(),
                request_id = record.request_id.as_deref().unwrap_or("-"),
            );
        })
    }

    /// What counts the mesh's events.
    pub fn mesh(&self) -> &mesh::observe::metrics::Metrics {
        &self.mesh
    }

    fn count(&self, record: &RequestRecord) {
        let mut counters = self.lock();
        let status = record.status.as_u16();
        *counters.requests.entry((record.service, record.operation.clone(), status)).or_default() += 1;
        let seconds = record.duration.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        let (buckets, sum) =
            counters.durations.entry((record.service, record.operation.clone())).or_default();
        buckets[bucket] += 1;
        *sum += seconds;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counters> {
        self.requests.lock().expect("no holder of this lock panics")
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> String {
        let counters = self.lock();
        let mut text = String::new();
        text.push_str("# TYPE meshbase_requests_total counter\n");
        for ((service, operation, status), count) in &counters.requests {
            let labels = format!("service=\"{service}\",operation=\"{operation}\",status=\"{status}\"");
            let _ = writeln!(text, "meshbase_requests_total{{{labels}}} {count}");
        }
        text.push_str("# TYPE meshbase_request_duration_seconds histogram\n");
        for ((service, operation), (buckets, sum)) in &counters.durations {
            let labels = format!("service=\"{service}\",operation=\"{operation}\"");
            let mut total = 0;
            for (count, bound) in
                buckets.iter().zip(BUCKETS.map(|b| b.to_string()).iter().map(String::as_str).chain(["+Inf"]))
            {
                total += count;
                let _ = writeln!(
                    text,
                    "meshbase_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {total}"
                );
            }
            let _ = writeln!(text, "meshbase_request_duration_seconds_sum{{{labels}}} {sum}");
            let _ = writeln!(text, "meshbase_request_duration_seconds_count{{{labels}}} {total}");
        }
        text.push_str(&self.mesh.render());
        text
    }
}
