//! `traceparent` and `tracestate`.
//!
//! Source: W3C Trace Context (Recommendation), §3.2; the random flag is of level 2, §3.2.2.5.2.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Trace, Wire, from_hex, id_from_hex, only, push_hex};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;
/// `00-` + 32 + `-` + 16 + `-` + 2: the whole of version 00, and what every later version begins with.
const LENGTH: usize = 55;

/// The caller's span. A later version is read as far as version 00 goes; version `ff` is none.
pub(super) fn read(headers: &HeaderMap) -> Option<Trace> {
    let value = only(headers, &TRACEPARENT)?;
    let (head, rest) = value.split_at_checked(LENGTH)?;
    let [version] = from_hex(&head[..2])?;
    let ends_well = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
    if version == 0xff || !ends_well || [head[2], head[35], head[52]] != *b"---" {
        return None;
    }
    let [flags] = from_hex(&head[53..])?;
    Some(Trace {
        id: id_from_hex(&head[3..35])?,
        span: id_from_hex(&head[36..52])?,
        parent: None,
        sampled: flags & SAMPLED != 0,
        wire: Wire::W3C.with(Wire::STATE, true).with(Wire::RANDOM, flags & RANDOM != 0),
    })
}

/// Writes version 00 with the flags we know; the standard wants all others to be zero.
pub(super) fn write(trace: &Trace, headers: &mut HeaderMap) {
    if !trace.wire.has(Wire::STATE) {
        headers.remove(TRACESTATE);
    }
    if !trace.wire.has(Wire::W3C) {
        headers.remove(TRACEPARENT);
        return;
    }
    let sampled = if trace.sampled { SAMPLED } else { 0 };
    let random = if trace.wire.has(Wire::RANDOM) { RANDOM } else { 0 };
    let mut value = Vec::with_capacity(LENGTH);
    value.extend_from_slice(b"00-");
    push_hex(&trace.id, &mut value);
    value.push(b'-');
    push_hex(&trace.span, &mut value);
    value.push(b'-');
    push_hex(&[sampled | random], &mut value);
    headers.insert(TRACEPARENT, HeaderValue::try_from(value).expect("hexadecimal digits and dashes"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traceparent(values: &[&str]) -> Option<Trace> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, value.parse().unwrap());
        }
        read(&headers)
    }

    #[test]
    fn version_00_has_exactly_four_fields() {
        let good = "00-12345678901234567890123456789012-1234567890123456-01";

        let trace = traceparent(&[good]).unwrap();

        assert_eq!(trace.span, [0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56]);
        assert!(trace.sampled && !traceparent(&[&good.replace("-01", "-fe")]).unwrap().sampled);
        for bad in [
            "",
            "00-12345678901234567890123456789012-1234567890123456",
            "00-12345678901234567890123456789012-1234567890123456-01-more",
            "00-12345678901234567890123456789012-1234567890123456-01-",
            "00-12345678901234567890123456789012-1234567890123456-0",
            "00-00000000000000000000000000000000-1234567890123456-01",
            "00-12345678901234567890123456789012-0000000000000000-01",
            "00-1234567890123456789012345678901A-1234567890123456-01",
            "00-12345678901234567890123456789012-123456789012345.-01",
            "00-12345678901234567890123456789012_1234567890123456-01",
            "0--12345678901234567890123456789012-1234567890123456-01",
            "ff-12345678901234567890123456789012-1234567890123456-01",
        ] {
            assert_eq!(traceparent(&[bad]), None, "{bad}");
        }
        assert_eq!(traceparent(&[good, good]), None, "two of them contradict each other");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_we_know_it_and_written_as_00() {
        let ids = "12345678901234567890123456789012-1234567890123456";
        let mut headers = HeaderMap::new();

        let trace = traceparent(&[&format!("cc-{ids}-09-what-the-future-will-be-like")]).unwrap();
        write(&trace, &mut headers);

        assert_eq!(headers[TRACEPARENT], format!("00-{ids}-01"));
        assert!(traceparent(&[&format!("cc-{ids}-01")]).is_some());
        assert_eq!(traceparent(&[&format!("cc-{ids}-01.what")]), None);
    }
}
