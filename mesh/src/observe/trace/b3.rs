//! B3, as one header and as several.
//!
//! Source: openzipkin/b3-propagation.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Trace, Wire, id_from_hex, only, push_hex};

const SINGLE: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// What the headers say. A decision may come without ids: then the trace begins here and keeps it.
#[derive(Clone, Copy, Default)]
pub(super) struct Found {
    /// The one header was there and could be read.
    pub(super) single: bool,
    /// Some of the several headers were there and could be read.
    pub(super) multi: bool,
    ids: Option<Ids>,
    decision: Option<Decision>,
}

#[derive(Clone, Copy)]
struct Ids {
    id: [u8; 16],
    span: [u8; 8],
    parent: Option<[u8; 8]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Drop,
    Record,
    Debug,
}

impl Found {
    /// The caller's span, if there are ids.
    pub(super) fn trace(&self) -> Option<Trace> {
        let Ids { id, span, parent } = self.ids?;
        let mut trace = Trace { id, span, parent, sampled: false, wire: Wire::default() };
        self.decide(&mut trace);
        trace.wire = trace.wire.with(Wire::UNDECIDED, self.decision.is_none());
        Some(trace)
    }

    /// Puts the decision into a trace that begins here.
    pub(super) fn decide(&self, trace: &mut Trace) {
        if let Some(decision) = self.decision {
            trace.sampled = decision != Decision::Drop;
            trace.wire = trace.wire.with(Wire::DEBUG, decision == Decision::Debug);
        }
    }

    /// Whether a decision came along.
    pub(super) fn is_decided(&self) -> bool {
        self.decision.is_some()
    }
}

/// Reads both forms; where both are, the one header counts.
pub(super) fn read(headers: &HeaderMap) -> Found {
    let single = only(headers, &SINGLE).and_then(parse_single);
    let multi = read_multi(headers);
    let (ids, decision) = single.or(multi).unwrap_or_default();
    Found { single: single.is_some(), multi: multi.is_some(), ids, decision }
}

type Parsed = (Option<Ids>, Option<Decision>);

/// `{trace}-{span}[-{decision}[-{parent}]]` or a decision alone.
fn parse_single(value: &[u8]) -> Option<Parsed> {
    let mut parts = value.split(|byte| *byte == b'-');
    let first = parts.next()?;
    let Some(span) = parts.next() else { return Some((None, Some(parse_decision(first)?))) };
    let decision = parts.next().map(|part| parse_decision(part).ok_or(())).transpose().ok()?;
    let parent = parts.next().map(|part| id_from_hex(part).ok_or(())).transpose().ok()?;
    if parts.next().is_some() {
        return None;
    }
    Some((Some(Ids { id: parse_id(first)?, span: id_from_hex(span)?, parent }), decision))
}

fn read_multi(headers: &HeaderMap) -> Option<Parsed> {
    let flag = only(headers, &FLAGS).filter(|flags| *flags == b"1").map(|_| Decision::Debug);
    let decision = flag.or_else(|| match only(headers, &SAMPLED)? {
        b"1" | b"true" => Some(Decision::Record),
        b"0" | b"false" => Some(Decision::Drop),
        _ => None,
    });
    let ids = read_ids(headers);
    (ids.is_some() || decision.is_some()).then_some((ids, decision))
}

fn read_ids(headers: &HeaderMap) -> Option<Ids> {
    Some(Ids {
        id: parse_id(only(headers, &TRACE_ID)?)?,
        span: id_from_hex(only(headers, &SPAN_ID)?)?,
        parent: only(headers, &PARENT).and_then(id_from_hex),
    })
}

fn parse_decision(text: &[u8]) -> Option<Decision> {
    match text {
        b"0" => Some(Decision::Drop),
        b"1" => Some(Decision::Record),
        b"d" => Some(Decision::Debug),
        _ => None,
    }
}

/// 128 bits, or 64 that are the lower half.
fn parse_id(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() == 32 {
        return id_from_hex(text);
    }
    let mut id = [0; 16];
    id[8..].copy_from_slice(&id_from_hex::<8>(text)?);
    Some(id)
}

