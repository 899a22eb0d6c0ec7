//! Where a request stands in a trace, and the headers that say so: W3C Trace Context and B3.
//!
//! What came in goes out: a caller that speaks B3 gets B3 further on, one that speaks both gets both.

mod b3;
mod sampler;
mod w3c;

use std::fmt;

use http::{HeaderMap, HeaderName};

pub use sampler::{Sampler, Sampling};

/// A span and the trace it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: [u8; 16],
    /// This span.
    pub span: [u8; 8],
    /// The span that caused this one.
    pub parent: Option<[u8; 8]>,
    /// Whether it is recorded.
    pub sampled: bool,
    /// How it came and how it is passed on.
    wire: Wire,
}

/// What the headers were like, so that those further on are alike: a set of bits, since every exchange has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wire(u8);

impl Wire {
    /// `traceparent` was there.
    const W3C: Wire = Wire(1);
    /// `b3` was there.
    const B3_SINGLE: Wire = Wire(1 << 1);
    /// `x-b3-…` were there.
    const B3_MULTI: Wire = Wire(1 << 2);
    /// The `tracestate` beside it belongs to it.
    const STATE: Wire = Wire(1 << 3);
    /// The trace's id is random (W3C, level 2).
    const RANDOM: Wire = Wire(1 << 4);
    /// Recorded whatever a sampler says (B3).
    const DEBUG: Wire = Wire(1 << 5);
    /// The caller left the decision to us (B3).
    const UNDECIDED: Wire = Wire(1 << 6);

    fn has(self, bit: Wire) -> bool {
        self.0 & bit.0 != 0
    }

    /// With `bit` if `on`, as it is otherwise.
    fn with(self, bit: Wire, on: bool) -> Wire {
        if on { Wire(self.0 | bit.0) } else { self }
    }

    fn without(self, bit: Wire) -> Wire {
        Wire(self.0 & !bit.0)
    }
}

impl Trace {
    /// The caller's span. `None` if no header tells of one, or none can be believed.
    ///
    /// If both formats are there, W3C's ids count.
    pub fn of(headers: &HeaderMap) -> Option<Trace> {
        let b3 = b3::read(headers);
        let mut trace = w3c::read(headers).or_else(|| b3.trace())?;
        trace.wire = trace.wire.with(Wire::B3_SINGLE, b3.single).with(Wire::B3_MULTI, b3.multi);
        Some(trace)
    }

    /// The first span of a new trace, in W3C's format. `dice` is asked three times.
    pub fn begin(mut dice: impl FnMut() -> u64, sampled: bool) -> Trace {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&dice().to_be_bytes());
        // an id of zeroes means that there is none, in both formats
        id[8..].copy_from_slice(&dice().max(1).to_be_bytes());
        let wire = Wire::W3C.with(Wire::RANDOM, true);
        Trace { id, span: span(dice()), parent: None, sampled, wire }
    }

    /// A new span that this one causes.
    pub fn child(&self, dice: u64) -> Trace {
        Trace { span: span(dice), parent: Some(self.span), ..*self }
    }

    /// Says in `headers` that this span is the caller's.
    ///
    /// Headers of a format that this trace did not come in are taken away: they would tell of another trace.
    /// `tracestate` stays as it is, except beside a trace that it does not belong to.
    pub fn write(&self, headers: &mut HeaderMap) {
        w3c::write(self, headers);
        b3::write(self, headers);
    }
}

