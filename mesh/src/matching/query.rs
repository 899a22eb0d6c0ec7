//! Query parameters, decoded only as far as they are looked at.

use super::escape::decoded;

/// The names and values of a query, as they were sent.
///
/// Pairs are parted by `&`, a name from its value by the first `=` (WHATWG URL, application/x-www-form-urlencoded).
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether `sent` says `meant` once it is decoded: `+` is a space, and what is no escape stands for itself.
pub(super) fn says(sent: &str, meant: &str) -> bool {
    decoded(sent.as_bytes(), b' ').eq(meant.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_decoded() {
        let same =
            [("a", "a"), ("%61", "a"), ("a+b", "a b"), ("a%2Bb", "a+b"), ("%C3%a4", "ä"), ("%zz%", "%zz%")];
        for (sent, meant) in same {
            assert!(says(sent, meant), "{sent}");
        }
        for (sent, meant) in [("a", "b"), ("a", "ab"), ("ab", "a"), ("", "a"), ("%41", "a")] {
            assert!(!says(sent, meant), "{sent}");
        }
    }

    #[test]
    fn pairs_are_parted_at_the_first_sign() {
        let pairs: Vec<_> = pairs("a=1&&b&c=2=3&=4").collect();

        assert_eq!(pairs, [("a", "1"), ("b", ""), ("c", "2=3"), ("", "4")]);
    }
}