/// Writes the forms that came in and takes the other away.
pub(super) fn write(trace: &Trace, headers: &mut HeaderMap) {
    if trace.wire.has(Wire::B3_SINGLE) {
        headers.insert(SINGLE, single(trace));
    } else {
        headers.remove(SINGLE);
    }
    for name in [TRACE_ID, SPAN_ID, PARENT, SAMPLED, FLAGS] {
        headers.remove(name);
    }
    if !trace.wire.has(Wire::B3_MULTI) {
        return;
    }
    headers.insert(TRACE_ID, value(|to| push_id(trace, to)));
    headers.insert(SPAN_ID, value(|to| push_hex(&trace.span, to)));
    if let Some(parent) = trace.parent {
        headers.insert(PARENT, value(|to| push_hex(&parent, to)));
    }
    match decision(trace) {
        // debug implies the decision, which is then left out
        Some(b'd') => headers.insert(FLAGS, HeaderValue::from_static("1")),
        Some(digit) => headers.insert(SAMPLED, value(|to| to.push(digit))),
        None => None,
    };
}

fn single(trace: &Trace) -> HeaderValue {
    value(|to| {
        push_id(trace, to);
        to.push(b'-');
        push_hex(&trace.span, to);
        let Some(digit) = decision(trace) else { return };
        to.extend_from_slice(&[b'-', digit]);
        if let Some(parent) = trace.parent {
            to.push(b'-');
            push_hex(&parent, to);
        }
    })
}

fn decision(trace: &Trace) -> Option<u8> {
    if trace.wire.has(Wire::DEBUG) {
        return Some(b'd');
    }
    (!trace.wire.has(Wire::UNDECIDED)).then_some(if trace.sampled { b'1' } else { b'0' })
}

/// As long as it came: old tracers know 64 bits alone.
fn push_id(trace: &Trace, to: &mut Vec<u8>) {
    let half = if trace.id[..8] == [0; 8] { 8 } else { 0 };
    push_hex(&trace.id[half..], to);
}

fn value(write: impl FnOnce(&mut Vec<u8>)) -> HeaderValue {
    let mut bytes = Vec::with_capacity(68);
    write(&mut bytes);
    HeaderValue::try_from(bytes).expect("letters, digits and dashes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn passed_on(pairs: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let mut headers = map(pairs);
        Trace::of(&headers).unwrap().child(2).write(&mut headers);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let mut pairs: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn the_single_header_keeps_its_length_and_its_decision() {
        let b3 = |value: &str| vec![("b3".to_owned(), value.to_owned())];

        let short = passed_on(&[("b3", "64fe8b2a57d3eff7-e457b5a2e4d86bd1-d")]);
        let long =
            passed_on(&[("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0-05e3ac9a4f6e3b90")]);
        let undecided = passed_on(&[("b3", "64fe8b2a57d3eff7-e457b5a2e4d86bd1")]);

        assert_eq!(short, b3("64fe8b2a57d3eff7-0000000000000002-d-e457b5a2e4d86bd1"));
        assert_eq!(long, b3("80f198ee56343ba864fe8b2a57d3eff7-0000000000000002-0-e457b5a2e4d86bd1"));
        assert_eq!(undecided, b3("64fe8b2a57d3eff7-0000000000000002"));
    }

    #[test]
    fn several_headers_stay_several() {
        let pairs = passed_on(&[
            ("x-b3-traceid", "64fe8b2a57d3eff7"),
            ("x-b3-spanid", "e457b5a2e4d86bd1"),
            ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
            ("x-b3-sampled", "true"),
        ]);

        let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        let values: Vec<&str> = pairs.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(names, ["x-b3-parentspanid", "x-b3-sampled", "x-b3-spanid", "x-b3-traceid"]);
        assert_eq!(values, ["e457b5a2e4d86bd1", "1", "0000000000000002", "64fe8b2a57d3eff7"]);
    }

    #[test]
    fn what_is_not_b3_is_none() {
        for bad in ["", "2", "64fe8b2a57d3eff7", "64fe8b2a57d3eff7-", "64fe8b2a57d3eff7-e457b5a2e4d86bd1-x"] {
            assert!(parse_single(bad.as_bytes()).is_none(), "{bad}");
        }
        for bad in
            ["0000000000000000-e457b5a2e4d86bd1-1", "64fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90-1"]
        {
            assert!(parse_single(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Trace::of(&map(&[("x-b3-traceid", "64fe8b2a57d3eff7")])).is_none(), "a trace without a span");
    }
}
