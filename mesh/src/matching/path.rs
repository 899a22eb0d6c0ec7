//! The one spelling of a path, and the paths that have none.

use std::borrow::Cow;
use std::fmt;

use super::escape::{decoded, value};

/// How often somebody may decode. Who encodes more often means no good.
const MAX_READINGS: usize = 4;

/// A path that could be read in several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPath {
    /// It does not begin with a slash.
    Relative,
    /// A `%` without two hexadecimal digits, or escapes of escapes of escapes.
    Escape,
    /// A control character, a space, a byte beyond ASCII, `\`, `?` or `#`; encoded ones only if they are controls.
    Character,
    /// A `.` or `..` segment, however it is spelt.
    Dots,
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadPath::Relative => "the path does not begin with a slash",
            BadPath::Escape => {
                "the path holds a percent sign without two hexadecimal digits, or too many in a row"
            }
            BadPath::Character => "the path holds a character that must be encoded, or a control character",
            BadPath::Dots => "the path holds a dot segment",
        })
    }
}

impl std::error::Error for BadPath {}

/// The one spelling of `path`: what is judged, and what is passed on.
///
/// Escapes of unreserved characters are decoded, the digits of the others are upper-case; `%2F` and `%5C` stay as
/// they are, and so do empty segments. A path is refused if it has a dot segment: plain or encoded, once or several
/// times, between slashes or backslashes, with or without parameters (`..;a`). Others could read it differently.
///
/// Borrows, without any allocation, what already is in that spelling. Idempotent.
/// Source: RFC 3986 §6.2.2.
pub(crate) fn normalise(path: &str) -> Result<Cow<'_, str>, BadPath> {
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    if !path.starts_with('/') {
        return Err(BadPath::Relative);
    }
    let normal = spell(path)?;
    check_readings(normal.as_bytes())?;
    Ok(normal)
}

/// Whether there is nothing to look at twice: a slash, and no escape, no dot at the beginning of a segment.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.starts_with('/')
        && path.bytes().all(|byte| {
            let dotted = byte == b'.' && before == b'/';
            before = byte;
            byte != b'%' && is_graphic(byte) && !dotted
        })
}

/// Whether a byte may stand in a path as it is. More than RFC 3986 allows: `"<>^`{|}` and their like come from real
/// clients and mean nothing to anybody.
fn is_graphic(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'?' | b'#')
}

/// `path` in its one spelling, if each of its characters may be there.
fn spell(path: &str) -> Result<Cow<'_, str>, BadPath> {
    let mut normal = true;
    for unit in units(path.as_bytes()) {
        normal &= unit?.is_normal();
    }
    if normal {
        return Ok(Cow::Borrowed(path));
    }
    let mut spelt = String::with_capacity(path.len());
    units(path.as_bytes()).flatten().for_each(|unit| unit.write(&mut spelt));
    Ok(Cow::Owned(spelt))
}

/// Refuses what somebody who decodes, once or again and again, would take for something else.
///
/// Nothing is allocated for a path whose escapes decode to something that holds none.
fn check_readings(path: &[u8]) -> Result<(), BadPath> {
    let mut reading = Cow::Borrowed(path);
    for _ in 0..MAX_READINGS {
        let mut again = false;
        let last = decoded(&reading, b'+').try_fold(Segment::default(), |segment, byte| {
            again |= byte == b'%';
            if byte.is_ascii_control() { Err(BadPath::Character) } else { segment.and(byte) }
        });
        last?.end()?;
        let next: Vec<u8> = if again { decoded(&reading, b'+').collect() } else { return Ok(()) };
        if next.len() == reading.len() {
            return Ok(());
        }
        reading = Cow::Owned(next);
    }
    Err(BadPath::Escape)
}

/// What is known of a segment so far.
#[derive(Clone, Copy, Default)]
struct Segment {
    dots: usize,
    /// Something else than a dot stood before any parameters.
    named: bool,
    /// Parameters began, which some leave out before they look at the rest (`..;a`).
    parameters: bool,
}

impl Segment {
    fn and(self, meant: u8) -> Result<Segment, BadPath> {
        Ok(match meant {
            b'/' | b'\\' => {
                self.end()?;
                Segment::default()
            }
            b';' => Segment { parameters: true, ..self },
            b'.' if !self.parameters => Segment { dots: self.dots + 1, ..self },
            _ => Segment { named: self.named || !self.parameters, ..self },
        })
    }

    fn end(self) -> Result<(), BadPath> {
        if !self.named && matches!(self.dots, 1 | 2) { Err(BadPath::Dots) } else { Ok(()) }
    }
}

/// One character as it is written: plain, or as an escape.
enum Unit {
    Plain(u8),
    Escape { high: u8, low: u8, byte: u8 },
}

impl Unit {
    fn is_normal(&self) -> bool {
        match self {
            Unit::Plain(_) => true,
            Unit::Escape { high, low, byte } => {
                !is_unreserved(*byte) && !high.is_ascii_lowercase() && !low.is_ascii_lowercase()
            }
        }
    }

    fn write(&self, to: &mut String) {
        match *self {
            Unit::Plain(byte) => to.push(char::from(byte)),
            Unit::Escape { byte, .. } if is_unreserved(byte) => to.push(char::from(byte)),
            Unit::Escape { high, low, .. } => {
                to.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()].map(char::from));
            }
        }
    }
}

