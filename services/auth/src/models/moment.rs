//! Moments on the wire: RFC 3339 in UTC with microseconds, as PostgreSQL keeps them.

use base::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::UtcOffset;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use utoipa::ToSchema;

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// A moment that shows in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Moment {
        Moment(at)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_offset(UtcOffset::UTC).format(FORMAT).map_err(serde::ser::Error::custom)?;
        to.serialize_str(&text)
    }
}

/// Reads what PostgreSQL writes into JSON, at whatever offset.
impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Moment, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse(&text, &Rfc3339).map(Moment).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_and_utc_always_show() {
        let at: Moment = serde_json::from_str(r#""2026-08-20T12:00:00.5+02:00""#).unwrap();

        assert_eq!(serde_json::to_string(&at).unwrap(), r#""2026-08-20T10:00:00.500000Z""#);
    }
}
