//! Percent-escapes (RFC 3986 §2.1).

/// `text` decoded once, with `plus` for each plus sign. A percent sign that begins no escape stands for itself.
pub(super) fn decoded(text: &[u8], plus: u8) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, length) = match rest {
            [] => return None,
            [b'%', high, low, ..] => value(*high, *low).map_or((b'%', 1), |byte| (byte, 3)),
            [b'+', ..] => (plus, 1),
            [byte, ..] => (*byte, 1),
        };
        rest = &rest[length..];
        Some(byte)
    })
}

/// The byte that two hexadecimal digits stand for.
pub(super) fn value(high: u8, low: u8) -> Option<u8> {
    Some(digit(high)? << 4 | digit(low)?)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        let text = |text: &str| String::from_utf8(decoded(text.as_bytes(), b'+').collect()).unwrap();

        assert_eq!(text("a%2Fb%2f+"), "a/b/+");
        assert_eq!(text("%2541%C3%a4"), "%41ä");
        assert_eq!(text("%%41%4%zz%"), "%A%4%zz%");
    }
}
