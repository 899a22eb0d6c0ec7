//! Keys of a project: the pair that signs user tokens, the shared secret, the API keys.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base::error::OrInternal;
use base::secret::sha256_hex;
use base::{Error, Random, Result, Secret, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::project::ProjectRef;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

/// A fresh ES256 pair: the public half as a JWK with a key id, the private as PKCS#8 PEM.
pub struct Pair {
    /// The key id: the start of the JWK's SHA-256 thumbprint (RFC 7638).
    pub id: String,
    /// What verifiers get.
    pub public: Jwk,
    /// What the signer gets.
    pub pem: Secret,
}

impl Pair {
    /// Makes a pair.
    pub fn generate() -> Result<Pair> {
        let failed = |_| Error::internal("no key pair could be made");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let der = pair.to_pkcs8v1().map_err(failed)?;
        // an uncompressed point: 0x04 ‖ x ‖ y
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        let thumbprint =
            digest(&SHA256, format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes());
        let id = URL_SAFE_NO_PAD.encode(&thumbprint.as_ref()[..12]);
        let public = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": id, "x": x, "y": y,
            "key_ops": ["verify"]});
        Ok(Pair { public: serde_json::from_value(public).or_internal()?, pem: pem(der.as_ref()), id })
    }
}

fn pem(der: &[u8]) -> Secret {
    let body = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|b| char::from(*b)));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Secret::new(pem)
}

/// A fresh `sb_publishable_…` or `sb_secret_…` key: 22 random characters and a checksum of 8.
pub fn api_key(kind: &str, random: &Random) -> Secret {
    let body = format!("sb_{kind}_{}", &random.token(18)[..22]);
    let check = sha256_hex(&body);
    Secret::new(format!("{body}_{}", &check[..8]))
}

/// The legacy API key for `role`: a token under the shared secret that lives for ten years.
///
/// It depends on nothing but its arguments, so that it can be shown again without being stored.
pub fn legacy_key(
    reference: &ProjectRef,
    role: &str,
    shared: &Secret,
    created_at: Timestamp,
) -> Result<String> {
    let iat = created_at.unix_timestamp();
    let claims =
        json!({"iss": "meshbase", "ref": reference, "role": role, "iat": iat, "exp": iat + 10 * 365 * 86400});
    let key = EncodingKey::from_secret(shared.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).or_internal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_signs_what_its_public_half_verifies() {
        let pair = Pair::generate().unwrap();
        let key = EncodingKey::from_ec_pem(pair.pem.expose().as_bytes()).unwrap();
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(pair.id.clone());
        let token = jsonwebtoken::encode(&header, &json!({"role": "authenticated"}), &key).unwrap();
        let document = common::Document {
            id: uuid::Uuid::nil(),
            reference: ProjectRef::default_project(),
            version: 1,
            database: None,
            keys: common::project::Keys { public: vec![pair.public], ..Default::default() },
            settings: serde_json::Value::Null,
        };

        let claims = common::claims::verify(&token, &document, 0, 0).unwrap();

        assert_eq!(claims["role"], "authenticated");
    }

    #[test]
    fn api_keys_have_their_shape() {
        let key = api_key("publishable", &Random::system());

        assert_eq!(key.expose().len(), "sb_publishable_".len() + 22 + 1 + 8);
    }

    #[test]
    fn a_legacy_key_is_the_same_each_time() {
        let key = || {
            legacy_key(&ProjectRef::default_project(), "anon", &Secret::new("s"), Timestamp::UNIX_EPOCH)
                .unwrap()
        };

        assert_eq!(key(), key());
    }
}
