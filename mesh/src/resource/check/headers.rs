//! Headers that a configuration may name, and those that it may not touch.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use super::super::Edit;
use super::Place;
use super::report::Report;
use crate::traffic::edit::untouchable;

/// Changes to headers.
pub(super) fn edit(report: &mut Report<'_>, at: &Place<'_>, edit: &Edit) {
    for (index, name) in edit.remove.iter().enumerate() {
        changed(report, &at.key("remove").item(index), name.as_str());
    }
    for (key, pairs) in [("set", &edit.set), ("add", &edit.add)] {
        let at = at.key(key);
        for (name, _) in pairs {
            changed(report, &at.key(name.as_str()), name.as_str());
        }
    }
}

fn changed(report: &mut Report<'_>, at: &Place<'_>, name: &str) {
    if let Some(why) = untouchable(name) {
        report.refuse(at, format!("the header {name} cannot be changed: {why}"));
    }
}

/// Headers that are sent as they are written.
pub(super) fn sent(report: &mut Report<'_>, at: &Place<'_>, headers: &BTreeMap<String, String>) {
    for (name, value) in headers {
        let at = at.key(name);
        self::name(report, &at, name);
        if HeaderValue::from_str(value).is_err() {
            report.refuse(&at, format!("the value of {name} is not valid in a header"));
        }
        changed(report, &at, &name.to_ascii_lowercase());
    }
}

/// Headers that a request must have, and their values.
pub(super) fn wanted(report: &mut Report<'_>, at: &Place<'_>, headers: &BTreeMap<String, String>) {
    for header in headers.keys() {
        name(report, &at.key(header), header);
    }
}

/// The name of a header.
pub(super) fn name(report: &mut Report<'_>, at: &Place<'_>, name: &str) {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        report.refuse(at, format!("{name:?} is no header name"));
    }
}
