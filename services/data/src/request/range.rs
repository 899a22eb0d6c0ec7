//! Ranges of rows: `limit` and `offset`, the `Range` header, and what `Content-Range` says about the answer.

use base::Result;
use http::header::RANGE;
use http::{HeaderMap, Method, StatusCode};

use super::query::Query;
use crate::error;

/// Rows from `lower` to `upper`, both included, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    lower: i64,
    /// None for no end; -1 (with `lower` 0) for no rows at all.
    upper: Option<i64>,
}

/// Every row.
pub(crate) const ALL: Range = Range { lower: 0, upper: None };
/// `limit=0`.
const NONE: Range = Range { lower: 0, upper: Some(-1) };

impl Range {
    /// The rows that `offset` and `limit` leave.
    pub(crate) fn of(offset: Option<i64>, limit: Option<i64>) -> Range {
        let lower = offset.unwrap_or(0).max(0);
        match limit {
            None => Range { lower, upper: None },
            Some(0) => NONE,
            Some(limit) => Range { lower, upper: Some(lower.saturating_add(limit).saturating_sub(1)) },
        }
    }

    /// Whether it is every row.
    pub(crate) fn is_all(self) -> bool {
        self == ALL
    }

    /// Rows to skip.
    pub(crate) fn offset(self) -> i64 {
        self.lower
    }

    /// Rows to return at most.
    pub(crate) fn limit(self) -> Option<i64> {
        self.upper.map(|upper| upper.saturating_sub(self.lower).saturating_add(1))
    }

    /// The same range with at most `rows` rows.
    pub(crate) fn at_most(self, rows: Option<u64>) -> Range {
        let Some(rows) = rows else { return self };
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        if self == NONE || self.limit().is_some_and(|limit| limit <= rows) {
            return self;
        }
        Range::of(Some(self.lower), Some(rows))
    }

    fn intersect(self, other: Range) -> Range {
        let upper = match (self.upper, other.upper) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Range { lower: self.lower.max(other.lower), upper }
    }

    fn is_empty(self) -> bool {
        self.upper.is_some_and(|upper| upper < self.lower)
    }
}

/// The rows of the first level that a request wants. The header counts for GET alone (RFC 9110 §14.2).
///
/// Errors: PGRST103 for a negative limit and for a header whose ends are the wrong way round.
pub(crate) fn requested(method: &Method, headers: &HeaderMap, query: &Query) -> Result<Range> {
    let limits = query.ranges.iter().find(|(path, _)| path.is_empty()).map_or(ALL, |(_, range)| *range);
    if limits == NONE {
        return Ok(NONE);
    }
    if limits.is_empty() {
        return Err(error::range("Limit should be greater than or equal to zero."));
    }
    let header = if *method == Method::GET { header_range(headers) } else { ALL };
    let both = header.intersect(limits);
    if header.is_empty() {
        return Err(error::range(
            "The lower boundary must be lower than or equal to the upper boundary in the Range header.",
        ));
    }
    if both.is_empty() {
        return Err(error::range("Limit should be greater than or equal to zero."));
    }
    Ok(both)
}

/// `Range: 0-9` or `Range: 10-`; anything else asks for everything.
fn header_range(headers: &HeaderMap) -> Range {
    let text = headers.get(RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((lower, upper)) = text.split_once('-') else { return ALL };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if lower.is_empty() || !digits(lower) || !digits(upper) {
        return ALL;
    }
    let number = |text: &str| text.parse::<i64>().unwrap_or(i64::MAX);
    Range { lower: number(lower), upper: (!upper.is_empty()).then(|| number(upper)) }
}

/// `Content-Range` of an answer with the rows from `lower` to `upper`, of `total` if that is known.
pub(crate) fn content_range(lower: i64, upper: i64, total: Option<i64>) -> String {
    let rows = if total != Some(0) && lower <= upper { format!("{lower}-{upper}") } else { "*".to_owned() };
    let total = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    format!("{rows}/{total}")
}

/// The status of an answer with `rows` rows of `total`: 416 past the end, 206 for a part, else 200.
pub(crate) fn status(range: Range, rows: i64, total: Option<i64>) -> StatusCode {
    match total {
        Some(total) if range.lower > total => StatusCode::RANGE_NOT_SATISFIABLE,
        Some(total) if rows < total => StatusCode::PARTIAL_CONTENT,
        _ => StatusCode::OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(header: Option<&str>, query: &str) -> Result<Range> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(RANGE, header.parse().unwrap());
        }
        super::requested(&Method::GET, &headers, &Query::parse(query, false).unwrap())
    }

    #[test]
    fn limit_and_offset_make_a_range() {
        let range = requested(None, "limit=10&offset=5").unwrap();

        assert_eq!((range.offset(), range.limit()), (5, Some(10)));
        assert_eq!(requested(None, "limit=0&offset=3").unwrap().limit(), Some(0));
        assert_eq!(requested(None, "offset=-3").unwrap(), ALL);
    }

    #[test]
    fn the_header_and_the_limit_intersect() {
        let range = requested(Some("0-9"), "limit=5").unwrap();

        assert_eq!(range.limit(), Some(5));
        assert_eq!(requested(Some("10-"), "").unwrap().offset(), 10);
        assert_eq!(requested(Some("bytes=0-9"), "").unwrap(), ALL);
    }

    #[test]
    fn the_header_counts_for_get_alone() {
        let headers = HeaderMap::from_iter([(RANGE, http::HeaderValue::from_static("0-0"))]);

        let range = super::requested(&Method::HEAD, &headers, &Query::default()).unwrap();

        assert_eq!(range, ALL);
    }

    #[test]
    fn ranges_that_cannot_be_are_416() {
        for (header, query) in [(Some("5-3"), ""), (None, "limit=-1"), (Some("5-9"), "limit=2")] {
            let error = requested(header, query).unwrap_err();
            assert_eq!(error.status(), 416, "{header:?} {query}");
            assert_eq!(error.code.name(), "PGRST103");
        }
    }

    #[test]
    fn most_rows_cap_a_range_and_leave_none_alone() {
        assert_eq!(ALL.at_most(Some(1000)).limit(), Some(1000));
        assert_eq!(Range::of(Some(7), Some(5)).at_most(Some(1000)).limit(), Some(5));
        assert_eq!(NONE.at_most(Some(1000)).limit(), Some(0));
        assert_eq!(ALL.at_most(None), ALL);
    }

    #[test]
    fn content_range_and_status_say_what_part_it_is() {
        assert_eq!(content_range(0, 9, Some(100)), "0-9/100");
        assert_eq!(content_range(0, -1, None), "*/*");
        assert_eq!(content_range(0, 0, Some(0)), "*/0");
        assert_eq!(status(ALL, 10, None), 200);
        assert_eq!(status(ALL, 10, Some(10)), 200);
        assert_eq!(status(ALL, 10, Some(100)), 206);
        assert_eq!(status(Range::of(Some(101), None), 0, Some(100)), 416);
    }
}
