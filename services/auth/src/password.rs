//! Passwords: what is accepted, and how they are stored.
//!
//! Stored as argon2id in a PHC string. Hashes of imported users (bcrypt, other argon2 parameters) verify and are
//! replaced at the next sign-in. One hash takes some 10 ms of a core: [`crate::hasher`] says how many at once.

use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base::{Error, Result, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;

use crate::error::{VALIDATION_FAILED, WEAK_PASSWORD, reasons};

/// Longest password, in bytes: what bcrypt would look at, and what the API promises.
pub(crate) const MAX_BYTES: usize = 72;
const OUTPUT_BYTES: usize = 32;
/// Longest output of an imported argon2 hash, in bytes.
const MAX_OUTPUT_BYTES: usize = 64;
/// Most memory that an imported argon2 hash may ask for, in KiB.
const MAX_IMPORTED_MEMORY_KIB: u32 = 256 * 1024;
/// Most passes that an imported argon2 hash may ask for.
const MAX_IMPORTED_PASSES: u32 = 20;
/// Highest cost of an imported bcrypt hash: 2^14 rounds, about one second.
const MAX_IMPORTED_BCRYPT_COST: u32 = 14;

/// Of the settings that OWASP calls equally strong the one with the least memory: 7 MiB, 5 passes, 1 lane.
///
/// Measured as fast as 19 MiB with 2 passes, and a process that hashes on all cores stays small.
/// Source: OWASP Password Storage Cheat Sheet.
static ARGON2: LazyLock<Argon2<'static>> = LazyLock::new(|| {
    let params = Params::new(7 * 1024, 5, 1, None).expect("the parameters are in argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
});

/// A password that the project's rules accept.
#[derive(Clone)]
pub(crate) struct Password(Secret);

impl Password {
    /// Checks a new password. Errors: `weak_password` (422) if too short, `validation_failed` (400) if too long.
    pub(crate) fn accept(text: &str, minimum: usize) -> Result<Password> {
        if text.len() > MAX_BYTES {
            return Err(
                VALIDATION_FAILED.error(format!("Password cannot be longer than {MAX_BYTES} characters"))
            );
        }
        if text.len() < minimum {
            let message = format!("Password should be at least {minimum} characters.");
            return Err(WEAK_PASSWORD.error(message).with_details(reasons(&["length"])));
        }
        Ok(Password(Secret::new(text)))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// The answer to a guess.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Right, but stored in an older form: store a fresh [`hash`] of it.
    RightAndOutdated,
}

/// The memory that one hash of ours works in; its pages are expensive to get, so it is used again.
pub(crate) type Memory = Vec<Block>;

pub(crate) fn memory() -> Memory {
    vec![Block::default(); ARGON2.params().block_count()]
}

/// The PHC string to store.
pub(crate) fn hash(password: &str, salt: &[u8; 16], memory: &mut Memory) -> Result<String> {
    let mut output = [0; OUTPUT_BYTES];
    compute(&ARGON2, password, salt, &mut output, memory)
        .map_err(|error| Error::internal(error.to_string()))?;
    let (memory, passes, lanes) = cost(ARGON2.params());
    let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
    Ok(format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${output}"))
}

/// Compares `guess` with what is stored. What is no supported hash matches nothing.
pub(crate) fn verify(guess: &str, stored: &str, memory: &mut Memory) -> Verdict {
    if is_bcrypt(stored) {
        let right = bcrypt::verify(guess, stored).unwrap_or(false);
        return if right { Verdict::RightAndOutdated } else { Verdict::Wrong };
    }
    let Some((argon2, hash)) = argon2_of(stored) else { return Verdict::Wrong };
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return Verdict::Wrong };
    let mut output = vec![0; expected.len()];
    let computed = compute(&argon2, guess, salt, &mut output, memory);
    if computed.is_err() || !bool::from(output.ct_eq(expected.as_bytes())) {
        return Verdict::Wrong;
    }
    let current = hash.algorithm == Algorithm::Argon2id.ident()
        && output.len() == OUTPUT_BYTES
        && cost(argon2.params()) == cost(ARGON2.params());
    if current { Verdict::Right } else { Verdict::RightAndOutdated }
}

/// Whether `stored` is a hash that can be verified, for users who are imported with one.
pub(crate) fn is_supported_hash(stored: &str) -> bool {
    is_bcrypt(stored) || argon2_of(stored).is_some_and(|(_, hash)| hash.salt.is_some())
}

/// Imported hashes may need more memory than ours, for this once.
fn compute(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Memory,
) -> argon2::Result<()> {
    let blocks = argon2.params().block_count();
    if blocks <= memory.len() {
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, &mut memory[..blocks])
    } else {
        argon2.hash_password_into(password.as_bytes(), salt, output)
    }
}

