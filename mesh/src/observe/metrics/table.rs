//! A family of series by label set: bounded, and without allocation for a label set that is there already.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use indexmap::{Equivalent, IndexMap};
use tokio::time::Instant;

use crate::observe::Name;

/// The value in the place of every name that there was no room for.
const OTHER: &str = "other";

/// A label's value as it is counted.
#[derive(Clone, Copy)]
pub(super) enum Label<'a> {
    /// A name that is shared already.
    Name(&'a Name),
    /// A name that is not; it is copied when its series begins.
    Text(&'a str),
    /// One of a few words of our own.
    Word(&'static str),
}

impl Label<'_> {
    fn as_str(&self) -> &str {
        match self {
            Label::Name(name) => name,
            Label::Text(text) => text,
            Label::Word(word) => word,
        }
    }

    fn to_value(self) -> Value {
        match self {
            Label::Name(name) => Value::Name(Arc::clone(name)),
            Label::Text(text) => Value::Name(text.into()),
            Label::Word(word) => Value::Word(word),
        }
    }
}

/// A label's value as it is kept.
#[derive(Clone, Debug)]
enum Value {
    Name(Name),
    Word(&'static str),
}

impl Value {
    fn as_str(&self) -> &str {
        match self {
            Value::Name(name) => name,
            Value::Word(word) => word,
        }
    }
}

/// The labels of a series. Compared and hashed by their text alone, as [`Sought`] is.
#[derive(Clone, Debug)]
struct Key<const N: usize>([Value; N]);

/// The labels of an event, without a copy.
struct Sought<'a, const N: usize>([Label<'a>; N]);

impl<const N: usize> Hash for Key<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|value| value.as_str().hash(state));
    }
}

impl<const N: usize> Hash for Sought<'_, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|label| label.as_str().hash(state));
    }
}

impl<const N: usize> PartialEq for Key<N> {
    fn eq(&self, other: &Key<N>) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine.as_str() == theirs.as_str())
    }
}

impl<const N: usize> Eq for Key<N> {}

impl<const N: usize> Equivalent<Key<N>> for Sought<'_, N> {
    fn equivalent(&self, key: &Key<N>) -> bool {
        self.0.iter().zip(&key.0).all(|(label, value)| label.as_str() == value.as_str())
    }
}

/// One series.
#[derive(Debug)]
struct Series<M> {
    metric: M,
    /// Whether it was counted on since [`Table::expire`] last looked. A flag, so that counting needs no clock.
    used: AtomicBool,
}

#[derive(Debug)]
struct Row<M> {
    series: Arc<Series<M>>,
    idle_since: Option<Instant>,
}

/// Series by their labels.
///
/// Once there are `limit`, further label sets are counted with `other` in the place of each name; words of ours stay,
/// so that there are at most as many more series as combinations of those.
#[derive(Debug)]
pub(super) struct Table<const N: usize, M> {
    limit: usize,
    rows: RwLock<IndexMap<Key<N>, Row<M>>>,
}

impl<const N: usize, M: Default> Table<N, M> {
    pub(super) fn new(limit: usize) -> Table<N, M> {
        Table { limit, rows: RwLock::default() }
    }

