//! Moments as the original API writes them: UTC, with milliseconds, always three digits.

use base::Timestamp;
use serde::{Serialize, Serializer};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// `2026-11-22T15:00:00.123Z`.
pub(crate) fn text(at: Timestamp) -> Option<String> {
    at.to_offset(time::UtcOffset::UTC).format(FORMAT).ok()
}

/// For `#[serde(serialize_with)]`; what is absent or does not print is null.
pub(crate) fn nullable<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.and_then(text).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn milliseconds_have_three_digits() {
        assert_eq!(text(datetime!(2026-11-22 15:00:00.77 UTC)).unwrap(), "2026-11-22T15:00:00.770Z");
        assert_eq!(text(datetime!(2026-11-22 16:00:00 +1)).unwrap(), "2026-11-22T15:00:00.000Z");
    }
}
