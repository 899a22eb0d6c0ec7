//! What certificates say: those of roots, and those of workloads.

use std::time::Duration;

use base::error::OrInternal;
use base::seal::MasterKey;
use base::secret::sha256_hex;
use base::{Clock, Random, Result, Secret, Timestamp};
use mesh::identity::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::store::Root;

/// What the roots' keys are sealed for.
pub(crate) const SEAL: &str = "mesh root";

/// How long a root is good.
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far back a certificate's beginning is put, for clocks that are behind; at most a tenth of its life.
const BACKDATE: Duration = Duration::from_secs(60);

/// A root, its key sealed under `master`.
pub(crate) fn new_root(
    trust_domain: &str,
    master: &MasterKey,
    clock: &Clock,
    random: &Random,
) -> Result<Root> {
    let id = random.uuid();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{trust_domain} {id}"));
    params.subject_alt_names =
        vec![SanType::URI(format!("spiffe://{trust_domain}").try_into().or_internal()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(&random.bytes::<16>()));
    params.not_before = clock.now() - BACKDATE;
    params.not_after = clock.now() + ROOT_LIFE;
    let key = KeyPair::generate().or_internal()?;
    let certificate = params.self_signed(&key).or_internal()?.pem();
    let sealed_key = master.seal(SEAL, &Secret::new(key.serialize_pem()))?;
    Ok(Root { id, certificate, sealed_key, is_active: false, is_trusted: true })
}

/// What a workload's certificate says. Source: X509-SVID, §4 and appendix A.
pub(crate) fn leaf(
    identity: &Identity,
    ttl: Duration,
    clock: &Clock,
    random: &Random,
) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.as_str().try_into().or_internal()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from_slice(&random.bytes::<16>()));
    let now: Timestamp = clock.now();
    params.not_before = now - BACKDATE.min(ttl / 10);
    params.not_after = now + ttl;
    Ok(params)
}

/// What a token names a root by: the hash of its DER.
pub(crate) fn root_sha256(pem: &str) -> Result<String> {
    Ok(sha256_hex(CertificateDer::from_pem_slice(pem.as_bytes()).or_internal()?))
}
