//! The one spelling of a host.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// A host as it is compared and looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A name in lower case, without a trailing dot.
    Name(Box<str>),
    /// An address; an IPv4 address never in the guise of an IPv6 one.
    Address(IpAddr),
}

impl Host {
    /// Reads a name, an IPv4 address as four decimal numbers, or an IPv6 address with or without brackets.
    ///
    /// A host whose last label is a number can only be an address (WHATWG URL, "ends in a number"), and only in that
    /// notation: `127.1`, `0x7f.1`, `0177.0.0.1` and `2130706433` are taken for 127.0.0.1 by some programs, and by us
    /// for nothing.
    pub(super) fn parse(text: &str) -> Option<Host> {
        if let Some(inner) = text.strip_prefix('[') {
            return Host::v6(inner.strip_suffix(']')?);
        }
        if text.contains(':') {
            return Host::v6(text);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > MAX_NAME_BYTES || !name.split('.').all(is_label) {
            return None;
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if is_number(last) {
            return name.parse::<Ipv4Addr>().ok().map(|address| Host::Address(address.into()));
        }
        Some(Host::Name(name.to_ascii_lowercase().into()))
    }

    fn v6(text: &str) -> Option<Host> {
        text.parse::<Ipv6Addr>().ok().map(|address| Host::Address(IpAddr::V6(address).to_canonical()))
    }
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(allowed)
}

/// Whether some program may take the label for a number: decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match digits {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => fmt::Display::fmt(address, f),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        let cases = [
            ("API.Example.com.", "api.example.com"),
            ("a_b-c.example", "a_b-c.example"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("2001:DB8::1", "[2001:db8::1]"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("[::ffff:7f00:1]", "127.0.0.1"),
            ("1.2.3.4.example", "1.2.3.4.example"),
            ("0x7f.example", "0x7f.example"),
        ];
        for (text, host) in cases {
            assert_eq!(Host::parse(text).map(|host| host.to_string()).as_deref(), Some(host), "{text}");
        }
    }

    #[test]
    fn what_some_take_for_a_host_is_none() {
        let long_label = "a".repeat(64);
        let long_name = ["a"; 128].join(".");
        let bad = [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.b..",
            "a b",
            "a/b",
            "a@b",
            "a%2eb",
            "a\0",
            "a\n",
            "ä.example",
            "127。0。0。1",
            "１２７.0.0.1",
            "*.a.b",
            "a:80",
            "127.0.0.1:80",
            "[::1",
            "::1]",
            "[::1]:80",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "fe80::1%eth0",
            "[]",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.01",
            "127.0.0.0x1",
            "256.0.0.1",
            "1.2.3.4.5",
            "1",
            "0",
            "0x",
            "0x0",
            "a.1",
            "a.0x7F",
            &long_label,
            &long_name,
        ];
        for text in bad {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic_and_to_one_spelling(text in ".*|[0-9a-fx.:\\[\\]]{0,20}") {
            if let Some(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Some(host));
            }
        }
    }
}
