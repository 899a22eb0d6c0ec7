//! The mistakes found so far.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::locate::{Found, Place, Tree};
use super::super::read::options;

/// Mistakes that are told apart from their number.
const TOLD: usize = 20;
/// The longest time that makes sense anywhere.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The mistakes found so far.
pub(in crate::resource) struct Report<'y> {
    yaml: &'y str,
    /// Where everything is; only made for the first mistake.
    tree: Option<Tree>,
    told: Vec<(Found, String)>,
    /// How many there are, told or not.
    pub(in crate::resource) count: usize,
}

impl<'y> Report<'y> {
    pub(super) fn new(yaml: &'y str) -> Report<'y> {
        Report { yaml, tree: None, told: Vec::new(), count: 0 }
    }

    /// Up to 20 mistakes, from the top of the file to its end.
    pub(in crate::resource) fn mistakes(&mut self) -> impl Iterator<Item = &(Found, String)> {
        self.told.sort();
        self.told.iter()
    }

    pub(super) fn refuse(&mut self, at: &Place<'_>, reason: impl Into<String>) {
        self.count += 1;
        if self.told.len() == TOLD {
            return;
        }
        if self.tree.is_none() {
            self.tree = serde_saphyr::from_str_with_options(self.yaml, options()).ok();
        }
        // what was read once can be read again
        let found = self.tree.as_ref().map(|tree| tree.find(at)).unwrap_or_default();
        self.told.push((found, reason.into()));
    }

    pub(super) fn refuse_if(&mut self, wrong: bool, at: &Place<'_>, reason: &str) {
        if wrong {
            self.refuse(at, reason);
        }
    }

    /// What somebody else found wrong.
    pub(super) fn refuse_err(&mut self, at: &Place<'_>, checked: Result<(), String>) {
        if let Err(reason) = checked {
            self.refuse(at, reason);
        }
    }

    /// A time that is needed.
    pub(super) fn time(&mut self, at: &Place<'_>, time: Duration) {
        self.refuse_if(time.is_zero(), at, "must be more than 0");
        self.time_or_zero(at, time);
    }

    /// A time for which zero has a meaning.
    pub(super) fn time_or_zero(&mut self, at: &Place<'_>, time: Duration) {
        self.refuse_if(time > LONGEST, at, "must be at most 7 days, 604800000");
    }

    /// A first time and the longest that it grows to.
    pub(super) fn growing(&mut self, at: &Place<'_>, base: Duration, max: Duration) {
        self.time(&at.key("base_ms"), base);
        self.time(&at.key("max_ms"), max);
        if base > max {
            let (base, max) = (base.as_millis(), max.as_millis());
            self.refuse(&at.key("max_ms"), format!("must be at least base_ms: {max} is less than {base}"));
        }
    }

    /// A part of one.
    pub(super) fn ratio(&mut self, at: &Place<'_>, ratio: f64) {
        // not a number is in no range
        self.refuse_if(!(0.0..=1.0).contains(&ratio), at, "must be from 0 to 1");
    }

    /// A part of a hundred.
    pub(super) fn percent(&mut self, at: &Place<'_>, percent: f64) {
        self.refuse_if(!(0.0..=100.0).contains(&percent), at, "must be from 0 to 100");
    }

    pub(super) fn number(&mut self, at: &Place<'_>, number: usize, range: RangeInclusive<usize>) {
        if !range.contains(&number) {
            self.refuse(at, format!("must be from {} to {}", range.start(), range.end()));
        }
    }
}
