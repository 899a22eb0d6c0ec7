//! The kinds of families, and how they are written.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use tokio::time::Instant;

use super::table::{Label, Table};

/// What a family is called, and what it means.
#[derive(Debug)]
pub(super) struct About<const N: usize> {
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) help: &'static str,
    pub(super) labels: [&'static str; N],
}

impl<const N: usize> About<N> {
    /// Pairs the labels with a series' values.
    pub(super) fn pairs<'a>(&self, values: [&'a str; N]) -> [(&'static str, &'a str); N] {
        array::from_fn(|n| (self.labels[n], values[n]))
    }
}

/// Makes families of at most so many label sets each.
#[derive(Clone, Copy)]
pub(super) struct Limit(pub(super) usize);

impl Limit {
    pub(super) fn counters<const N: usize>(
        self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Counters<N> {
        Counters { about: About { name, unit: None, help, labels }, table: Table::new(self.0) }
    }

    pub(super) fn gauges<const N: usize>(
        self,
        name: &'static str,
        unit: Option<Unit>,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Gauges<N> {
        Gauges { about: About { name, unit, help, labels }, table: Table::new(self.0) }
    }
}

/// What every family can do, however many labels it has.
pub(super) trait Family {
    /// Writes its series.
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result;
    /// Drops idle series.
    fn expire(&self, now: Instant, idle: Duration);
}

/// Counters by label set.
#[derive(Debug)]
pub(super) struct Counters<const N: usize> {
    about: About<N>,
    table: Table<N, AtomicU64>,
}

impl<const N: usize> Counters<N> {
    pub(super) fn inc(&self, labels: [Label<'_>; N]) {
        self.table.on(labels, |counter| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }
}

impl<const N: usize> Family for Counters<N> {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        counters(encoder, &self.about, &self.table, |counter| counter.load(Ordering::Relaxed))
    }

    fn expire(&self, now: Instant, idle: Duration) {
        self.table.expire(now, idle);
    }
}

/// Writes one counter of each series of `table`.
pub(super) fn counters<const N: usize, M: Default>(
    encoder: &mut DescriptorEncoder<'_>,
    about: &About<N>,
    table: &Table<N, M>,
    value: impl Fn(&M) -> u64,
) -> fmt::Result {
    if table.is_empty() {
        return Ok(());
    }
    let mut family =
        encoder.encode_descriptor(about.name, about.help, about.unit.as_ref(), MetricType::Counter)?;
    table.each(|values, metric| {
        family.encode_family(&about.pairs(values))?.encode_counter::<NoLabelSet, _, u64>(&value(metric), None)
    })
}

/// Gauges by label set. Their value is a state, so being left alone does not end them.
#[derive(Debug)]
pub(super) struct Gauges<const N: usize> {
    about: About<N>,
    table: Table<N, AtomicI64>,
}

impl<const N: usize> Gauges<N> {
    /// Drops the series whose first label does not please.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.table.retain(keep);
    }

    pub(super) fn set(&self, labels: [Label<'_>; N], value: i64) {
        self.table.on(labels, |gauge| gauge.store(value, Ordering::Relaxed));
    }
}

impl<const N: usize> Family for Gauges<N> {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.table.is_empty() {
            return Ok(());
        }
        let About { name, unit, help, .. } = &self.about;
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        self.table.each(|values, gauge| {
            family.encode_family(&self.about.pairs(values))?.encode_gauge(&gauge.load(Ordering::Relaxed))
        })
    }

    fn expire(&self, _now: Instant, _idle: Duration) {}
}

/// Upper bounds of the buckets, in milliseconds: few, since each is a series of every label set.
const BUCKETS: [u64; 8] = [1, 5, 25, 100, 500, 2_500, 10_000, 60_000];

/// Durations in buckets.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [AtomicU64; BUCKETS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        let fits = |bound: &u64| duration <= Duration::from_millis(*bound);
        let bucket = BUCKETS.iter().position(fits).unwrap_or(BUCKETS.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        // the sum wraps after 584 years of waiting, as a counter may
        self.nanos.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Writes one histogram of each series of `table`.
pub(super) fn histograms<const N: usize, M: Default>(
    encoder: &mut DescriptorEncoder<'_>,
    about: &About<N>,
    table: &Table<N, M>,
    histogram: impl Fn(&M) -> &Histogram,
) -> fmt::Result {
    if table.is_empty() {
        return Ok(());
    }
    let mut family =
        encoder.encode_descriptor(about.name, about.help, about.unit.as_ref(), MetricType::Histogram)?;
    table.each(|values, metric| {
        let histogram = histogram(metric);
        let buckets: [(f64, u64); BUCKETS.len() + 1] = array::from_fn(|n| {
            let bound = BUCKETS.get(n).map_or(f64::INFINITY, |bound| *bound as f64 / 1e3);
            (bound, histogram.counts[n].load(Ordering::Relaxed))
        });
        let sum = Duration::from_nanos(histogram.nanos.load(Ordering::Relaxed)).as_secs_f64();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let labels = about.pairs(values);
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    })
}
