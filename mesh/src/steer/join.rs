//! How a workload that nobody knows gets its first certificate: a token in return for a request that it signed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base::{Clock, Secret};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};

use super::CONTROL;
use crate::identity::{Identity, Svid, Time, Unusable, identity_of_leaf};

/// What every token begins with, so that scanners of leaked secrets know one.
const PREFIX: &str = "mbjoin";

/// Lets one workload in. It can be used again and taken back; the control plane keeps its hash alone.
///
/// Written `mbjoin:<trust domain>:<SHA-256 of the root>:<secret>`: it proves the control plane to the workload, and the
/// workload to the control plane, before either has the other's certificate.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// The trust domain.
    pub trust_domain: String,
    /// SHA-256 of the root's DER, lower-case hex.
    pub root_sha256: String,
    /// What only the workload knows.
    pub secret: Secret,
}

/// A text that is no token. It says why, and nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAToken(&'static str);

impl fmt::Display for NotAToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is no join token: {}", self.0)
    }
}

impl std::error::Error for NotAToken {}

impl FromStr for JoinToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<JoinToken, NotAToken> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        let [PREFIX, trust_domain, root, secret] = parts[..] else {
            return Err(NotAToken("it is not mbjoin:DOMAIN:ROOT:SECRET"));
        };
        if Identity::parse(&format!("spiffe://{trust_domain}/any")).is_err() {
            return Err(NotAToken("its trust domain is none"));
        }
        if root.len() != 64
            || !root.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        {
            return Err(NotAToken("its root is no SHA-256 in lower-case hex"));
        }
        if secret.is_empty() {
            return Err(NotAToken("its secret is empty"));
        }
        let (trust_domain, root_sha256) = (trust_domain.to_owned(), root.to_owned());
        Ok(JoinToken { trust_domain, root_sha256, secret: Secret::new(secret) })
    }
}

impl JoinToken {
    /// The token as it is handed over.
    pub fn to_text(&self) -> Secret {
        Secret::new(format!("{PREFIX}:{}:{}:{}", self.trust_domain, self.root_sha256, self.secret.expose()))
    }

    /// The name under which the control plane proves itself by the token's root.
    pub(super) fn server_name(&self) -> String {
        root_name(&self.root_sha256)
    }

    /// TLS to a control plane whose chain ends in the token's root, and to nobody else. No certificate is shown.
    pub(super) fn client(&self, clock: &Clock) -> Arc<ClientConfig> {
        let provider = Arc::new(default_provider());
        let pinned = Pinned {
            root_sha256: self.root_sha256.clone(),
            expected: Identity::new(&self.trust_domain, CONTROL),
            provider: provider.clone(),
        };
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(Time(clock.clone())))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has cipher suites of TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }
}

/// What a control plane is called, in TLS, by who knows the root of this SHA-256, in hexadecimal. It is a label of at
/// most 63 characters, so the hash is cut.
pub fn root_name(root_sha256: &str) -> String {
    format!("{}.root.mesh", root_sha256.get(..40).unwrap_or(root_sha256))
}

/// Believes a chain that holds the root of this hash.
#[derive(Debug)]
struct Pinned {
    root_sha256: String,
    expected: Identity,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _server: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_pinned = |root: &&CertificateDer<'_>| base::secret::sha256_hex(root) == self.root_sha256;
        let root = others.iter().find(is_pinned).ok_or_else(unknown_issuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let certificate = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, others, now, algorithms)?;
        match identity_of_leaf(leaf) {
            Ok(presented) if presented == self.expected => Ok(ServerCertVerified::assertion()),
            _ => Err(Error::InvalidCertificate(CertificateError::NotValidForName)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(unknown_issuer())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn unknown_issuer() -> Error {
    Error::InvalidCertificate(CertificateError::UnknownIssuer)
}

/// What a workload asks for: a certificate over a key of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The secret of the join token; absent where a certificate proves who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// A certificate request (PKCS#10) in PEM, signed with the new key.
    pub csr: String,
}

/// What it gets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joined {
    /// The certificate chain in PEM, leaf first.
    pub chain: String,
    /// The roots of the trust domain in PEM.
    pub roots: String,
}

/// A fresh key and the request over it. The key never leaves the process but for its own disk.
pub(super) struct Asked {
    pub(super) csr: String,
    pub(super) key: Secret,
}

/// Makes a key for `identity` and signs a request with it.
pub(super) fn ask(identity: &Identity) -> Result<Asked, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.as_str().try_into()?)];
    let csr = params.serialize_request(&key)?.pem()?;
    Ok(Asked { csr, key: Secret::new(key.serialize_pem()) })
}

impl Asked {
    /// The certificate that came for this key.
    ///
    /// Errors: it is for another key, or somebody else's.
    pub(super) fn answered(&self, joined: &Joined, identity: &Identity) -> Result<Svid, String> {
        let svid = Svid::from_pem(joined.chain.as_bytes(), self.key.expose().as_bytes())
            .map_err(|error: Unusable| error.to_string())?;
        match svid.identity() == identity {
            true => Ok(svid),
            false => Err(format!("the certificate is {}'s, not {identity}'s", svid.identity())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whom_it_is_for_and_who_must_answer() {
        let text = format!("mbjoin:mesh.local:{}:s3cret", "a".repeat(64));

        let token: JoinToken = text.parse().unwrap();

        assert_eq!((token.trust_domain.as_str(), token.secret.expose()), ("mesh.local", "s3cret"));
        assert_eq!(token.to_text().expose(), text);
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_no_token_is_refused_without_a_word_of_it() {
        let root = "a".repeat(64);
        for bad in [
            "".to_owned(),
            "hunter2".to_owned(),
            format!("mbjoin:mesh.local:{root}"),
            format!("mbjoin:Mesh.local:{root}:hunter2"),
            format!("mbjoin:mesh.local:{}:hunter2", &root[1..]),
            format!("mbjoin:mesh.local:{}:hunter2", root.to_uppercase()),
            format!("mbjoin:mesh.local:{root}:"),
            format!("mbjoin:mesh.local:{root}:hunter2:more"),
        ] {
            let error = bad.parse::<JoinToken>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_certificate_for_another_key_is_not_taken() {
        use crate::identity::pki::Ca;
        let (identity, ca) = (Identity::new("mesh.local", "data"), Ca::new("one"));
        let asked = ask(&identity).unwrap();
        let joined = Joined { chain: ca.leaf("data").issue().chain, roots: ca.pem() };

        let refused = asked.answered(&joined, &identity).err().unwrap();
        assert!(refused.contains("not the key"), "{refused}");
    }
}
