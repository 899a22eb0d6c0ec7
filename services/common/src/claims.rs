//! From a token to a caller, and from a caller to the settings of a transaction.
//!
//! The signature is checked by the `jsonwebtoken` crate with the algorithm pinned by the key, never by the token.
//! The claims are checked here, because their types matter: a textual `exp` once passed as "no expiry"
//! (CVE-2026-25537, CVE-2026-54238).

use std::borrow::Cow;
use std::sync::Arc;

use base::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, Method};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::project::Document;

/// A token longer than this is not looked at. In bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The claims of a verified token.
pub type Claims = Map<String, Value>;

/// Who asks: a database role and the claims that row-level security reads.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The database role: `anon`, `authenticated`, `service_role` or one of the project's own.
    pub role: String,
    /// The claims of the verified token; empty for a caller without one.
    pub claims: Arc<Claims>,
    /// The token itself, for the settings that carry it and for calls on the caller's behalf.
    pub token: Option<Secret>,
}

impl Caller {
    /// A caller without a token.
    pub fn anonymous() -> Caller {
        Caller { role: "anon".to_owned(), claims: Arc::default(), token: None }
    }

    /// The caller a verified token names; a token without a role is `anon`.
    pub fn of(token: &str, claims: Claims) -> Caller {
        let role = claims.get("role").and_then(Value::as_str).unwrap_or("anon").to_owned();
        Caller { role, claims: Arc::new(claims), token: Some(Secret::new(token)) }
    }

    /// The user's id, if the token is a user's.
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(Value::as_str)
    }

    /// Whether the caller passes row-level security by.
    pub fn is_service(&self) -> bool {
        matches!(self.role.as_str(), "service_role" | "supabase_admin")
    }
}

/// Why a token proves nothing. Each API words it its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not three parts; how many there are.
    Parts(usize),
    /// The header or payload is not what a JWT holds.
    Malformed,
    /// No key of the project fits the token's key id and algorithm.
    NoSuitableKey,
    /// The algorithm is unknown or `none`.
    Algorithm,
    /// The signature is not by that key.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` is yet to come.
    NotYetValid,
    /// `iat` is yet to come.
    IssuedInFuture,
    /// The named claim has the wrong type.
    Claim(&'static str),
    /// The token is for another project.
    Foreign,
}

/// The token of an `Authorization: Bearer …` header; the scheme in any case, as RFC 9110 has it.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Verifies `token` for `project` at `now` (seconds since 1970), allowing `leeway` seconds of clock difference.
///
/// Checked: the signature by one of the project's keys, `exp`, `nbf` and `iat` as numbers, `ref` if there.
/// Not checked: audience and role, which are the service's to judge.
pub fn verify(token: &str, project: &Document, now: i64, leeway: i64) -> Result<Claims, TokenError> {
    let claims = prove(token, project)?;
    check_times(&claims, now, leeway)?;
    Ok(claims)
}

/// What of [`verify`] holds as long as the project's keys do: everything but the time.
pub fn prove(token: &str, project: &Document) -> Result<Claims, TokenError> {
    let parts = token.split('.').count();
    if parts != 3 {
        return Err(TokenError::Parts(parts));
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(header_error)?;
    let (key, algorithm, by_gateway) = key_for(header.kid.as_deref(), header.alg, project)?;
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, algorithm) {
        Ok(true) => {}
        Ok(false) => return Err(TokenError::Signature),
        Err(_) => return Err(TokenError::Malformed),
    }
    let claims = payload(message)?;
    check_project(&claims, project, by_gateway)?;
    Ok(claims)
}

/// The key a token must be signed with, its algorithm, and whether it is the gateway's.
fn key_for(
    id: Option<&str>,
    algorithm: Algorithm,
    project: &Document,
) -> Result<(DecodingKey, Algorithm, bool), TokenError> {
    let keys = &project.keys;
    let named = |jwk: &&Jwk| jwk.common.key_id.as_deref() == id;
    if id.is_some()
        && let Some(jwk) = keys.public.iter().chain(&keys.gateway).find(named)
    {
        let expected = algorithm_of(jwk).ok_or(TokenError::NoSuitableKey)?;
        if expected != algorithm {
            return Err(TokenError::NoSuitableKey);
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|_| TokenError::NoSuitableKey)?;
        let by_gateway = keys.gateway.as_ref().is_some_and(|gateway| named(&gateway));
        return Ok((key, expected, by_gateway));
    }
    // a key without an id is meant by no id: a project's own keys all have one
    let nameless = |jwk: &&Jwk| jwk.common.key_id.is_none() && algorithm_of(jwk) == Some(algorithm);
    if let Some(jwk) = keys.public.iter().find(nameless) {
        let key = DecodingKey::from_jwk(jwk).map_err(|_| TokenError::NoSuitableKey)?;
        return Ok((key, algorithm, false));
    }
    match &keys.shared {
        Some(secret) if algorithm == Algorithm::HS256 => {
            Ok((DecodingKey::from_secret(secret.expose().as_bytes()), Algorithm::HS256, false))
        }
        _ => Err(TokenError::NoSuitableKey),
    }
}

