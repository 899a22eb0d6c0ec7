//! How long the caller still waits, as it stands in a request: our own header, and gRPC's.
//!
//! On the way it is only ever lowered. A value that cannot be read is as good as none.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::classify::is_grpc;

/// gRPC's deadline, as the time that is left.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The units of [`GRPC_TIMEOUT`] in nanoseconds, the finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// The most that 8 digits can say.
const MAX_DIGITS_VALUE: u128 = 99_999_999;

/// Reads a `grpc-timeout`: 1 to 8 digits and a unit. `None` if it is anything else.
///
/// Zero is read though the specification asks for a positive number: whoever sends it does not want to wait.
/// Source: gRPC over HTTP/2, "Requests", `Timeout`.
pub(crate) fn parse_grpc(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (_, nanos) = UNITS.iter().find(|(name, _)| name == unit)?;
    let count = digits.iter().fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'));
    // 99,999,999 hours are 3.6e20 ns: beyond a u64 of nanoseconds, well within a Duration
    let (secs, rest) = (count * nanos / 1_000_000_000, count * nanos % 1_000_000_000);
    Some(Duration::new(u64::try_from(secs).ok()?, u32::try_from(rest).ok()?))
}

/// Writes a `grpc-timeout` in the finest unit that has room, rounded down.
pub(crate) fn format_grpc(left: Duration) -> HeaderValue {
    let nanos = left.as_nanos();
    let unit = UNITS.iter().find(|(_, unit)| nanos / unit <= MAX_DIGITS_VALUE);
    let (count, unit) = match unit {
        Some((name, unit)) => (nanos / unit, *name),
        None => (MAX_DIGITS_VALUE, b'H'),
    };
    HeaderValue::from_str(&format!("{count}{}", char::from(unit)))
        .expect("digits and a letter are a header value")
}

/// The time that is left: the least of `limit` and of what the headers say.
pub(crate) fn left(headers: &HeaderMap, limit: Duration) -> Duration {
    let ours = base::header::deadline(headers);
    [ours, grpc(headers)].into_iter().flatten().fold(limit, Duration::min)
}

/// Tells the next hop that `left` is left, unless it is told less already.
///
/// Our own header is always there afterwards; gRPC's if it was, or if the request is one of gRPC.
pub(crate) fn write(headers: &mut HeaderMap, left: Duration) {
    base::header::lower_deadline(headers, left);
    let there = grpc(headers);
    if there.is_some() || is_grpc(headers) {
        lower_grpc(headers, there, left);
    }
}

/// Lowers what the headers say to `max`. Adds nothing.
pub(crate) fn lower(headers: &mut HeaderMap, max: Duration) {
    if base::header::deadline(headers).is_some_and(|there| there > max) {
        base::header::lower_deadline(headers, max);
    }
    if let Some(there) = grpc(headers) {
        lower_grpc(headers, Some(there), max);
    }
}

/// The least of all readable values: which of several the next hop believes is not ours to say.
fn grpc(headers: &HeaderMap) -> Option<Duration> {
    headers.get_all(GRPC_TIMEOUT).iter().filter_map(parse_grpc).min()
}

fn lower_grpc(headers: &mut HeaderMap, there: Option<Duration>, left: Duration) {
    let least = there.map_or(left, |there| there.min(left));
    let is_told = there == Some(least) && headers.get_all(GRPC_TIMEOUT).iter().count() == 1;
    if !is_told {
        headers.insert(GRPC_TIMEOUT, format_grpc(least));
    }
}

#[cfg(test)]
mod tests {
    use base::header::DEADLINE;
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn grpc_timeouts_of_every_unit_are_read() {
        let cases = [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("40m", 40 * MS),
            ("5u", Duration::from_micros(5)),
            ("00000006n", Duration::from_nanos(6)),
            ("0m", Duration::ZERO),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ];

        for (text, expected) in cases {
            assert_eq!(parse_grpc(&HeaderValue::from_static(text)), Some(expected), "{text}");
        }
    }

