//! A certificate that proves an identity, and its key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, KeyUsage};

use super::Identity;
use super::pem::{Unusable, certificates, read};

/// An X.509 SVID: a certificate chain, leaf first, whose leaf holds one SPIFFE id, and the leaf's private key.
///
/// Cheap to clone. Source: X509-SVID standard, §3 and §4.
#[derive(Clone)]
pub struct Svid {
    pub(super) certified: Arc<CertifiedKey>,
    identity: Identity,
    not_before: Timestamp,
    expires_at: Timestamp,
}

impl Svid {
    /// Reads the chain and the key (PKCS#8, SEC1 or PKCS#1) from PEM files.
    ///
    /// Errors name the file and what is wrong with it.
    pub fn read(chain: &Path, key: &Path) -> Result<Svid, Unusable> {
        let (chain_pem, key_pem) = (read(chain)?, read(key)?);
        Svid::load(&chain.display(), &chain_pem, &key.display(), &key_pem)
    }

    /// The same from PEM in memory.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Svid, Unusable> {
        Svid::load(&"the certificate", chain, &"the key", key)
    }

    fn load(
        chain_name: &dyn fmt::Display,
        chain: &[u8],
        key_name: &dyn fmt::Display,
        key: &[u8],
    ) -> Result<Svid, Unusable> {
        let chain = certificates(chain).map_err(|reason| Unusable::new(chain_name, reason))?;
        let leaf = Leaf::inspect(&chain[0]).map_err(|reason| Unusable::new(chain_name, reason))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|e| Unusable::new(key_name, format!("it holds no private key in PEM: {e}")))?;
        let key = default_provider()
            .key_provider
            .load_private_key(key)
            .map_err(|e| Unusable::new(key_name, format!("the key cannot be used: {e}")))?;
        let certified = CertifiedKey::new(chain, key);
        certified
            .keys_match()
            .map_err(|_| Unusable::new(key_name, format!("it is not the key of {chain_name}")))?;
        Ok(Svid {
            certified: Arc::new(certified),
            identity: leaf.identity,
            not_before: leaf.not_before,
            expires_at: leaf.expires_at,
        })
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// From when on it is good.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when it is good.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The callee's side of TLS for whoever has no certificate yet: it shows the chain with its root, which the other
    /// side knows by its hash, and asks for none. HTTP/1.1 alone is spoken.
    ///
    /// Errors: `root` is no PEM.
    pub fn open_server(
        &self,
        root: &str,
        clock: &base::Clock,
    ) -> Result<Arc<rustls::ServerConfig>, Unusable> {
        let mut chain = self.certified.cert.clone();
        chain.extend(certificates(root.as_bytes()).map_err(|reason| Unusable::new("the root", reason))?);
        let shown = CertifiedKey::new(chain, self.certified.key.clone());
        let provider = Arc::new(default_provider());
        let time = Arc::new(super::Time(clock.clone()));
        let mut config = rustls::ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has cipher suites of TLS 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The certificates, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }
}

/// The one SPIFFE id of a certificate.
///
/// Only meaningful for one whose chain was verified. No other name counts: not the subject's, no DNS name, and no URI
/// that is not even text.
pub(super) fn identity_of(certificate: &EndEntityCert<'_>) -> Result<Identity, String> {
    let mut uris = certificate.valid_uri_names();
    match (uris.next(), uris.next()) {
        (None, _) => Err("the certificate holds no SPIFFE id".to_owned()),
        (Some(_), Some(_)) => Err("the certificate holds more than one URI".to_owned()),
        (Some(uri), None) => Identity::parse(uri).map_err(|e| e.to_string()),
    }
}

/// The same of a certificate in DER.
pub(crate) fn identity_of_leaf(leaf: &CertificateDer<'_>) -> Result<Identity, String> {
    identity_of(&EndEntityCert::try_from(leaf).map_err(|error| error.to_string())?)
}

/// What a leaf says of itself.
struct Leaf {
    identity: Identity,
    not_before: Timestamp,
    expires_at: Timestamp,
}

