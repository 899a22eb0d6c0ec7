//! Why a handshake failed, in words for whoever has to mend it.

use std::{fmt, io};

use base::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use super::super::Identity;
use super::super::verifier::{NoIdentity, UnknownTrustDomain, WrongIdentity};

/// Why there is no connection.
#[derive(Debug)]
pub enum HandshakeError {
    /// The peer's certificate was good until then; the time is known unless a part of its chain expired.
    Expired(Option<Timestamp>),
    /// The peer's certificate is good from then on.
    NotYetValid(Option<Timestamp>),
    /// The peer's certificate leads to no root of ours.
    UnknownRoot,
    /// The peer belongs to a trust domain that we have no roots of.
    UnknownTrustDomain(Identity),
    /// The peer is somebody else than the service that was asked for.
    WrongIdentity {
        /// Who was asked for.
        expected: Identity,
        /// Who the peer is.
        presented: Identity,
    },
    /// The peer's certificate holds no SPIFFE id, or several.
    NoIdentity(String),
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer does not speak TLS 1.3.
    ProtocolVersion,
    /// The peer did not say which service it wants.
    NoServerName,
    /// That service is not at this address.
    UnknownService(String),
    /// Both sides have no protocol in common.
    NoProtocol,
    /// The peer did not like us, and this is all that it said.
    Refused(AlertDescription),
    /// It took too long.
    Timeout,
    /// TLS failed otherwise.
    Tls(Error),
    /// The connection broke.
    Io(io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(tls) => HandshakeError::from(tls.clone()),
            None => HandshakeError::Io(error),
        }
    }
}

impl From<Error> for HandshakeError {
    fn from(error: Error) -> HandshakeError {
        match error {
            Error::InvalidCertificate(error) => of_certificate(error),
            Error::NoCertificatesPresented => HandshakeError::NoCertificate,
            Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13,
            ) => HandshakeError::ProtocolVersion,
            Error::NoApplicationProtocol => HandshakeError::NoProtocol,
            Error::AlertReceived(AlertDescription::ProtocolVersion) => HandshakeError::ProtocolVersion,
            Error::AlertReceived(AlertDescription::NoApplicationProtocol) => HandshakeError::NoProtocol,
            Error::AlertReceived(alert) => HandshakeError::Refused(alert),
            other => HandshakeError::Tls(other),
        }
    }
}

fn of_certificate(error: CertificateError) -> HandshakeError {
    match &error {
        CertificateError::Expired => HandshakeError::Expired(None),
        CertificateError::ExpiredContext { not_after, .. } => HandshakeError::Expired(moment(*not_after)),
        CertificateError::NotValidYet => HandshakeError::NotYetValid(None),
        CertificateError::NotValidYetContext { not_before, .. } => {
            HandshakeError::NotYetValid(moment(*not_before))
        }
        // the name of our root, under another one's key
        CertificateError::UnknownIssuer | CertificateError::BadSignature => HandshakeError::UnknownRoot,
        CertificateError::Other(other) => {
            if let Some(wrong) = other.0.downcast_ref::<WrongIdentity>() {
                let WrongIdentity { expected, presented } = wrong.clone();
                return HandshakeError::WrongIdentity { expected, presented };
            }
            if let Some(NoIdentity(reason)) = other.0.downcast_ref::<NoIdentity>() {
                return HandshakeError::NoIdentity(reason.clone());
            }
            if let Some(UnknownTrustDomain(presented)) = other.0.downcast_ref::<UnknownTrustDomain>() {
                return HandshakeError::UnknownTrustDomain(presented.clone());
            }
            HandshakeError::Tls(Error::InvalidCertificate(error))
        }
        _ => HandshakeError::Tls(Error::InvalidCertificate(error)),
    }
}

fn moment(at: UnixTime) -> Option<Timestamp> {
    Timestamp::from_unix_timestamp(i64::try_from(at.as_secs()).ok()?).ok()
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Expired(Some(at)) => write!(f, "the peer's certificate expired at {at}"),
            HandshakeError::Expired(None) => f.write_str("the peer's certificate expired"),
            HandshakeError::NotYetValid(Some(at)) => {
                write!(f, "the peer's certificate is not yet valid: it begins at {at}")
            }
            HandshakeError::NotYetValid(None) => f.write_str("the peer's certificate is not yet valid"),
            HandshakeError::UnknownRoot => f.write_str("the peer's certificate leads to no root of ours"),
            HandshakeError::UnknownTrustDomain(presented) => {
                write!(f, "no roots are given for the trust domain of {presented}")
            }
            HandshakeError::WrongIdentity { expected, presented } => {
                write!(f, "the peer has the wrong identity: expected {expected}, got {presented}")
            }
            HandshakeError::NoIdentity(reason) => write!(f, "the peer has no identity: {reason}"),
            HandshakeError::NoCertificate => f.write_str("the peer presented no certificate"),
            HandshakeError::ProtocolVersion => f.write_str("the peer does not speak TLS 1.3"),
            HandshakeError::NoServerName => f.write_str("the peer named no service (no server name in TLS)"),
            HandshakeError::UnknownService(name) => write!(f, "no service {name:?} is here"),
            HandshakeError::NoProtocol => f.write_str("no protocol in common (ALPN)"),
            HandshakeError::Refused(alert) => write!(f, "the peer refused us: {}", Alert(*alert)),
            HandshakeError::Timeout => f.write_str("the handshake took longer than 5 s"),
            HandshakeError::Tls(error) => write!(f, "TLS failed: {error}"),
            HandshakeError::Io(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HandshakeError::Tls(error) => Some(error),
            HandshakeError::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// What a peer's alert says about us (RFC 8446 §6.2).
struct Alert(AlertDescription);

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            AlertDescription::CertificateExpired => "our certificate expired or is not yet valid for it",
            AlertDescription::UnknownCA => "our certificate leads to no root of its",
            AlertDescription::DecryptError => "our certificate or our signature is not good",
            AlertDescription::CertificateRequired => "it wants a certificate and got none",
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied => "our certificate or our identity is not what it takes",
            AlertDescription::UnrecognisedName => "the service is not there",
            _ => return write!(f, "{:?}", self.0),
        })
    }
}
