//! Certificate authorities and leaves for tests, with times counted in seconds from one fixed moment.

use base::{Clock, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::{Credentials, Roots, Svid};

pub(crate) const TRUST_DOMAIN: &str = "mesh.local";

/// The moment `secs` seconds after the tests' beginning of time.
pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_unix_timestamp(1_800_000_000 + secs).unwrap()
}

/// A clock that stands at `secs`.
pub(crate) fn clock(secs: i64) -> Clock {
    Clock::fixed(at(secs))
}

/// A certificate authority with a key of its own.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A chain and its key in PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// A leaf that is about to be issued.
pub(crate) struct Leaf<'a> {
    ca: &'a Ca,
    params: CertificateParams,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::from_pem(self.pem().as_bytes()).unwrap()
    }

    /// A leaf for `service` that is valid from 0 to 1000.
    pub(crate) fn leaf(&self, service: &str) -> Leaf<'_> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, service);
        let id = format!("spiffe://{TRUST_DOMAIN}/{service}");
        Leaf { ca: self, params }.uris(&[&id]).valid(at(0), at(1000))
    }

    /// The identity of `service` by this authority, which is also the only root, with the clock at 500.
    pub(crate) fn credentials(&self, service: &str) -> Credentials {
        Credentials::new(self.leaf(service).svid(), self.roots(), &clock(500)).unwrap()
    }
}

impl Leaf<'_> {
    pub(crate) fn uris(mut self, uris: &[&str]) -> Self {
        let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
        self.params.subject_alt_names = uris.iter().map(uri).collect();
        self
    }

    pub(crate) fn dns(mut self, name: &str) -> Self {
        self.params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
        self
    }

    pub(crate) fn valid(mut self, from: Timestamp, to: Timestamp) -> Self {
        (self.params.not_before, self.params.not_after) = (from, to);
        self
    }

    pub(crate) fn authority(mut self) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    pub(crate) fn servers_only(mut self) -> Self {
        self.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self
    }

    pub(crate) fn issue(self) -> Issued {
        let key = KeyPair::generate().unwrap();
        let leaf = self.params.signed_by(&key, &self.ca.0).unwrap();
        Issued { chain: leaf.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn svid(self) -> Svid {
        let issued = self.issue();
        Svid::from_pem(issued.chain.as_bytes(), issued.key.as_bytes()).unwrap()
    }
}
