//! The tokens of signed URLs: HS256 under a key of the project's own, for one action on one object.
//!
//! Source of the claims: the original API's signed tokens. The key is not the one of user tokens, so neither kind
//! passes for the other; and it is derived per project, so that projects with one secret do not share URLs.

use aws_lc_rs::hmac;
use base::{Error, Result, Secret};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{INVALID_JWT, INVALID_SIGNATURE};
use crate::name::{BucketName, ObjectKey};

/// A token longer than this is not looked at, in bytes: a key of 1024 bytes as escaped JSON in base64, and some.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// What the key is for; part of its derivation.
const LABEL: &[u8] = b"storage url signing";

/// Signs and verifies the URLs of one project.
#[derive(Clone)]
pub(crate) struct UrlKey(Secret);

impl UrlKey {
    /// The key of `project`, from any secret of 32 bytes or more that others do not know.
    pub(crate) fn derive(secret: &[u8], project: Uuid) -> UrlKey {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
        context.update(LABEL);
        context.update(project.as_bytes());
        UrlKey(Secret::new(hex(context.sign().as_ref())))
    }

    pub(crate) fn sign(&self, claims: &SignedUrl) -> Result<String> {
        let key = EncodingKey::from_secret(self.0.expose().as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).map_err(Error::internal)
    }

    /// Verifies that `token` allows `scope` on this object at `now`, in seconds since 1970.
    ///
    /// Errors: `InvalidJWT` for a token that is forged or has expired, `InvalidSignature` for one of another use.
    pub(crate) fn verify(
        &self,
        token: &str,
        scope: Scope,
        bucket: &BucketName,
        key: &ObjectKey,
        now: i64,
    ) -> Result<SignedUrl> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(INVALID_JWT.error("Invalid Compact JWS"));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        // the claims' types are fixed by `SignedUrl`, and the time is ours to tell
        validation.validate_exp = false;
        validation.validate_aud = false;
        let secret = DecodingKey::from_secret(self.0.expose().as_bytes());
        let claims = jsonwebtoken::decode::<SignedUrl>(token, &secret, &validation)
            .map_err(|error| INVALID_JWT.error("signature verification failed").caused_by(error))?
            .claims;
        if claims.exp <= now {
            return Err(INVALID_JWT.error("\"exp\" claim timestamp check failed"));
        }
        if claims.scope != scope {
            return Err(INVALID_SIGNATURE.error(format!("Token is not scoped for {}", scope.as_str())));
        }
        if claims.url != format!("{bucket}/{key}") {
            return Err(INVALID_SIGNATURE.error("Invalid signature"));
        }
        Ok(claims)
    }
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    Download,
    Upload,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Scope::Download => "download",
            Scope::Upload => "upload",
        }
    }
}

/// The claims. Nothing a caller sends gets in but the object's name and the lifetime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedUrl {
    /// `bucket/key`.
    pub(crate) url: String,
    pub(crate) scope: Scope,
    /// Who will own the uploaded object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// Whether the upload may replace an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upsert: Option<bool>,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::name::KeyRule;

    const NOW: i64 = 1_800_000_000;
    const SECRET: &[u8] = b"super-secret-jwt-token-with-at-least-32-characters-long";
    const PROJECT: Uuid = Uuid::from_u128(1);

    fn key() -> UrlKey {
        UrlKey::derive(SECRET, PROJECT)
    }

    fn download() -> SignedUrl {
        let url = "avatars/a/cat.png".to_owned();
        SignedUrl { url, scope: Scope::Download, owner: None, upsert: None, iat: NOW, exp: NOW + 60 }
    }

    fn verify(token: &str, scope: Scope, bucket: &str, object: &str, now: i64) -> Result<SignedUrl> {
        let bucket = BucketName::parse(bucket).unwrap();
        let object = ObjectKey::parse(object, KeyRule::Strict).unwrap();
        key().verify(token, scope, &bucket, &object, now)
    }

    fn forge(header: &Value, claims: &Value, secret: &str) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    #[test]
    fn a_token_works_for_its_object_and_scope_until_it_expires() {
        let token = key().sign(&download()).unwrap();

        assert_eq!(verify(&token, Scope::Download, "avatars", "a/cat.png", NOW + 59).unwrap(), download());
        assert!(verify(&token, Scope::Download, "avatars", "a/cat.png", NOW + 60).is_err());
    }

    #[test]
    fn a_token_of_another_use_is_refused() {
        let token = key().sign(&download()).unwrap();
        for (scope, bucket, object) in [
            (Scope::Upload, "avatars", "a/cat.png"),
            (Scope::Download, "avatars", "a/dog.png"),
            (Scope::Download, "other", "a/cat.png"),
            // the boundary between bucket and key cannot be moved, as a bucket's name has no slash
            (Scope::Download, "avatars", "cat.png"),
        ] {
            let error = verify(&token, scope, bucket, object, NOW).unwrap_err();
            assert_eq!(error.code, INVALID_SIGNATURE, "{scope:?} {bucket} {object}");
        }
    }

    #[test]
    fn a_token_of_another_project_or_kind_is_refused() {
        let of_other_project = UrlKey::derive(SECRET, Uuid::from_u128(2)).sign(&download()).unwrap();
        let shared_secret = std::str::from_utf8(SECRET).unwrap();
        let claims = serde_json::to_value(download()).unwrap();
        let by_user_key = forge(&json!({"alg": "HS256"}), &claims, shared_secret);

        for token in [of_other_project, by_user_key] {
            assert_eq!(
                verify(&token, Scope::Download, "avatars", "a/cat.png", NOW).unwrap_err().code,
                INVALID_JWT
            );
        }
    }

    #[test]
    fn forgeries_are_refused() {
        let own = key().0;
        let claims = serde_json::to_value(download()).unwrap();
        let good = forge(&json!({"alg": "HS256"}), &claims, own.expose());
        assert!(
            verify(&good, Scope::Download, "avatars", "a/cat.png", NOW).is_ok(),
            "the forge itself works"
        );
        let (head, signature) = good.rsplit_once('.').unwrap();
        let mut tokens =
            vec![format!("{head}."), format!("{head}.{}", &signature[1..]), "a.b.c".into(), String::new()];
        for algorithm in ["none", "None", "HS384", "ES256", "RS256"] {
            tokens.push(forge(&json!({ "alg": algorithm }), &claims, own.expose()));
        }
        for (claim, value) in [
            ("exp", json!("9999999999")),
            ("exp", json!(null)),
            ("exp", json!(1e300)),
            ("scope", json!("everything")),
            ("scope", json!(null)),
            ("url", json!(["avatars/a/cat.png"])),
        ] {
            let mut changed = claims.clone();
            changed[claim] = value;
            tokens.push(forge(&json!({"alg": "HS256"}), &changed, own.expose()));
        }
        tokens.push(format!("{head}.{}", "A".repeat(MAX_TOKEN_BYTES)));

        for token in tokens {
            let error = verify(&token, Scope::Download, "avatars", "a/cat.png", NOW).unwrap_err();
            assert_eq!(error.code, INVALID_JWT, "{token}");
        }
    }
}
