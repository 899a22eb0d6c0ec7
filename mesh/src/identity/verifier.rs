//! Whom we believe: the SPIFFE id in a leaf whose chain leads to a root of that id's trust domain.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible,
    RootCertStore, SignatureScheme,
};
use webpki::EndEntityCert;

use super::handshake::SUFFIX;
use super::svid::identity_of;
use super::{Identity, Roots, Svid};

/// Verifies the certificates of both sides.
///
/// A server must be exactly the service that was asked for, in our own trust domain. A client may be anybody of a trust
/// domain that we have roots of, by one of those very roots: what it may do is decided by policy, for each request.
///
/// Source: SPIFFE Trust Domain and Bundle, §4: a bundle speaks for its own trust domain alone.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Arc<RootCertStore>,
    /// By trust domain; ours is always there.
    clients: HashMap<String, Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
    ours: Identity,
}

/// A peer proved its identity, and it is not the one that was asked for.
#[derive(Clone, Debug)]
pub(super) struct WrongIdentity {
    pub(super) expected: Identity,
    pub(super) presented: Identity,
}

/// A peer says that it is of a trust domain that we have no roots of.
#[derive(Clone, Debug)]
pub(super) struct UnknownTrustDomain(pub(super) Identity);

/// A peer's certificate is good but for its names.
#[derive(Clone, Debug)]
pub(super) struct NoIdentity(pub(super) String);

impl Verifier {
    pub(super) fn new(roots: &Roots, ours: &Svid, provider: &Arc<CryptoProvider>) -> Verifier {
        let of = |roots: &Arc<RootCertStore>| {
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
                // every client has one certificate: there is nothing to choose by the names of our roots
                .clear_root_hint_subjects()
                .build()
                .expect("there is a root, and no revocation list")
        };
        let federated = roots.federated.iter().map(|(domain, roots)| (domain.clone(), of(roots)));
        // last: nobody federated speaks for us
        let own = [(ours.identity().trust_domain().to_owned(), of(&roots.own))];
        Verifier {
            roots: roots.own.clone(),
            clients: federated.chain(own).collect(),
            algorithms: provider.signature_verification_algorithms,
            ours: ours.identity().clone(),
        }
    }

    fn own_clients(&self) -> &Arc<dyn ClientCertVerifier> {
        &self.clients[self.ours.trust_domain()]
    }

    /// The identity that the server of that name must have.
    fn expected(&self, server: &ServerName<'_>) -> Result<Identity, Error> {
        let ServerName::DnsName(name) = server else {
            return Err(Error::UnsupportedNameType);
        };
        let service = name.as_ref().strip_suffix(SUFFIX).ok_or(Error::UnsupportedNameType)?;
        Ok(Identity::new(self.ours.trust_domain(), service))
    }
}

fn presented(leaf: &CertificateDer<'_>) -> Result<Identity, Error> {
    let leaf = EndEntityCert::try_from(leaf)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    identity_of(&leaf).map_err(|reason| other(NoIdentity(reason)))
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Only TLS 1.3 is spoken, so nobody can ask for an older signature.
fn old_signature() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let expected = self.expected(server)?;
        let certificate = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        let presented = presented(leaf)?;
        if presented != expected {
            return Err(other(WrongIdentity { expected, presented }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        old_signature()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.own_clients().root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // what it says decides who judges it; nothing of it is believed before
        let presented = presented(leaf);
        let clients = match &presented {
            Ok(peer) => self.clients.get(peer.trust_domain()),
            Err(_) => Some(self.own_clients()),
        };
        let Some(clients) = clients else {
            return Err(other(UnknownTrustDomain(presented?)));
        };
        let verified = clients.verify_client_cert(leaf, intermediates, now)?;
        presented.map(|_| verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        old_signature()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Display for WrongIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {}", self.expected, self.presented)
    }
}

impl fmt::Display for NoIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UnknownTrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no roots are given for the trust domain of {}", self.0)
    }
}

impl std::error::Error for WrongIdentity {}
impl std::error::Error for UnknownTrustDomain {}
impl std::error::Error for NoIdentity {}
