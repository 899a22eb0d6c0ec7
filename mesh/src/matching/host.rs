//! Hosts: one name, or every name under a suffix.

/// Hosts that are meant, compiled.
#[derive(Clone, Debug)]
pub(crate) enum HostPattern {
    /// This one.
    Exact(Box<str>),
    /// Those that end in this, which begins with a dot, and have something before it.
    Suffix(Box<str>),
}

impl HostPattern {
    /// Reads `name` or `*.suffix`.
    pub(crate) fn compile(text: &str) -> HostPattern {
        let text = text.strip_suffix('.').unwrap_or(text);
        match text.strip_prefix('*') {
            Some(suffix) if suffix.starts_with('.') => HostPattern::Suffix(suffix.into()),
            _ => HostPattern::Exact(text.into()),
        }
    }

    /// Whether `host`, without a port, is meant. Names are the same in upper and lower case (RFC 4343), and with a
    /// trailing dot.
    pub(crate) fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            HostPattern::Exact(name) => host.eq_ignore_ascii_case(name),
            HostPattern::Suffix(suffix) => {
                // bytes: the host is the client's word, and a cut may fall within a character
                let (host, suffix) = (host.as_bytes(), suffix.as_bytes());
                let Some(rest) = host.len().checked_sub(suffix.len()) else { return false };
                host[0] != b'.' && host[rest..].eq_ignore_ascii_case(suffix)
            }
        }
    }
}

/// `host` without its port, if it has one.
pub(crate) fn without_port(host: &str) -> &str {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    &host[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_in_any_spelling() {
        let pattern = HostPattern::compile("Data.example.com");

        assert!(
            ["data.example.com", "DATA.EXAMPLE.COM", "data.example.com."].iter().all(|h| pattern.matches(h))
        );
        assert!(
            !["data.example.com..", "xdata.example.com", "data.example.co", ""]
                .iter()
                .any(|h| pattern.matches(h))
        );
    }

    #[test]
    fn a_suffix_needs_something_before_it() {
        let pattern = HostPattern::compile("*.example.com.");

        assert!(["a.example.com", "a.b.Example.COM", "a.example.com."].iter().all(|h| pattern.matches(h)));
        let others = [
            "example.com",
            ".example.com",
            "..example.com",
            "badexample.com",
            "a.example.com.evil.net",
            "ä",
            "",
        ];
        assert!(!others.iter().any(|h| pattern.matches(h)));
    }

    #[test]
    fn a_port_is_left_out() {
        let cases = [
            ("a:80", "a"),
            ("a", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
            ("a:80:90", "a"),
        ];
        for (host, bare) in cases {
            assert_eq!(without_port(host), bare, "{host}");
        }
    }
}