/// The algorithm a public key is for; a symmetric key among them counts for none.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    match (&jwk.algorithm, jwk.common.key_algorithm) {
        (AlgorithmParameters::OctetKey(_), _) => None,
        (_, Some(KeyAlgorithm::ES256)) => Some(Algorithm::ES256),
        (_, Some(KeyAlgorithm::RS256)) => Some(Algorithm::RS256),
        (_, Some(KeyAlgorithm::EdDSA)) => Some(Algorithm::EdDSA),
        _ => None,
    }
}

fn header_error(error: jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidAlgorithmName => TokenError::Algorithm,
        // the algorithm is an enum of the header: an unknown one fails as JSON
        jsonwebtoken::errors::ErrorKind::Json(json) if json.to_string().contains("unknown variant") => {
            TokenError::Algorithm
        }
        _ => TokenError::Malformed,
    }
}

/// The claims of a token whose signature is known to be good.
fn payload(message: &str) -> Result<Claims, TokenError> {
    let (_, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
    let json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

/// Whether a proven token's claims hold at `now`, as [`verify`] has it.
pub fn check_times(claims: &Claims, now: i64, leeway: i64) -> Result<(), TokenError> {
    if number(claims, "exp")?.is_some_and(|exp| exp + leeway as f64 <= now as f64) {
        return Err(TokenError::Expired);
    }
    if number(claims, "nbf")?.is_some_and(|nbf| nbf - leeway as f64 > now as f64) {
        return Err(TokenError::NotYetValid);
    }
    if number(claims, "iat")?.is_some_and(|iat| iat - leeway as f64 > now as f64) {
        return Err(TokenError::IssuedInFuture);
    }
    Ok(())
}

/// A numeric claim: absent is fine, any other type is not.
fn number(claims: &Claims, name: &'static str) -> Result<Option<f64>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(TokenError::Claim(name)),
    }
}

/// A token that names a project names this one; one by the gateway must, and may only carry its two roles.
fn check_project(claims: &Claims, project: &Document, by_gateway: bool) -> Result<(), TokenError> {
    let named = claims.get("ref");
    let ours = named.and_then(Value::as_str) == Some(project.reference.as_str());
    if (named.is_some() || by_gateway) && !ours {
        return Err(TokenError::Foreign);
    }
    let role = claims.get("role").and_then(Value::as_str);
    if by_gateway && !matches!(role, Some("anon" | "service_role")) {
        return Err(TokenError::Claim("role"));
    }
    Ok(())
}

/// The settings that a caller's transaction runs under, in the order they are set.
///
/// Names and meaning are PostgREST's (transaction-scoped settings): policies and functions of existing projects
/// read them. `role` comes first here; whoever adds role settings of its own puts them before.
pub fn session_settings(
    caller: &Caller,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Vec<(&'static str, String)> {
    let claims = WithRole { claims: &caller.claims, role: &caller.role };
    vec![
        ("role", caller.role.clone()),
        ("request.jwt.claims", json(&claims)),
        ("request.method", method.as_str().to_owned()),
        ("request.path", path.to_owned()),
        ("request.headers", json(&Joined(headers))),
        ("request.cookies", cookies_json(headers).to_string()),
    ]
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and JSON values serialise")
}

/// Claims with the role that counts.
struct WithRole<'a> {
    claims: &'a Claims,
    role: &'a str,
}

impl Serialize for WithRole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.claims.iter().filter(|(name, _)| *name != "role") {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("role", self.role)?;
        map.end()
    }
}

/// All headers but `Cookie` and our own; repeated ones joined as RFC 9110 §5.3 has it.
struct Joined<'a>(&'a HeaderMap);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let shown = |name: &&HeaderName| *name != COOKIE && !name.as_str().starts_with(base::header::PREFIX);
        for name in self.0.keys().filter(shown) {
            let mut values = self.0.get_all(name).iter().map(|value| lossy(value.as_bytes()));
            let mut joined = values.next().unwrap_or_default();
            for value in values {
                joined += ", ";
                joined += value;
            }
            map.serialize_entry(name.as_str(), &joined)?;
        }
        map.end()
    }
}

/// The text in `bytes`. For text that is UTF-8, as nearly all is, quicker than [`String::from_utf8_lossy`].
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

fn cookies_json(headers: &HeaderMap) -> Value {
    let mut object = Map::new();
    for value in headers.get_all(http::header::COOKIE) {
        for pair in String::from_utf8_lossy(value.as_bytes()).split(';') {
            if let Some((name, value)) = pair.trim().split_once('=') {
                object.insert(name.to_owned(), Value::String(value.to_owned()));
            }
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests;
