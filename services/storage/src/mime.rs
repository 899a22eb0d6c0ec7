//! Media types, parsed strictly: `text/html;image/png` once passed an allow-list as an image (CVE-2026-126269).

use base::Result;

use crate::error::INVALID_MIME_TYPE;

/// Longest media type with its parameters, in bytes.
const MAX_BYTES: usize = 255;

/// A media type as it was declared, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mime {
    text: String,
    essence: usize,
}

impl Mime {
    /// What a body without a declared type is.
    pub(crate) fn octet_stream() -> Mime {
        let text = "application/octet-stream".to_owned();
        Mime { essence: text.len(), text }
    }

    /// Reads `type/subtype` with optional parameters, each `name=value`.
    pub(crate) fn parse(text: &str) -> Result<Mime> {
        let text = text.trim();
        let (essence, parameters) =
            text.split_once(';').map_or((text, None), |(e, p)| (e.trim_end(), Some(p)));
        let good_essence =
            essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
        let good_parameters = parameters.is_none_or(|all| all.split(';').all(is_parameter));
        if good_essence && good_parameters && text.len() <= MAX_BYTES {
            return Ok(Mime { essence: essence.len(), text: text.to_owned() });
        }
        let shown: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
        Err(INVALID_MIME_TYPE.error(format!("mime type {shown} is not supported")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The type without parameters.
    pub(crate) fn essence(&self) -> &str {
        &self.text[..self.essence]
    }

    /// Refuses a type that none of `allowed` covers; an empty list covers all.
    pub(crate) fn check(&self, allowed: &[String]) -> Result<()> {
        if allowed.is_empty() || allowed.iter().any(|pattern| self.is_covered_by(pattern)) {
            return Ok(());
        }
        Err(INVALID_MIME_TYPE.error(format!("mime type {} is not supported", self.text)))
    }

    /// `pattern` is `*`, `*/*`, `image/*`, `image/png`, or a type with parameters, which must then be the same.
    fn is_covered_by(&self, pattern: &str) -> bool {
        let pattern = pattern.trim();
        if pattern.contains(';') {
            let plain = |text: &str| text.replace(' ', "").to_ascii_lowercase();
            return plain(pattern) == plain(&self.text);
        }
        match pattern.split_once('/') {
            None => pattern == "*",
            Some(("*", "*")) => true,
            Some((kind, "*")) => {
                self.essence().split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(kind))
            }
            Some(_) => pattern.eq_ignore_ascii_case(self.essence()),
        }
    }
}

/// Whether `pattern` may stand in a bucket's list of allowed types.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    pattern == "*" || pattern == "*/*" || Mime::parse(pattern).is_ok()
}

/// RFC 9110 §5.6.2; `*` is one of its characters, so that patterns parse as types.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_parameter(text: &str) -> bool {
    let text = text.trim();
    let value = |value: &str| {
        let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        unquoted.map_or_else(
            || is_token(value),
            |inner| inner.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\'),
        )
    };
    text.is_empty() || text.split_once('=').is_some_and(|(name, text)| is_token(name) && value(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(mime: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|text| (*text).to_owned()).collect();
        Mime::parse(mime).unwrap().check(&allowed).is_ok()
    }

    #[test]
    fn an_allow_list_covers_types_and_wildcards() {
        assert!(covered("image/png", &[]));
        assert!(covered("image/png", &["image/*"]));
        assert!(covered("IMAGE/PNG", &["image/png"]));
        assert!(covered("text/plain;charset=UTF-8", &["text/plain"]));
        assert!(covered("text/plain; charset=utf-8", &["text/plain;charset=UTF-8"]));
        assert!(covered("video/mp4", &["*/*"]));
        assert!(!covered("text/plain", &["text/plain;charset=utf-8"]));
        assert!(!covered("imagex/png", &["image/*"]));
        assert!(!covered("text/html", &["image/*", "image/png"]));
    }

    #[test]
    fn two_types_in_one_are_none() {
        for bad in [
            "text/html;image/png",
            "text",
            "/png",
            "image/",
            "image/png/x",
            "a b/c",
            "image/png\r\nx: y",
            "a/b;c",
        ] {
            assert!(Mime::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_are_types_or_wildcards() {
        for good in ["image/*", "*/*", "*", "text/plain;charset=utf-8", "application/vnd.ms-excel"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", "image", "image/png,image/jpg", "x\0/y"] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }
}