impl Leaf {
    /// Asks the verifier of peers' certificates, so that what is said here is what peers find.
    fn inspect(der: &CertificateDer<'_>) -> Result<Leaf, String> {
        let certificate = EndEntityCert::try_from(der).map_err(|e| format!("it is no certificate: {e}"))?;
        let not_before = match verify(&certificate, 0, KeyUsage::server_auth()) {
            webpki::Error::CertNotValidYet { not_before, .. } => not_before.as_secs(),
            _ => 0,
        };
        let expires_at = match verify(&certificate, u64::MAX, KeyUsage::server_auth()) {
            webpki::Error::CertExpired { not_after, .. } => not_after.as_secs(),
            error => return Err(format!("its validity cannot be read: {error}")),
        };
        for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
            match verify(&certificate, expires_at, usage) {
                webpki::Error::UnknownIssuer => {}
                webpki::Error::CaUsedAsEndEntity => {
                    return Err("its first certificate is a certificate authority's".to_owned());
                }
                error => return Err(format!("its first certificate is not for both sides of TLS: {error}")),
            }
        }
        Ok(Leaf {
            identity: identity_of(&certificate)?,
            not_before: timestamp(not_before)?,
            expires_at: timestamp(expires_at)?,
        })
    }
}

/// Why `certificate` would not be taken at `at` (seconds since 1970), with no root at all.
fn verify(certificate: &EndEntityCert<'_>, at: u64, usage: KeyUsage) -> webpki::Error {
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    match certificate.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[], &[], at, usage, None, None) {
        Err(error) => error,
        // nothing leads to a root where there is none
        Ok(_) => webpki::Error::UnknownIssuer,
    }
}

fn timestamp(secs: u64) -> Result<Timestamp, String> {
    let secs = i64::try_from(secs).map_err(|e| e.to_string())?;
    Timestamp::from_unix_timestamp(secs).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::pki::{Ca, at};
    use super::*;

    fn error(result: Result<Svid, Unusable>) -> String {
        result.err().expect("the certificate must not be taken").to_string()
    }

    #[test]
    fn an_svid_tells_what_its_leaf_says() {
        let issued = Ca::new("one").leaf("data").valid(at(100), at(200)).issue();

        let svid = Svid::from_pem(issued.chain.as_bytes(), issued.key.as_bytes()).unwrap();

        assert_eq!(svid.identity().to_string(), "spiffe://mesh.local/data");
        assert_eq!(svid.not_before(), at(100));
        assert_eq!(svid.expires_at(), at(200));
        assert_eq!(svid.chain().len(), 1);
    }

    #[test]
    fn a_leaf_needs_exactly_one_uri_and_that_a_spiffe_id() {
        let ca = Ca::new("one");
        let load = |uris: &[&str]| {
            let issued = ca.leaf("data").uris(uris).dns("data.mesh").issue();
            error(Svid::from_pem(issued.chain.as_bytes(), issued.key.as_bytes()))
        };

        assert!(load(&[]).contains("holds no SPIFFE id"));
        assert!(load(&["spiffe://mesh.local/a", "spiffe://mesh.local/b"]).contains("more than one URI"));
        assert!(load(&["spiffe://mesh.local/a", "https://b"]).contains("more than one URI"));
        assert!(load(&["https://mesh.local/a"]).contains("does not begin with spiffe://"));
        assert!(load(&["spiffe://mesh.local/a/../b"]).contains("dot segment"));
    }

    #[test]
    fn a_certificate_authority_is_no_leaf() {
        let issued = Ca::new("one").leaf("data").authority().issue();

        let error = error(Svid::from_pem(issued.chain.as_bytes(), issued.key.as_bytes()));

        assert!(error.contains("certificate authority"), "{error}");
    }

    #[test]
    fn a_leaf_for_servers_alone_is_refused() {
        let issued = Ca::new("one").leaf("data").servers_only().issue();

        let error = error(Svid::from_pem(issued.chain.as_bytes(), issued.key.as_bytes()));

        assert!(error.contains("not for both sides"), "{error}");
    }

    #[test]
    fn another_leafs_key_is_refused() {
        let ca = Ca::new("one");
        let (one, other) = (ca.leaf("data").issue(), ca.leaf("data").issue());

        let error = error(Svid::from_pem(one.chain.as_bytes(), other.key.as_bytes()));

        assert!(error.contains("not the key of"), "{error}");
    }

    #[test]
    fn errors_name_the_file_and_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let issued = Ca::new("one").leaf("data").issue();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));

        let missing = error(Svid::read(&chain, &key));
        fs::write(&chain, &issued.chain[..issued.chain.len() / 2]).unwrap();
        fs::write(&key, &issued.key).unwrap();
        let cut = error(Svid::read(&chain, &key));
        fs::write(&chain, &issued.chain).unwrap();
        fs::write(&key, "nothing").unwrap();
        let keyless = error(Svid::read(&chain, &key));

        assert!(missing.contains("chain.pem") && missing.contains("No such file"), "{missing}");
        assert!(cut.contains("chain.pem") && cut.contains("no PEM"), "{cut}");
        assert!(keyless.contains("key.pem") && keyless.contains("no private key"), "{keyless}");
    }
}