fn is_bcrypt(stored: &str) -> bool {
    let cost = stored.get(4..6).and_then(|cost| cost.parse::<u32>().ok());
    ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| stored.starts_with(prefix))
        && cost.is_some_and(|cost| cost <= MAX_IMPORTED_BCRYPT_COST)
}

/// An argon2 hash and what computes it, if that is affordable.
fn argon2_of(stored: &str) -> Option<(Argon2<'static>, PasswordHash)> {
    let hash = PasswordHash::new(stored).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let affordable = params.m_cost() <= MAX_IMPORTED_MEMORY_KIB
        && params.t_cost() <= MAX_IMPORTED_PASSES
        && params.p_cost() <= 16
        && hash.hash.as_ref().is_some_and(|output| output.len() <= MAX_OUTPUT_BYTES);
    affordable.then(|| (Argon2::new(algorithm, version, params), hash))
}

/// Memory in KiB, passes, lanes.
fn cost(params: &Params) -> (u32, u32, u32) {
    (params.m_cost(), params.t_cost(), params.p_cost())
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordHasher;

    use super::*;

    fn code(text: &str) -> Option<String> {
        Password::accept(text, 6).err().map(|error| error.code.name().to_owned())
    }

    #[test]
    fn a_password_has_6_to_72_bytes() {
        assert_eq!(code("12345").as_deref(), Some("weak_password"));
        assert_eq!(code("123456"), None);
        assert_eq!(code("äöü"), None, "six bytes");
        assert_eq!(code(&"a".repeat(72)), None);
        assert_eq!(code(&"a".repeat(73)).as_deref(), Some("validation_failed"));
    }

    #[test]
    fn a_hash_verifies_its_password_alone() {
        let mut memory = memory();
        let stored = hash("correct horse", &[7; 16], &mut memory).unwrap();

        assert!(stored.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{stored}");
        assert_eq!(verify("correct horse", &stored, &mut memory), Verdict::Right);
        assert_eq!(verify("wrong horse", &stored, &mut memory), Verdict::Wrong);
    }

    #[test]
    fn the_string_is_what_others_write_and_verify() {
        let ours = hash("correct horse", &[7; 16], &mut memory()).unwrap();
        let theirs = ARGON2.hash_password_with_salt(b"correct horse", &[7; 16]).unwrap().to_string();

        assert_eq!(ours, theirs);
    }

    #[test]
    fn imported_hashes_verify_and_are_outdated() {
        let mut memory = memory();
        let with = |algorithm, params: Params| {
            let argon2 = Argon2::new(algorithm, Version::V0x13, params);
            argon2.hash_password_with_salt(b"correct horse", &[7; 16]).unwrap().to_string()
        };
        for stored in [
            bcrypt::hash("correct horse", 4).unwrap(),
            with(Algorithm::Argon2id, Params::new(64, 1, 1, None).unwrap()),
            with(Algorithm::Argon2i, Params::new(7 * 1024, 5, 1, None).unwrap()),
            with(Algorithm::Argon2id, Params::new(19 * 1024, 2, 1, None).unwrap()),
            with(Algorithm::Argon2id, Params::new(64, 3, 2, Some(16)).unwrap()),
        ] {
            assert!(is_supported_hash(&stored), "{stored}");
            assert_eq!(verify("correct horse", &stored, &mut memory), Verdict::RightAndOutdated, "{stored}");
            assert_eq!(verify("wrong horse", &stored, &mut memory), Verdict::Wrong, "{stored}");
        }
    }

    #[test]
    fn hashes_that_would_cost_too_much_or_are_none_are_not_tried() {
        let salt_and_hash = "c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNoc29tZWhhc2g";
        for stored in [
            "".to_owned(),
            "plain".to_owned(),
            "$2b$31$abcdefghijklmnopqrstuuu".to_owned(),
            "$2b$".to_owned(),
            "$2b$ä".to_owned(),
            format!("$argon2id$v=19$m=4194304,t=2,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=64,t=100000,p=1${salt_and_hash}"),
            format!("$scrypt$ln=17,r=8,p=1${salt_and_hash}"),
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ".to_owned(),
            "$argon2id$v=19$m=64,t=1,p=1".to_owned(),
        ] {
            assert!(!is_supported_hash(&stored), "{stored}");
            assert_eq!(verify("correct horse", &stored, &mut memory()), Verdict::Wrong, "{stored}");
        }
    }
}
