//! Who is who: the roots of the trust domain, tokens to join with, certificates.
//!
//! A root's key is sealed in the store under the master key, so that every replica can sign. A new root is first only
//! trusted, everywhere, and signs when all have heard of it; the one before stays trusted for as long as a certificate
//! of its may be good.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::error::OrInternal;
use base::seal::MasterKey;
use base::secret::sha256_hex;
use base::{Clock, Code, Random, Result, Secret, Timestamp};
use mesh::identity::{Credentials, Identity, Roots, Svid};
use mesh::steer::{CONTROL, CertificateRequest, JoinToken, Joined};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::store::{Root, Store};
use crate::{Config, Control};

/// The token is none of ours, or was taken back. Which of both is nobody's business.
const BAD_TOKEN: Code = Code::new(401, "bad_token");
/// The request cannot be certified.
const BAD_CSR: Code = Code::new(400, "bad_csr");
/// The request asks for somebody else's identity.
const OTHER_IDENTITY: Code = Code::new(403, "other_identity");
/// The key was certified before, or its owner is denied.
const NOT_CERTIFIED: Code = Code::new(409, "not_certified");

/// How long a root is good.
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far back a certificate's beginning is put, for clocks that are behind; at most a tenth of its life.
const BACKDATE: Duration = Duration::from_secs(60);
/// How often a root that became active, or retired, is noticed.
const TURN: Duration = Duration::from_secs(1);
/// The certificate for what the roots' keys are sealed for.
const SEAL: &str = "mesh root";

/// The authority of one trust domain, as this replica has it.
pub(crate) struct Authority {
    store: Store,
    master: MasterKey,
    clock: Clock,
    random: Random,
    trust_domain: String,
    ttl: Duration,
    spread: Duration,
    signing: Mutex<Arc<Signing>>,
    /// This replica's own identity; told when there is another certificate.
    own: Credentials,
    svid: watch::Sender<Svid>,
}

/// The roots in force.
struct Signing {
    /// Which of them signs.
    id: Uuid,
    issuer: Issuer<'static, KeyPair>,
    /// Every one that is trusted, as PEM.
    bundle: String,
    /// The signing one, as PEM.
    root: String,
    ids: Vec<Uuid>,
}

impl Authority {
    /// Reads the roots, or makes the first one, and certifies this replica.
    ///
    /// Errors: the master key is not the one that the roots are sealed under.
    pub(crate) async fn open(
        config: &Config,
        store: Store,
        master: MasterKey,
        clock: Clock,
        random: Random,
    ) -> Result<Authority> {
        if store.roots().await?.is_empty() {
            let root = new_root(&config.trust_domain, &master, &clock, &random)?;
            store.add_root(&root, true, 0.0, 0.0).await?;
        }
        let ttl = Duration::from_secs(config.svid_ttl_seconds.max(2));
        let signing = Signing::open(&store.roots().await?, &master)?;
        let identity = Identity::new(&config.trust_domain, CONTROL);
        let (svid, roots) = own(&signing, &identity, ttl, &clock, &random)?;
        let own = Credentials::new(svid.clone(), roots, &clock).or_internal()?;
        Ok(Authority {
            store,
            master,
            clock,
            random,
            trust_domain: config.trust_domain.clone(),
            ttl,
            spread: Duration::from_secs(config.root_spread_seconds),
            signing: Mutex::new(Arc::new(signing)),
            own,
            svid: watch::Sender::new(svid),
        })
    }

    /// This replica's identity.
    pub(crate) fn own(&self) -> &Credentials {
        &self.own
    }

    /// This replica's certificate, told when it changes, with the root that it leads to.
    pub(crate) fn svid(&self) -> (watch::Receiver<Svid>, String) {
        (self.svid.subscribe(), self.signing().root.clone())
    }

    /// Every root that is trusted, as PEM.
    pub(crate) fn bundle(&self) -> String {
        self.signing().bundle.clone()
    }

    /// Makes a token that lets `identity` in.
    pub(crate) async fn make_token(&self, service: &str) -> Result<(Uuid, JoinToken)> {
        let identity = self.identity(service)?;
        let secret = Secret::new(self.random.token(32));
        let id = self.random.uuid();
        self.store.add_token(id, &sha256_hex(secret.expose()), identity.as_str()).await?;
        let root = rustls_der(&self.signing().root)?;
        let token =
            JoinToken { trust_domain: self.trust_domain.clone(), root_sha256: sha256_hex(root), secret };
        Ok((id, token))
    }

    /// The identity of a service of ours.
    ///
    /// Errors: `bad_request` for what is no service's name, and for our own.
    pub(crate) fn identity(&self, service: &str) -> Result<Identity> {
        let id = format!("spiffe://{}/{service}", self.trust_domain);
        let identity =
            Identity::parse(&id).map_err(|error| base::error::BAD_REQUEST.error(error.to_string()))?;
        match service {
            CONTROL => Err(base::error::BAD_REQUEST.error("nobody joins as the control plane")),
            _ => Ok(identity),
        }
    }

    /// The first certificate of whoever has a token.
    ///
    /// Errors: `bad_token` (401), and those of [`Authority::renew`].
    pub(crate) async fn join(&self, request: &CertificateRequest) -> Result<Joined> {
        let unknown = || BAD_TOKEN.error("the token lets nobody in");
        let secret = request.secret.as_ref().ok_or_else(unknown)?;
        let identity = self.store.token_identity(&sha256_hex(secret.expose())).await?.ok_or_else(unknown)?;
        let identity = Identity::parse(&identity).or_internal()?;
        self.renew(request, &identity).await
    }

