//! The code a person types and the hash that is stored and linked to.
//!
//! A code has few digits, so its hash must not follow from it: with the address alone, all million hashes could be
//! computed and tried as links, past the limit on guesses at one address. The row's random id goes into the hash,
//! which makes a link as hard to guess as the id while the code stays short.

use aws_lc_rs::digest::{Context, SHA224};
use base::Random;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// A fresh code with the row it belongs to.
pub(crate) struct OneTimeCode {
    /// The row's id.
    pub(crate) id: Uuid,
    /// What the person types.
    pub(crate) code: String,
    /// What is stored and what links carry: 56 hexadecimal digits.
    pub(crate) hash: String,
}

impl OneTimeCode {
    /// A code of `digits` digits for `address`.
    pub(crate) fn generate(random: &Random, address: &str, digits: usize) -> OneTimeCode {
        let (id, code) = (random.uuid(), random.digits(digits));
        let hash = hash(id, address, &code);
        OneTimeCode { id, code, hash }
    }
}

/// Whether `code` is the one that row `id` for `address` was made with. In constant time.
pub(crate) fn matches(id: Uuid, address: &str, code: &str, stored: &str) -> bool {
    hash(id, address, code).as_bytes().ct_eq(stored.as_bytes()).into()
}

fn hash(id: Uuid, address: &str, code: &str) -> String {
    let mut context = Context::new(&SHA224);
    context.update(id.as_bytes());
    context.update(address.as_bytes());
    context.update(b"\0");
    context.update(code.as_bytes());
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_matches_its_own_row_and_address_alone() {
        let random = Random::system();
        let made = OneTimeCode::generate(&random, "a@example.com", 6);

        assert_eq!(made.code.len(), 6);
        assert_eq!(made.hash.len(), 56);
        assert!(matches(made.id, "a@example.com", &made.code, &made.hash));
        assert!(!matches(made.id, "b@example.com", &made.code, &made.hash));
        assert!(!matches(random.uuid(), "a@example.com", &made.code, &made.hash));
        assert!(!matches(made.id, "a@example.com", "", &made.hash));
        assert!(!matches(made.id, "a@example.com", &made.code, ""));
    }

    #[test]
    fn the_hash_does_not_follow_from_address_and_code() {
        let random = Random::counting();
        let first = OneTimeCode::generate(&random, "a@example.com", 6);

        assert_ne!(first.hash, hash(random.uuid(), "a@example.com", &first.code));
    }
}
