//! Durations as Go writes them (`1h30m`, `500ms`), because that is how the API and existing settings spell them.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Reads a sequence of decimal numbers with units (`h m s ms us µs ns`), such as `24h` or `1m0.5s`.
///
/// `None` for anything else, for a negative duration, and for one over a hundred years.
/// Source: Go's `time.ParseDuration`.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    const LONGEST_SECONDS: f64 = 100.0 * 365.0 * 86400.0;
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let length = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        seconds += number * unit_seconds(&unit[..length])?;
        rest = &unit[length..];
    }
    (!text.is_empty() && seconds <= LONGEST_SECONDS).then(|| Duration::from_secs_f64(seconds))
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "h" => 3600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" | "μs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    })
}

/// For serde: a Go duration as text, or a number of seconds.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Seconds(u32),
        Text(String),
    }
    match Form::deserialize(from)? {
        Form::Seconds(seconds) => Ok(Duration::from_secs(seconds.into())),
        Form::Text(text) => parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no duration such as 1m30s"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(parse("24h"), Some(Duration::from_secs(86400)));
        assert_eq!(parse("1m0.5s"), Some(Duration::from_millis(60_500)));
        assert_eq!(parse("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(parse("0"), Some(Duration::ZERO));
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in ["", "5", "h", "-1h", "1d", "1h ", "1..5s", "99999999999999999999h", "1e3s", "NaNs"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
