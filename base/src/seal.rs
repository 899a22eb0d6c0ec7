//! Secrets at rest: AES-256-GCM under a master key that lives outside the database.
//!
//! A sealed value is `v1.<key id>.<base64url of nonce ‖ ciphertext ‖ tag>`; the context (what the value is and
//! whose) is authenticated with it, so that one project's sealed key cannot be put in another's row.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::OrInternal;
use crate::{Error, Random, Result, Secret};

const NONCE_BYTES: usize = 12;
const KEY_BYTES: usize = 32;

/// The key that seals all others: 32 random bytes in a file of mode 0600 or in the environment.
pub struct MasterKey {
    id: String,
    key: RandomizedNonceKey,
}

impl MasterKey {
    /// A fresh key, as text to keep.
    pub fn generate(random: &Random) -> Secret {
        Secret::new(random.token(KEY_BYTES))
    }

    /// Reads a key made by [`MasterKey::generate`].
    pub fn parse(text: &Secret) -> Result<MasterKey> {
        let bytes = URL_SAFE_NO_PAD.decode(text.expose().trim()).or_internal()?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes)
            .map_err(|_| Error::internal(format!("the master key is not {KEY_BYTES} bytes of base64url")))?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        Ok(MasterKey { id: URL_SAFE_NO_PAD.encode(&digest.as_ref()[..6]), key })
    }

    /// Seals `secret` for `context`.
    pub fn seal(&self, context: &str, secret: &Secret) -> Result<String> {
        let mut bytes = secret.expose().as_bytes().to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(context), &mut bytes)
            .map_err(|_| Error::internal("sealing failed"))?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        Ok(format!("v1.{}.{}", self.id, URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens a value sealed for the same `context`.
    ///
    /// Errors are internal: another master key, another context, or a value that was tampered with.
    pub fn open(&self, context: &str, sealed: &str) -> Result<Secret> {
        let mut parts = sealed.splitn(3, '.');
        let (Some("v1"), Some(id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::internal(format!("{context} is not a sealed value")));
        };
        if id != self.id {
            return Err(Error::internal(format!("{context} was sealed under another master key ({id})")));
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(body).or_internal()?;
        let wrong =
            || Error::internal(format!("{context} does not open: it was changed or belongs elsewhere"));
        if bytes.len() < NONCE_BYTES {
            return Err(wrong());
        }
        let mut ciphertext = bytes.split_off(NONCE_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| wrong())?;
        let plain =
            self.key.open_in_place(nonce, Aad::from(context), &mut ciphertext).map_err(|_| wrong())?;
        Ok(Secret::new(String::from_utf8(plain.to_vec()).map_err(|_| wrong())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MasterKey {
        MasterKey::parse(&MasterKey::generate(&Random::system())).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_context_alone() {
        let key = key();
        let sealed = key.seal("project a", &Secret::new("hunter2")).unwrap();

        assert_eq!(key.open("project a", &sealed).unwrap().expose(), "hunter2");
        assert!(key.open("project b", &sealed).is_err());
        assert!(!sealed.contains("hunter2"));
    }

    #[test]
    fn another_key_or_a_changed_byte_opens_nothing() {
        let key = key();
        let sealed = key.seal("a", &Secret::new("hunter2")).unwrap();
        let mut changed = sealed.clone().into_bytes();
        let last = changed.len() - 3;
        changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };

        assert!(self::key().open("a", &sealed).is_err());
        assert!(key.open("a", &String::from_utf8(changed).unwrap()).is_err());
        assert!(key.open("a", "hunter2").is_err());
        assert!(key.open("a", "v1.x.").is_err());
    }
}
