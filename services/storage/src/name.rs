//! Names of buckets and objects, parsed at the door. A name is data: no path on disk is ever made from it.

use std::fmt;

use base::Result;

use crate::error::{INVALID_BUCKET_NAME, INVALID_KEY};

/// Longest bucket name, in characters.
const MAX_BUCKET_NAME: usize = 100;
/// Longest object key, in bytes; S3's limit.
const MAX_KEY_BYTES: usize = 1024;
/// How the key that marks an empty folder ends.
const PLACEHOLDER: &str = ".emptyFolderPlaceholder";

/// Which characters object keys may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRule {
    /// Those of the original API.
    Strict,
    /// Any UTF-8 without control characters.
    Unicode,
}

/// A bucket's name: 1 to 100 of `A-Z a-z 0-9 _!.*'() &$@=;:+,?-`, without blanks at its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketName(String);

impl BucketName {
    pub(crate) fn parse(text: &str) -> Result<BucketName> {
        let sized = (1..=MAX_BUCKET_NAME).contains(&text.len());
        if sized && text.bytes().all(is_strict) && text.trim() == text {
            Ok(BucketName(text.to_owned()))
        } else {
            Err(INVALID_BUCKET_NAME.error("Bucket name invalid"))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object's key: 1 to 1024 bytes. Empty segments are allowed, as in S3; `.` and `..` are not, because clients and
/// proxies resolve them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectKey(String);

impl ObjectKey {
    pub(crate) fn parse(text: &str, rule: KeyRule) -> Result<ObjectKey> {
        let sized = (1..=MAX_KEY_BYTES).contains(&text.len());
        let allowed = match rule {
            KeyRule::Strict => text.bytes().all(|byte| byte == b'/' || is_strict(byte)),
            KeyRule::Unicode => text.chars().all(|c| !c.is_control() && c != '\\' && c != char::MAX),
        };
        if sized && allowed && !text.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Ok(ObjectKey(text.to_owned()));
        }
        let shown: String = text.chars().take(MAX_BUCKET_NAME).collect();
        Err(INVALID_KEY.error(format!("Invalid key: {shown}")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the object only keeps an empty folder visible: it must be empty itself.
    pub(crate) fn is_placeholder(&self) -> bool {
        self.0.ends_with(PLACEHOLDER)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_strict(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_!.*'() &$@=;:+,?-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rule() {
        for good in ["a", "with space", "a.b", "!*'()&$@=;:+,?-_", &"a".repeat(100)] {
            assert!(BucketName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " a", "a ", "a/b", "ä", "a\0", "a\\b", "a%", &"a".repeat(101)] {
            assert!(BucketName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_follow_the_rule() {
        for good in
            ["a", "a/b.txt", "/a", "a/", "a//b", "..a", "a../b", "special @+$,;=?.txt", &"a".repeat(1024)]
        {
            assert!(ObjectKey::parse(good, KeyRule::Strict).is_ok(), "{good}");
        }
        for bad in
            ["", ".", "..", "a/../b", "../a", "a/.", "a\0b", "a\\b", "%2e%2e", "ä", "a\nb", &"a".repeat(1025)]
        {
            assert!(ObjectKey::parse(bad, KeyRule::Strict).is_err(), "{bad}");
        }
    }

    #[test]
    fn unicode_keys_keep_the_path_rules() {
        for good in ["ä/日本語.png", "100%.txt", "😀"] {
            assert!(ObjectKey::parse(good, KeyRule::Unicode).is_ok(), "{good}");
        }
        for bad in ["ä/../b", "a\u{0}", "a\\b", "a\u{7f}", "a\u{85}", "\u{10ffff}"] {
            assert!(ObjectKey::parse(bad, KeyRule::Unicode).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_long_bad_key_is_not_echoed_whole() {
        let error = ObjectKey::parse(&"\\".repeat(100_000), KeyRule::Strict).unwrap_err();

        assert!(error.message.len() < 200);
    }
}