    #[test]
    fn grpc_timeouts_are_written_in_the_finest_unit_with_room() {
        let cases =
            [(0, "0n"), (99_999_999, "99999999n"), (100_000_000, "100000u"), (99_999_999_999, "99999999u")];

        for (nanos, expected) in cases {
            assert_eq!(format_grpc(Duration::from_nanos(nanos)), expected);
        }
        assert_eq!(format_grpc(Duration::MAX), "99999999H");
    }

    #[test]
    fn malformed_values_are_ignored() {
        for text in ["", "1", "S", "-1S", "+1S", "1s", "1.5S", "1 S", "000000001n", "1SS"] {
            assert_eq!(left(&headers(&[("grpc-timeout", text)]), MS), MS, "{text}");
        }
        for text in ["", "-1", "1.5", "soon", "99999999999999999999"] {
            assert_eq!(left(&headers(&[("x-meshbase-deadline-ms", text)]), MS), MS, "{text}");
        }
    }

    #[test]
    fn the_least_of_all_is_what_is_left() {
        let both = headers(&[("x-meshbase-deadline-ms", "200"), ("grpc-timeout", "100m")]);

        assert_eq!(left(&both, 300 * MS), 100 * MS);
        assert_eq!(left(&both, 50 * MS), 50 * MS);
        assert_eq!(left(&headers(&[("x-meshbase-deadline-ms", "200")]), 300 * MS), 200 * MS);
        assert_eq!(left(&headers(&[("grpc-timeout", "1S"), ("grpc-timeout", "7m")]), 300 * MS), 7 * MS);
    }

    #[test]
    fn a_grpc_timeout_is_added_to_grpc_requests_alone() {
        let cases = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ];

        for (kind, added) in cases {
            let mut headers = headers(&[("content-type", kind)]);
            write(&mut headers, 70 * MS);
            assert_eq!(headers.contains_key(GRPC_TIMEOUT), added, "{kind}");
            assert_eq!(headers[DEADLINE], "70");
        }
    }

    #[test]
    fn a_cap_adds_nothing() {
        let mut none = HeaderMap::new();
        lower(&mut none, MS);
        assert!(none.is_empty());

        let mut both = headers(&[("x-meshbase-deadline-ms", "200"), ("grpc-timeout", "100m")]);
        lower(&mut both, 150 * MS);
        assert_eq!(
            (&both[DEADLINE], &both[GRPC_TIMEOUT]),
            (&"150".parse().unwrap(), &"100m".parse().unwrap())
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_never_more_and_hardly_less(secs in 0_u64..10_000_000_000, nanos in 0_u32..1_000_000_000) {
            let time = Duration::new(secs, nanos);

            let read = parse_grpc(&format_grpc(time)).unwrap();

            prop_assert!(read <= time);
            let most = Duration::from_secs(99_999_999 * 3600);
            prop_assert!(time > most || time - read <= time / 99_999);
        }

        #[test]
        fn a_deadline_is_never_raised(
            ours in prop::option::of("[0-9]{0,6}|[a-z+-]{1,3}"),
            grpc in prop::collection::vec("[0-9]{1,9}[HMSmunx]|[a-z]{0,3}", 0..3),
            content in prop::sample::select(vec!["application/grpc", "text/plain"]),
            steps in prop::collection::vec((any::<bool>(), 0_u64..10_000_000), 1..5),
        ) {
            let mut headers = headers(&[("content-type", content)]);
            ours.map(|value| headers.insert(DEADLINE, value.parse().unwrap()));
            for value in grpc {
                headers.append(GRPC_TIMEOUT, value.parse().unwrap());
            }
            let endless = Duration::MAX;

            for (capped, micros) in steps {
                let time = Duration::from_micros(micros);
                let (before, grpc_before) = (left(&headers, endless), super::grpc(&headers));
                let had = headers.contains_key(GRPC_TIMEOUT);
                if capped { lower(&mut headers, time) } else { write(&mut headers, time) };
                let after = left(&headers, endless);
                prop_assert!(after <= before);
                prop_assert!(after <= time || (capped && after == endless));
                prop_assert!(capped || headers.contains_key(DEADLINE));
                prop_assert!(super::grpc(&headers) <= grpc_before || (grpc_before.is_none() && !capped));
                prop_assert!(had || !headers.contains_key(GRPC_TIMEOUT) || content == "application/grpc");
            }
        }
    }
}
