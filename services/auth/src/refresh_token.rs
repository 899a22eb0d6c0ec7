//! Refresh tokens that need no row of their own: a session's id and a counter, authenticated under its key.
//!
//! base64url without padding of `0x00 ‖ session (16) ‖ counter (uvarint) ‖ HMAC-SHA256 cut to 16 ‖ SHA-256 cut to 4`.
//! The HMAC is over everything before it; the checksum is over everything before that, so that a mistyped token
//! is known without asking the database. Source: version 2 of GoTrue's refresh tokens.

use aws_lc_rs::{digest, hmac};
use base::Random;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use uuid::Uuid;

const VERSION: u8 = 0;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;
/// Longest counter of 63 bits, 7 at a time.
const MAX_COUNTER_BYTES: usize = 9;
const MAX_TOKEN_CHARS: usize = (1 + 16 + MAX_COUNTER_BYTES + TAG_BYTES + CHECKSUM_BYTES).div_ceil(3) * 4;

/// A session's key, as text to store.
pub(crate) fn generate_key(random: &Random) -> String {
    random.token(KEY_BYTES)
}

/// The token of `session` at `counter`; `None` if `key` is not one.
pub(crate) fn issue(session: Uuid, counter: i64, key: &str) -> Option<String> {
    let mut bytes = head(session, counter);
    let tag = hmac::sign(&parse_key(key)?, &bytes);
    bytes.extend_from_slice(&tag.as_ref()[..TAG_BYTES]);
    let checksum = digest::digest(&digest::SHA256, &bytes);
    bytes.extend_from_slice(&checksum.as_ref()[..CHECKSUM_BYTES]);
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// A token that is whole, not yet known to be genuine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Presented {
    /// The session it claims to be of.
    pub(crate) session: Uuid,
    /// The refresh it claims to come from.
    pub(crate) counter: i64,
    tag: [u8; TAG_BYTES],
}

impl Presented {
    /// Reads a token; `None` if it is not whole. There is one spelling of each token.
    pub(crate) fn parse(text: &str) -> Option<Presented> {
        if text.len() > MAX_TOKEN_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        if digest::digest(&digest::SHA256, signed).as_ref()[..CHECKSUM_BYTES] != *checksum {
            return None;
        }
        let (head_bytes, tag) = signed.split_last_chunk::<TAG_BYTES>()?;
        let (session, counter) = head_bytes.strip_prefix(&[VERSION])?.split_first_chunk::<16>()?;
        let token =
            Presented { session: Uuid::from_bytes(*session), counter: read_uvarint(counter)?, tag: *tag };
        (head(token.session, token.counter) == head_bytes).then_some(token)
    }

    /// Whether the session's key made it. In constant time.
    pub(crate) fn is_genuine(&self, key: &str) -> bool {
        parse_key(key).is_some_and(|key| {
            let tag = hmac::sign(&key, &head(self.session, self.counter));
            tag.as_ref()[..TAG_BYTES].ct_eq(&self.tag).into()
        })
    }
}

fn parse_key(text: &str) -> Option<hmac::Key> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    (bytes.len() >= 16).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn head(session: Uuid, counter: i64) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(session.as_bytes());
    let mut rest = counter.unsigned_abs();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

fn read_uvarint(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > MAX_COUNTER_BYTES {
        return None;
    }
    let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
    i64::try_from(value).ok()
}

/// What a genuine token is worth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The session's newest: it moves the session on.
    Current,
    /// An older one that may be a client's that did not get or save the answer: it gets the newest again.
    Forgiven,
    /// An older one that somebody else has used since: the session is not safe any more.
    Reused,
    /// Newer than the session, as after a database was restored: worth nothing.
    Ahead,
}

/// Where `counter` stands when the session is at `current`. `recent`: the last refresh was within the interval in
/// which any older token is forgiven; the previous one always is.
pub(crate) fn standing(counter: i64, current: i64, recent: bool) -> Standing {
    match current.saturating_sub(counter) {
        0 => Standing::Current,
        1 => Standing::Forgiven,
        2.. if recent => Standing::Forgiven,
        2.. => Standing::Reused,
        _ => Standing::Ahead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Uuid = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);

    fn key() -> String {
        generate_key(&Random::system())
    }

    #[test]
    fn a_token_carries_its_session_and_counter() {
        let key = key();
        for counter in [0, 1, 127, 128, 16_383, 16_384, i64::MAX] {
            let text = issue(SESSION, counter, &key).unwrap();
            let token = Presented::parse(&text).unwrap();

            assert_eq!((token.session, token.counter), (SESSION, counter));
            assert!(token.is_genuine(&key));
            assert!(text.len() <= MAX_TOKEN_CHARS);
        }
    }

    #[test]
    fn another_sessions_key_proves_nothing() {
        let token = Presented::parse(&issue(SESSION, 5, &key()).unwrap()).unwrap();

        assert!(!token.is_genuine(&key()));
        assert!(!token.is_genuine(""));
        assert!(!token.is_genuine("short"));
        assert!(!token.is_genuine("not base64url!"));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let key = key();
        let whole = URL_SAFE_NO_PAD.decode(issue(SESSION, 300, &key).unwrap()).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(Presented::parse(&URL_SAFE_NO_PAD.encode(&changed)), None, "byte {at}");

            // with the checksum put right, the authentication still fails
            let end = changed.len() - CHECKSUM_BYTES;
            let checksum = digest::digest(&digest::SHA256, &changed[..end]);
            changed[end..].copy_from_slice(&checksum.as_ref()[..CHECKSUM_BYTES]);
            let genuine =
                Presented::parse(&URL_SAFE_NO_PAD.encode(&changed)).is_some_and(|t| t.is_genuine(&key));
            assert_eq!(genuine, at >= end, "byte {at}");
        }
    }

    #[test]
    fn a_counter_has_one_spelling() {
        let key = key();
        // 0 as two bytes: 0x80 0x00
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(SESSION.as_bytes());
        bytes.extend_from_slice(&[0x80, 0x00]);
        let tag = hmac::sign(&parse_key(&key).unwrap(), &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG_BYTES]);
        let checksum = digest::digest(&digest::SHA256, &bytes);
        bytes.extend_from_slice(&checksum.as_ref()[..CHECKSUM_BYTES]);

        assert_eq!(Presented::parse(&URL_SAFE_NO_PAD.encode(bytes)), None);
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", "a", "AAAA", "abcdefghijkl", "ä", "AAAA====", &"A".repeat(63), &"A".repeat(100_000)]
        {
            assert_eq!(Presented::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_previous_token_is_forgiven_and_older_ones_only_shortly() {
        assert_eq!(standing(7, 7, false), Standing::Current);
        assert_eq!(standing(6, 7, false), Standing::Forgiven);
        assert_eq!(standing(5, 7, true), Standing::Forgiven);
        assert_eq!(standing(5, 7, false), Standing::Reused);
        assert_eq!(standing(8, 7, true), Standing::Ahead);
    }
}
