//! What a proxy records beside its metrics: lines of an access log, spans. It changes while it runs; what stays the same
//! is not touched.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::Clock;
use prometheus_client::metrics::counter::Counter;

use super::access::AccessLog;
use super::otlp::Exporter;
use super::trace::{Sampler, Sampling};
use super::{Event, Observer};
use crate::resource::Telemetry;

/// Where lines and spans go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recording(Arc<Inner>);

struct Inner {
    now: ArcSwap<Sinks>,
    sampling: Sampling,
    clock: Clock,
    lines_lost: Counter,
    spans_dropped: Counter,
}

/// Of one configuration. Nothing goes there until it is put in force.
#[derive(Clone, Default)]
pub(crate) struct Sinks {
    telemetry: Telemetry,
    access_log: Option<AccessLog>,
    exporter: Option<Exporter>,
    sampler: Option<Sampler>,
}

impl Recording {
    /// Records nothing yet.
    pub(crate) fn new(clock: Clock, lines_lost: Counter, spans_dropped: Counter) -> Recording {
        let (now, sampling) = (ArcSwap::default(), Sampling::default());
        Recording(Arc::new(Inner { now, sampling, clock, lines_lost, spans_dropped }))
    }

    /// What it takes to record as `telemetry` says.
    ///
    /// Errors: the collector cannot be used, or no thread could be started.
    pub(crate) fn prepare(&self, telemetry: &Telemetry) -> Result<Sinks, String> {
        let (inner, before) = (&self.0, self.0.now.load());
        let mut sinks = Sinks { telemetry: telemetry.clone(), ..Sinks::clone(&before) };
        if telemetry.access_log != before.telemetry.access_log {
            let start = || AccessLog::stdout(inner.clock.clone(), inner.lines_lost.clone());
            let started = telemetry.access_log.then(start).transpose();
            sinks.access_log = started.map_err(|error| format!("the access log does not start: {error}"))?;
        }
        if telemetry.otlp != before.telemetry.otlp {
            let otlp = telemetry.otlp.as_ref();
            let start = |otlp| Exporter::start(otlp, inner.clock.clone(), inner.spans_dropped.clone());
            sinks.exporter = otlp.map(start).transpose()?;
            sinks.sampler = otlp.map(|otlp| Sampler::new(otlp.sample)).transpose()?;
        }
        Ok(sinks)
    }

    /// Records there from now on. What is no longer wanted is written and sent to its end meanwhile.
    pub(crate) fn change(&self, sinks: Sinks) {
        self.0.sampling.set(sinks.sampler);
        self.0.now.store(Arc::new(sinks));
    }

    /// Which traces are recorded.
    pub(crate) fn sampling(&self) -> Sampling {
        self.0.sampling.clone()
    }

    /// An observer that records.
    pub(crate) fn observer(&self) -> Observer {
        let recording = self.clone();
        Observer::new(move |event| recording.observe(event))
    }

    fn observe(&self, event: &Event) {
        let now = self.0.now.load();
        if let Some(log) = &now.access_log {
            log.observe(event);
        }
        if let Some(exporter) = &now.exporter {
            exporter.observe(event);
        }
    }

    /// Waits until everything so far is written and sent, each at most `within`.
    pub(crate) async fn flush(&self, within: Duration) {
        let now = self.0.now.load_full();
        if let Some(log) = &now.access_log {
            log.flush(within).await;
        }
        if let Some(exporter) = &now.exporter {
            exporter.flush(within).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Otlp;

    fn otlp(sample: f64) -> Telemetry {
        let endpoint = "http://127.0.0.1:9".to_owned();
        Telemetry { access_log: false, otlp: Some(Otlp { endpoint, sample, headers: Default::default() }) }
    }

    #[tokio::test]
    async fn what_is_recorded_changes_while_it_runs() {
        let recording = Recording::new(Clock::system(), Counter::default(), Counter::default());
        let sampling = recording.sampling();
        assert!(sampling.get().is_none());

        recording.change(recording.prepare(&otlp(1.0)).unwrap());
        assert!(sampling.get().is_some());
        assert!(recording.prepare(&otlp(2.0)).is_err());
        assert!(sampling.get().is_some(), "what cannot be changes nothing");

        recording.change(recording.prepare(&Telemetry::default()).unwrap());
        assert!(sampling.get().is_none());
    }
}