/// The characters of `path`, as far as they may be there.
fn units(path: &[u8]) -> impl Iterator<Item = Result<Unit, BadPath>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let (unit, length) = match *rest {
            [] => return None,
            [b'%', high, low, ..] => {
                (value(high, low).map(|byte| Unit::Escape { high, low, byte }).ok_or(BadPath::Escape), 3)
            }
            [b'%', ..] => (Err(BadPath::Escape), 1),
            [byte, ..] if is_graphic(byte) => (Ok(Unit::Plain(byte)), 1),
            _ => (Err(BadPath::Character), 1),
        };
        rest = &rest[length..];
        Some(unit)
    })
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_normal_path_is_borrowed() {
        let normal = [
            "/",
            "/a/b",
            "/a//b",
            "//",
            "/a.b/c..",
            "/.well-known/x",
            "/...",
            "/..a",
            "/a/..b/c",
            "/object/x%2Fy",
            "/object/x%5Cy",
            "/a%20b%C3%A4",
            "/a%25",
            "/a;b=c/d",
            "/;",
            "/;..",
            "/a@b:c!$&'()*+,=~",
            "/a{b}|^`\"<>",
        ];
        for path in normal {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn each_path_has_one_spelling() {
        let cases = [
            ("/%61", "/a"),
            ("/%41%7a%2D%5f%7E%2e%30", "/Az-_~.0"),
            ("/a%2fb", "/a%2Fb"),
            ("/%c3%a4", "/%C3%A4"),
            ("/a%40b", "/a%40b"),
            ("/a%5cb", "/a%5Cb"),
            ("/%2561", "/%2561"),
            ("/a/%62/%2f", "/a/b/%2F"),
        ];
        for (path, normal) in cases {
            assert_eq!(normalise(path).unwrap(), normal, "{path}");
        }
    }

    #[test]
    fn dot_segments_are_refused_in_every_spelling() {
        let bad = [
            "/..",
            "/.",
            "/../",
            "/./",
            "/a/..",
            "/a/../b",
            "/a/./b",
            "/a/.",
            "//..",
            "/%2e",
            "/%2E%2e",
            "/.%2e/a",
            "/%2e./a",
            "/a/%2e%2e/b",
            "/a%2f..",
            "/a%2F..%2fb",
            "/a%2f%2e%2e",
            "/a%5c..",
            "/a/..%5cb",
            "/a%5C%2e%2E%5Cb",
            "/a%2f.",
            "/%252e%252e/a",
            "/%252e%252e%252fa",
            "/a%252f../b",
            "/a%255c%252e%252e",
            "/%25252e%25252e/",
            "/%25%32%65%25%32%65/",
            "/%25%2532%2565/",
            "/..;/a",
            "/..;a=b/c",
            "/.;/a",
            "/..%3b/a",
            "/%2e%2e;x",
            "/a/..%3Bx/b",
            "/..;.",
        ];
        for path in bad {
            assert_eq!(normalise(path), Err(BadPath::Dots), "{path}");
        }
    }

    #[test]
    fn characters_that_others_might_read_differently_are_refused() {
        let characters = [
            "/a\\b",
            "/a\\..\\b",
            "/\0",
            "/a\nb",
            "/a\rb",
            "/a\tb",
            "/a b",
            "/\u{7f}",
            "/ä",
            "/%00",
            "/a%0a",
            "/%0D%0A",
            "/%1f",
            "/%7F",
            "/%2500",
            "/%250a",
            "/a?b",
            "/a#b",
        ];
        for path in characters {
            assert_eq!(normalise(path), Err(BadPath::Character), "{path:?}");
        }
        let deep = format!("/{}2e", "%25".to_owned() + &"25".repeat(9));
        for path in [&*deep, "/%", "/%2", "/%zz", "/a%g0", "/%%20", "/%+1", "/a%2/b"] {
            assert_eq!(normalise(path), Err(BadPath::Escape), "{path}");
        }
        for path in ["", "a", "*", "%2Fa", "http://a/b", "..", "\\a"] {
            assert_eq!(normalise(path), Err(BadPath::Relative), "{path}");
        }
    }

    /// Paths that are likely to be odd.
    fn odd() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/"),
            Just("."),
            Just(".."),
            Just("%2e"),
            Just("%2E"),
            Just("%2f"),
            Just("%5c"),
            Just("\\"),
            Just("%25"),
            Just("%61"),
            Just("%32"),
            Just("%65"),
            Just("25"),
            Just("%c3"),
            Just("%"),
            Just("2e"),
            Just("2f"),
            Just(";"),
            Just("a"),
            Just("ä"),
            Just("%00"),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    fn once(path: &[u8]) -> Vec<u8> {
        decoded(path, b'+').collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn what_is_normal_stays_as_it_is(path in odd()) {
            if let Ok(normal) = normalise(&path) {
                prop_assert_eq!(normalise(&normal), Ok(Cow::Borrowed(&*normal)));
            }
        }

        #[test]
        fn nobody_who_decodes_finds_dot_segments_or_controls(path in odd()) {
            if let Ok(normal) = normalise(&path) {
                let mut reading = normal.as_bytes().to_vec();
                for _ in 0..12 {
                    let text = String::from_utf8_lossy(&reading).replace('\\', "/");
                    let dotted = text.split('/').any(|s| matches!(s.split(';').next(), Some("." | "..")));
                    prop_assert!(!dotted && !text.contains('\0'), "{} read as {}", path, text);
                    reading = once(&reading);
                }
            }
        }

        #[test]
        fn a_decoder_reads_the_same_before_and_after(path in odd()) {
            if let Ok(normal) = normalise(&path) {
                prop_assert_eq!(once(normal.as_bytes()), once(path.as_bytes()));
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(path in ".*") {
            let _ = normalise(&path);
        }
    }
}