fn span(dice: u64) -> [u8; 8] {
    dice.max(1).to_be_bytes()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl serde::Serialize for Hex<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends lower-case hexadecimal digits.
fn push_hex(bytes: &[u8], to: &mut Vec<u8>) {
    for byte in bytes {
        to.push(DIGITS[usize::from(byte >> 4)]);
        to.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// `N` bytes from exactly twice as many lower-case hexadecimal digits.
fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The same for an id: zeroes alone are none.
fn id_from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    from_hex(text).filter(|id| *id != [0; N])
}

/// A header's value, if there is exactly one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes().trim_ascii()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const NAMES: [&str; 8] = [
        "traceparent",
        "tracestate",
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-flags",
    ];

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn both_formats_in_are_both_formats_out_with_one_story() {
        let mut headers = map(&[
            ("traceparent", PARENT),
            ("b3", "00000000000000aa-00000000000000bb-0"),
            ("tracestate", "a=1"),
        ]);

        Trace::of(&headers).unwrap().child(7).write(&mut headers);

        assert_eq!(headers["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01");
        assert_eq!(headers["b3"], "0af7651916cd43dd8448eb211c80319c-0000000000000007-1-b7ad6b7169203331");
        assert_eq!(headers["tracestate"], "a=1");
        assert!(!headers.contains_key("x-b3-traceid"));
    }

    #[test]
    fn headers_that_tell_of_another_trace_are_taken_away() {
        let mut headers = map(&[
            ("traceparent", "what"),
            ("tracestate", "a=1"),
            ("b3", "nonsense"),
            ("x-b3-spanid", "00000000000000bb"),
        ]);
        assert_eq!(Trace::of(&headers), None);

        Trace::begin(|| 5, true).write(&mut headers);

        assert_eq!(headers.len(), 1);
        assert_eq!(headers["traceparent"], "00-00000000000000050000000000000005-0000000000000005-03");
    }

    #[test]
    fn an_id_is_never_zero() {
        let trace = Trace::begin(|| 0, true);

        assert_ne!(trace.id, [0; 16]);
        assert_ne!(trace.span, [0; 8]);
        assert_ne!(trace.child(0).span, [0; 8]);
    }

    proptest! {
        #[test]
        fn any_header_value_is_survived(values in proptest::collection::vec(
            (0..NAMES.len(), prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                "[0-9a-fd-]{0,60}".prop_map(String::into_bytes),
                "(00|01|cc|ff)-[0-9a-f]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}(-.{0,9})?".prop_map(String::into_bytes),
                "([0-9a-f]{32}|[0-9a-f]{16})-[0-9a-f]{16}(-[01d](-[0-9a-f]{16})?)?".prop_map(String::into_bytes),
            ]), 0..6)) {
            let mut headers = HeaderMap::new();
            for (name, value) in &values {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    headers.append(NAMES[*name], value);
                }
            }

            if let Some(trace) = Trace::of(&headers) {
                let child = trace.child(1);
                child.write(&mut headers);
                let read = Trace::of(&headers).expect("what we write can be read");
                prop_assert_eq!((read.id, read.span, read.sampled), (child.id, child.span, child.sampled));
            }
        }

        #[test]
        fn what_is_written_is_read_again(
            id: [u8; 16], first: u64, second: u64, sampled: bool,
            formats in prop_oneof![Just((true, false, false)), Just((false, true, false)),
                Just((false, false, true)), Just((true, true, true))],
            debug: bool, random: bool,
        ) {
            let (w3c, b3_single, b3_multi) = formats;
            let debug = debug && !w3c;
            let wire = Wire::default()
                .with(Wire::W3C, w3c)
                .with(Wire::B3_SINGLE, b3_single)
                .with(Wire::B3_MULTI, b3_multi)
                .with(Wire::DEBUG, debug)
                .with(Wire::RANDOM, random && w3c);
            let mut id = id;
            id[15] |= 1;
            let trace =
                Trace { id, span: span(first), parent: None, sampled: sampled || debug, wire }.child(second);
            let mut headers = HeaderMap::new();

            trace.write(&mut headers);

            // `traceparent` has no parent's parent, and whatever state comes with it is its own
            let parent = trace.parent.filter(|_| !w3c);
            let wire = wire.with(Wire::STATE, w3c);
            prop_assert_eq!(Trace::of(&headers), Some(Trace { parent, wire, ..trace }));
        }
    }
}
