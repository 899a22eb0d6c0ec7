//! The part of an object that a `Range` header asks for (RFC 9110 §14): one range of bytes.

use std::ops::Range;

/// What a request with a `Range` header gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: no range in bytes was asked for.
    Whole,
    /// These bytes, at least one.
    Bytes(Range<u64>),
    /// Nothing: the range is malformed, not single, or beyond the end.
    Unsatisfiable,
}

/// Reads a `Range` header for an object of `size` bytes. A unit that is not `bytes` is ignored, as the RFC has it.
pub(crate) fn parse(header: Option<&str>, size: u64) -> Part {
    let Some((unit, set)) = header.and_then(|header| header.split_once('=')) else {
        return Part::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    match bytes(set.trim(), size) {
        Some(range) if !range.is_empty() => Part::Bytes(range),
        _ => Part::Unsatisfiable,
    }
}

fn bytes(set: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = set.split_once('-')?;
    match (first, last) {
        ("", suffix) => Some(size.saturating_sub(position(suffix)?)..size),
        (first, "") => Some(position(first)?..size),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then(|| first..last.saturating_add(1).min(size))
        }
    }
}

/// Digits alone: `parse` would take a sign.
fn position(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_cut_to_the_object() {
        for (header, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=5-", 5..10),
            ("bytes=-3", 7..10),
            ("bytes=-300", 0..10),
            ("bytes=5-99999999999", 5..10),
            ("Bytes=9-9", 9..10),
            ("bytes=0-18446744073709551615", 0..10),
        ] {
            assert_eq!(parse(Some(header), 10), Part::Bytes(expected), "{header}");
        }
    }

    #[test]
    fn other_units_and_no_header_mean_everything() {
        for header in [None, Some("items=0-1"), Some("nonsense")] {
            assert_eq!(parse(header, 10), Part::Whole);
        }
    }

    #[test]
    fn what_cannot_be_given_is_unsatisfiable() {
        for header in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=5-2",
            "bytes=-0",
            "bytes=-",
            "bytes=",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=0--1",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(parse(Some(header), 10), Part::Unsatisfiable, "{header}");
        }
        assert_eq!(parse(Some("bytes=0-"), 0), Part::Unsatisfiable);
    }
}