    /// Counts with `count` on the series of `labels`, which begins if need be.
    pub(super) fn on(&self, labels: [Label<'_>; N], count: impl Fn(&M)) {
        let full = match self.on_known(labels, &count) {
            Known::Counted => return,
            Known::Missing { full } => full,
        };
        let labels = if full { other(labels) } else { labels };
        if full && matches!(self.on_known(labels, &count), Known::Counted) {
            return;
        }
        self.begin(labels, &count);
    }

    fn on_known(&self, labels: [Label<'_>; N], count: &impl Fn(&M)) -> Known {
        let rows = self.rows.read().expect("no holder of this lock panics");
        let Some(row) = rows.get(&Sought(labels)) else {
            return Known::Missing { full: rows.len() >= self.limit };
        };
        if !row.series.used.load(Ordering::Relaxed) {
            row.series.used.store(true, Ordering::Relaxed);
        }
        count(&row.series.metric);
        Known::Counted
    }

    fn begin(&self, labels: [Label<'_>; N], count: &impl Fn(&M)) {
        let mut rows = self.rows.write().expect("no holder of this lock panics");
        // somebody else may have begun the last series that there was room for
        let full = rows.len() >= self.limit && !rows.contains_key(&Sought(labels));
        let labels = if full { other(labels) } else { labels };
        let row = rows.entry(Key(labels.map(Label::to_value))).or_insert_with(|| Row {
            series: Arc::new(Series { metric: M::default(), used: AtomicBool::new(true) }),
            idle_since: None,
        });
        count(&row.series.metric);
    }

    /// Drops the series that nothing was counted on for `idle`, as far as calls of this function tell.
    pub(super) fn expire(&self, now: Instant, idle: Duration) {
        self.rows.write().expect("no holder of this lock panics").retain(|_, row| {
            if row.series.used.swap(false, Ordering::Relaxed) {
                row.idle_since = Some(now);
            }
            now.duration_since(*row.idle_since.get_or_insert(now)) < idle
        });
    }

    /// Drops the series whose first label does not please.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) {
        let keep = |key: &Key<N>| key.0.first().is_none_or(|value| keep(value.as_str()));
        self.rows.write().expect("no holder of this lock panics").retain(|key, _| keep(key));
    }

    /// Shows each series. The lock is held only while they are listed.
    pub(super) fn each<E>(&self, mut show: impl FnMut([&str; N], &M) -> Result<(), E>) -> Result<(), E> {
        let rows: Vec<_> = {
            let rows = self.rows.read().expect("no holder of this lock panics");
            rows.iter().map(|(key, row)| (key.clone(), Arc::clone(&row.series))).collect()
        };
        rows.iter().try_for_each(|(key, series)| show(key.0.each_ref().map(Value::as_str), &series.metric))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.read().expect("no holder of this lock panics").is_empty()
    }
}

enum Known {
    Counted,
    Missing { full: bool },
}

fn other<const N: usize>(labels: [Label<'_>; N]) -> [Label<'_>; N] {
    labels.map(|label| match label {
        Label::Name(_) | Label::Text(_) => Label::Word(OTHER),
        Label::Word(word) => Label::Word(word),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn count(table: &Table<2, AtomicU64>, name: &str, word: &'static str) {
        table.on([Label::Text(name), Label::Word(word)], |n| {
            n.fetch_add(1, Ordering::Relaxed);
        });
    }

    fn shown(table: &Table<2, AtomicU64>) -> Vec<(String, u64)> {
        let mut shown = Vec::new();
        let show = |labels: [&str; 2], n: &AtomicU64| {
            shown.push((labels.join(" "), n.load(Ordering::Relaxed)));
            Ok::<_, ()>(())
        };
        table.each(show).unwrap();
        shown
    }

    #[test]
    fn names_and_copies_of_them_are_one_series() {
        let table: Table<2, AtomicU64> = Table::new(10);
        let name: Name = "a".into();

        table.on([Label::Name(&name), Label::Word("x")], |n| n.store(1, Ordering::Relaxed));
        count(&table, "a", "x");

        assert_eq!(shown(&table), [("a x".to_owned(), 2)]);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_under_other() {
        let table = Table::new(2);

        for name in ["a", "b", "c", "d", "a"] {
            count(&table, name, "x");
        }
        count(&table, "c", "y");

        let expected = [("a x", 2), ("b x", 1), ("other x", 2), ("other y", 1)];
        assert_eq!(shown(&table), expected.map(|(labels, n)| (labels.to_owned(), n)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_series_goes_once_it_was_idle_long_enough() {
        let (table, start) = (Table::new(2), Instant::now());
        count(&table, "busy", "x");
        count(&table, "idle", "x");

        for minute in 0..10 {
            table.expire(start + MINUTE * minute, MINUTE * 10);
            count(&table, "busy", "x");
        }
        assert_eq!(shown(&table).len(), 2, "nine minutes are not ten");
        table.expire(start + MINUTE * 10, MINUTE * 10);

        assert_eq!(shown(&table), [("busy x".to_owned(), 11)]);
    }

    #[test]
    fn who_comes_second_to_the_last_place_is_counted_under_other() {
        let table = Table::new(1);
        count(&table, "a", "x");

        // as if there had still been room a moment ago
        for name in ["b", "a"] {
            table.begin([Label::Text(name), Label::Word("x")], &|n: &AtomicU64| {
                n.fetch_add(1, Ordering::Relaxed);
            });
        }

        let expected = [("a x", 2), ("other x", 1)];
        assert_eq!(shown(&table), expected.map(|(labels, n)| (labels.to_owned(), n)));
    }

    #[test]
    fn threads_that_begin_series_together_keep_the_limit() {
        let table = Table::new(5);

        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|n| count(&table, &format!("n{}", n % 20), "x")));
            }
        });

        let shown = shown(&table);
        assert!(shown.len() <= 6, "{shown:?}");
        assert_eq!(shown.iter().map(|(_, n)| n).sum::<u64>(), 400);
    }
}
