//! How deep a JSON document nests, found without recursion.

/// Deepest document that is sent to PostgreSQL, whose own parser stops at several thousand.
pub(crate) const MAX: usize = 512;

/// Whether `json` nests deeper than `limit`. What is not JSON is scanned as if it were.
pub(crate) fn exceeds(json: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    false
}

fn skip_string<'a>(bytes: &mut impl Iterator<Item = &'a u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_nest() {
        assert!(!exceeds(br#"["[[[[","\"[[",{"a":"]"}]"#, 2));
        assert!(exceeds(br#"[[[1]]]"#, 2));
        assert!(!exceeds(br#"[[1],[2],[3]]"#, 2));
    }
}