    /// A certificate for `identity`, which proved to be there.
    ///
    /// Errors: `bad_csr` (400), `other_identity` (403), `not_certified` (409).
    pub(crate) async fn renew(&self, request: &CertificateRequest, identity: &Identity) -> Result<Joined> {
        let csr = CertificateSigningRequestParams::from_pem(&request.csr)
            .map_err(|error| BAD_CSR.error(format!("the certificate request cannot be used: {error}")))?;
        let asked = match &csr.params.subject_alt_names[..] {
            [SanType::URI(uri)] => uri.as_str().to_owned(),
            _ => {
                return Err(
                    BAD_CSR.error("the certificate request names no SPIFFE id, or something beside it")
                );
            }
        };
        if asked != identity.as_str() {
            return Err(OTHER_IDENTITY.error(format!("this lets {identity} in, not {asked}")));
        }
        let expires_at = self.clock.now() + self.ttl;
        let key = sha256_hex(csr.public_key.der_bytes());
        if !self.store.certify(&key, identity.as_str(), expires_at).await? {
            return Err(NOT_CERTIFIED.error("the key was certified before, or its owner is denied"));
        }
        let params = leaf(identity, self.ttl, &self.clock, &self.random)?;
        let signing = self.signing();
        let certificate = params.signed_by(&csr.public_key, &signing.issuer).or_internal()?;
        Ok(Joined { chain: certificate.pem(), roots: signing.bundle.clone() })
    }

    /// Adds a root; it signs once it has spread.
    pub(crate) async fn rotate(&self) -> Result<Uuid> {
        let root = new_root(&self.trust_domain, &self.master, &self.clock, &self.random)?;
        let (spread, overlap) = (self.spread.as_secs_f64(), self.ttl.as_secs_f64() * 1.1 + 5.0);
        self.store.add_root(&root, false, spread, overlap).await?;
        self.refresh().await?;
        Ok(root.id)
    }

    /// Takes the roots as the store has them now. Whether something changed.
    pub(crate) async fn refresh(&self) -> Result<bool> {
        let roots = self.store.roots().await?;
        let before = self.signing();
        let signs = roots.iter().find(|root| root.is_active).map(|root| root.id);
        let ids: Vec<Uuid> = roots.iter().map(|root| root.id).collect();
        if signs == Some(before.id) && ids == before.ids {
            return Ok(false);
        }
        let signing = Arc::new(Signing::open(&roots, &self.master)?);
        *self.signing.lock().expect("no holder of this lock panics") = signing;
        self.certify_own()?;
        Ok(true)
    }

    fn certify_own(&self) -> Result<()> {
        let (svid, roots) = own(&self.signing(), &self.own.identity(), self.ttl, &self.clock, &self.random)?;
        self.own.replace(svid.clone(), roots).or_internal()?;
        self.svid.send_replace(svid);
        Ok(())
    }

    fn signing(&self) -> Arc<Signing> {
        self.signing.lock().expect("no holder of this lock panics").clone()
    }

    /// Certifies this replica anew when half of its certificate's time is over.
    fn keep_own(&self) -> Result<()> {
        let half = self.own.expires_at() - self.ttl / 2;
        if self.clock.now() < half { Ok(()) } else { self.certify_own() }
    }
}

/// Lets time do its work: roots become active and retire, this replica's certificate is renewed.
pub(crate) async fn turn(control: Control) {
    loop {
        tokio::time::sleep(TURN).await;
        let authority = &control.0.authority;
        match authority.refresh().await {
            Ok(true) => control.0.worlds.touch(),
            Ok(false) => {}
            Err(error) => tracing::debug!(error = %base::error::chain(&error), "the roots cannot be read"),
        }
        if let Err(error) = authority.keep_own() {
            tracing::error!(error = %base::error::chain(&error), "the control plane cannot certify itself");
        }
    }
}

impl Signing {
    fn open(roots: &[Root], master: &MasterKey) -> Result<Signing> {
        let signs = roots.iter().find(|root| root.is_active);
        let signs = signs.ok_or_else(|| base::Error::internal("no root may sign"))?;
        let key = master.open(SEAL, &signs.sealed_key)?;
        let key = KeyPair::from_pem(key.expose()).or_internal()?;
        Ok(Signing {
            id: signs.id,
            issuer: Issuer::from_ca_cert_pem(&signs.certificate, key).or_internal()?,
            bundle: roots.iter().map(|root| root.certificate.as_str()).collect(),
            root: signs.certificate.clone(),
            ids: roots.iter().map(|root| root.id).collect(),
        })
    }
}

fn new_root(trust_domain: &str, master: &MasterKey, clock: &Clock, random: &Random) -> Result<Root> {
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
    Ok(Root { id, certificate, sealed_key, is_active: false })
}

/// Source: X509-SVID, §4 and appendix A.
fn leaf(identity: &Identity, ttl: Duration, clock: &Clock, random: &Random) -> Result<CertificateParams> {
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

fn own(
    signing: &Signing,
    identity: &Identity,
    ttl: Duration,
    clock: &Clock,
    random: &Random,
) -> Result<(Svid, Roots)> {
    let key = KeyPair::generate().or_internal()?;
    let certificate = leaf(identity, ttl, clock, random)?.signed_by(&key, &signing.issuer).or_internal()?;
    let svid = Svid::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).or_internal()?;
    Ok((svid, Roots::from_pem(signing.bundle.as_bytes()).or_internal()?))
}

fn rustls_der(pem: &str) -> Result<Vec<u8>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    Ok(CertificateDer::from_pem_slice(pem.as_bytes()).or_internal()?.to_vec())
}
