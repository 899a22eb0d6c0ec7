//! Sizes in bytes as people write them: `1000`, `"20MB"`, `"50MiB"`.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// A number of bytes.
///
/// Read from a whole number or from text with a unit: `B KB MB GB` are powers of 1000, `KiB MiB GiB` of 1024, in any
/// case. As in the original, a number before a unit counts with three significant digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "20MB")]
pub(crate) struct ByteSize(pub(crate) u64);

impl ByteSize {
    /// Reads text with a unit.
    pub(crate) fn parse(text: &str) -> Option<ByteSize> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = text.split_at(end);
        let unit: u64 = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return None,
        };
        let well_formed = !number.starts_with('.') && !number.ends_with('.');
        let number: f64 = number.parse().ok().filter(|_| well_formed)?;
        let bytes = three_digits(number) * unit as f64;
        // beyond 2^53 a float no longer counts single bytes, and no disk is that large
        (bytes <= 9e15).then_some(ByteSize(bytes as u64))
    }
}

fn three_digits(number: f64) -> f64 {
    // formatting rounds decimally, as the original does
    format!("{number:.2e}").parse().unwrap_or(number)
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = ByteSize;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of bytes, or a size such as 20GB, 20MB, 30KB or 3B")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Some(ByteSize(bytes))
                    .filter(|size| size.0 <= i64::MAX as u64)
                    .ok_or_else(|| E::custom("too large"))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(|_| E::custom("a size is not negative"))
            }
            fn visit_f64<E: de::Error>(self, bytes: f64) -> Result<ByteSize, E> {
                let whole = bytes.fract() == 0.0 && (0.0..=9e15).contains(&bytes);
                if whole { Ok(ByteSize(bytes as u64)) } else { Err(E::custom("a size is a whole number")) }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                ByteSize::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_decimal_or_binary_in_any_case() {
        for (text, bytes) in [
            ("20MB", 20_000_000),
            ("1kb", 1000),
            ("1.5Gb", 1_500_000_000),
            ("3B", 3),
            ("50MiB", 52_428_800),
            ("1KiB", 1024),
        ] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn three_significant_digits_count() {
        assert_eq!(ByteSize::parse("1234KB"), Some(ByteSize(1_230_000)));
        assert_eq!(ByteSize::parse("0.001239MB"), Some(ByteSize(1240)));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "MB",
            "20",
            "20 MB",
            "-1MB",
            "1e3MB",
            ".5MB",
            "5.MB",
            "1.2.3MB",
            "20TB",
            "99999999GB",
            "NaNMB",
        ] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
        for json in ["-1", "1.5", "1e300", "true", "[]", "18446744073709551615"] {
            assert!(serde_json::from_str::<ByteSize>(json).is_err(), "{json}");
        }
        assert_eq!(serde_json::from_str::<ByteSize>("1000.0").unwrap(), ByteSize(1000));
    }
}
