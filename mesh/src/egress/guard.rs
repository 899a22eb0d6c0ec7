//! Addresses that nobody outside should make us connect to.
//!
//! Source: the IANA registries of special-purpose addresses (RFC 6890), and the clouds' metadata services.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address that must not be reached, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forbidden {
    address: IpAddr,
    kind: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.address, self.kind)
    }
}

impl std::error::Error for Forbidden {}

/// Whether `address` may be connected to.
///
/// Public ones may. Loopback, private, shared (CGNAT) and unique local ones may if `private_ok`. All others never:
/// link-local with the clouds' metadata services, multicast, unspecified, documentation, reserved. An IPv4 address
/// within an IPv6 one (mapped, compatible, 6to4, NAT64) is judged as itself.
pub(crate) fn guard(address: IpAddr, private_ok: bool) -> Result<(), Forbidden> {
    let class = match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    };
    match class {
        Class::Public => Ok(()),
        Class::Private(_) if private_ok => Ok(()),
        Class::Private(kind) | Class::Never(kind) => Err(Forbidden { address, kind }),
    }
}

/// What may be done with an address.
#[derive(Clone, Copy)]
enum Class {
    Public,
    Private(&'static str),
    Never(&'static str),
}

const METADATA: Class = Class::Never("a metadata service");
const LINK_LOCAL: Class = Class::Never("a link-local address");
const RESERVED: Class = Class::Never("a reserved address");
const DOCUMENTATION: Class = Class::Never("an address for documentation");
const MULTICAST: Class = Class::Never("a multicast address");
const UNSPECIFIED: Class = Class::Never("an unspecified address");
const LOOPBACK: Class = Class::Private("a loopback address");
const PRIVATE: Class = Class::Private("a private address");
const SHARED: Class = Class::Private("a shared address");
const UNIQUE_LOCAL: Class = Class::Private("a unique local address");

fn v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        // Alibaba, Oracle, Azure; everybody else's is link-local
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => METADATA,
        [0, ..] => UNSPECIFIED,
        [127, ..] => LOOPBACK,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => PRIVATE,
        [100, 64..=127, ..] => SHARED,
        [169, 254, ..] => LINK_LOCAL,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => DOCUMENTATION,
        // protocol assignments, 6to4 relays, benchmarks, class E and broadcast
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] | [240..=255, ..] => RESERVED,
        [224..=239, ..] => MULTICAST,
        _ => Class::Public,
    }
}

fn v6(address: Ipv6Addr) -> Class {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => UNSPECIFIED,
        [0, 0, 0, 0, 0, 0, 0, 1] => LOOPBACK,
        // mapped, compatible, NAT64 (RFC 4291 §2.5.5, RFC 6052 §2.1)
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            v4(embedded(high, low))
        }
        // 6to4 (RFC 3056)
        [0x2002, high, low, ..] => v4(embedded(high, low)),
        // AWS, Google
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => METADATA,
        [0xfc00..=0xfdff, ..] => UNIQUE_LOCAL,
        [0xfe80..=0xfebf, ..] => LINK_LOCAL,
        [0xff00..=0xffff, ..] => MULTICAST,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => DOCUMENTATION,
        // Teredo, benchmarks, ORCHID and other protocols' (2001::/23)
        [0x2001, 0..=0x1ff, ..] => RESERVED,
        // the only part from which public addresses are given (RFC 4291 §2.4)
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => RESERVED,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(address: &str, private_ok: bool) -> Result<(), Forbidden> {
        guard(address.parse().unwrap(), private_ok)
    }

    #[test]
    fn public_addresses_may_be_reached() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ];
        for address in public {
            assert_eq!(guarded(address, false), Ok(()), "{address}");
        }
    }

    #[test]
    fn private_addresses_need_leave() {
        let private = [
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fc00::1",
            "fdff:ffff::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:192.168.1.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
        ];
        for address in private {
            assert!(guarded(address, false).is_err(), "{address}");
            assert_eq!(guarded(address, true), Ok(()), "{address}");
        }
    }

    #[test]
    fn some_addresses_are_never_reached() {
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "169.254.170.2",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.0.1",
            "168.63.129.16",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "100::1",
            "64:ff9b:1::a00:1",
            "5f00::1",
            "4000::1",
            "1::1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::ffff:0:127.0.0.1",
        ];
        for address in never {
            assert!(guarded(address, false).is_err(), "{address}");
            assert!(guarded(address, true).is_err(), "{address}");
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        let forbidden = guarded("169.254.169.254", true).unwrap_err();

        assert_eq!(forbidden.to_string(), "169.254.169.254, a link-local address");
    }
}
