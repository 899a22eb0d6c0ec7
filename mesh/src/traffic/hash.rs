//! The value that decides where a request goes when the same is to go to the same: for the ring, and for a split.

use http::HeaderMap;
use http::header::COOKIE;

use crate::resource::HashKey;

/// What [`HashKey`] looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashed<'a> {
    /// The request's headers.
    pub(crate) headers: &'a HeaderMap,
    /// The request's path.
    pub(crate) path: &'a str,
    /// The calling service.
    pub(crate) source: &'a str,
}

impl Hashed<'_> {
    /// The hash of what `key` names. `None` if the request does not have it, or it is empty: that is nobody.
    pub(crate) fn value(&self, key: &HashKey) -> Option<u64> {
        let bytes = match key {
            HashKey::Header(name) => self.headers.get(name.as_str())?.as_bytes(),
            HashKey::Cookie(name) => cookie(self.headers, name)?,
            HashKey::Project => self.headers.get(base::header::PROJECT)?.as_bytes(),
            HashKey::Identity => self.source.as_bytes(),
            HashKey::Path => self.path.as_bytes(),
        };
        (!bytes.is_empty()).then(|| hash(bytes))
    }
}

/// The same for the same bytes in every process, on every machine, in every version: caches and canaries stay where
/// they are when a proxy restarts. Not for keys of tables that strangers fill: anybody can make values collide.
///
/// FNV-1a in 64 bits, then the finalizer of MurmurHash3, because FNV-1a alone leaves the high bits of short values
/// alike. Sources: draft-eastlake-fnv; A. Appleby, MurmurHash3 (`fmix64`).
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    mix(fnv)
}

/// Spreads every bit of `value` over all bits. A bijection.
pub(crate) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    value = (value ^ (value >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    value ^ (value >> 33)
}

/// The value of a cookie (RFC 6265 §5.4); the first if there are several.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn value(headers: &HeaderMap, key: &HashKey) -> Option<u64> {
        Hashed { headers, path: "/path", source: "gateway" }.value(key)
    }

    #[test]
    fn values_never_change_between_versions() {
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(hash(b"a"), 0x82a2_a958_a9be_ce5b);
        assert_eq!(hash(b"foobar"), 0x2c22_1949_22d1_672b);
    }

    #[test]
    fn one_cookie_among_others_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("xuser=2; user2=3;user=ann ; b=4"));
        headers.append(COOKIE, HeaderValue::from_static("other=5"));

        assert_eq!(value(&headers, &HashKey::Cookie("user".to_owned())), Some(hash(b"ann")));
        assert_eq!(value(&headers, &HashKey::Cookie("other".to_owned())), Some(hash(b"5")));
        assert_eq!(value(&headers, &HashKey::Cookie("none".to_owned())), None);
    }

    #[test]
    fn what_a_request_does_not_have_has_no_value() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static(""));

        assert_eq!(value(&headers, &HashKey::Header("x-user".to_owned())), None);
        assert_eq!(value(&headers, &HashKey::Header("x-none".to_owned())), None);
        assert_eq!(value(&headers, &HashKey::Project), None);
        assert_eq!(value(&headers, &HashKey::Identity), Some(hash(b"gateway")));
        assert_eq!(value(&headers, &HashKey::Path), Some(hash(b"/path")));
    }
}
