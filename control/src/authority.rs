//! Who is who: the roots of the trust domain, tokens to join with, certificates.
//!
//! A root's key is sealed in the store under the master key, so that every replica can sign. A new root is first only
//! trusted, everywhere, and signs when all have heard of it; the one before stays trusted for as long as a certificate
//! of its may be good.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::error::OrInternal;
use base::seal::MasterKey;
use base::secret::sha256_hex;
use base::{Clock, Code, Random, Result, Secret};
use mesh::identity::{Credentials, Identity, Roots, Svid};
use mesh::steer::{CONTROL, CertificateRequest, JoinToken, Joined, root_name};
use rcgen::{CertificateSigningRequestParams, Issuer, KeyPair, PublicKeyData, SanType};
use rustls::ServerConfig;
use uuid::Uuid;

use crate::bootstrap::Bootstrap;
use crate::certificates::{SEAL, leaf, new_root, root_sha256};
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

/// How often a root that became active, or retired, is noticed.
const TURN: Duration = Duration::from_secs(1);

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
    /// This replica's own identity.
    own: Credentials,
    /// How it proves to be the control plane where workloads join, by the name of the root that they know.
    doors: Mutex<Arc<Doors>>,
}

type Doors = HashMap<String, Arc<ServerConfig>>;

/// The roots in force.
struct Signing {
    /// The one that signs.
    issuer: Issuer<'static, KeyPair>,
    /// Every one that is trusted, as PEM.
    bundle: String,
    /// All that there ever were, the newest first.
    roots: Vec<Root>,
}

impl Authority {
    /// Reads the roots, or takes or makes the first one, and certifies this replica.
    ///
    /// Errors: the master key is not the one that the roots are sealed under.
    pub(crate) async fn open(
        config: &Config,
        bootstrap: Option<&Bootstrap>,
        store: Store,
        master: MasterKey,
        clock: Clock,
        random: Random,
    ) -> Result<Authority> {
        if let Some(bootstrap) = bootstrap {
            bootstrap.install(&store, &config.trust_domain).await?;
        }
        if store.roots().await?.is_empty() {
            let root = new_root(&config.trust_domain, &master, &clock, &random)?;
            store.add_root(&root, true, 0.0, 0.0).await?;
        }
        let ttl = Duration::from_secs(config.svid_ttl_seconds.max(2));
        let signing = Signing::open(&store.roots().await?, &master)?;
        let identity = Identity::new(&config.trust_domain, CONTROL);
        let own = Own { identity: &identity, master: &master, ttl, clock: &clock, random: &random };
        let (svid, roots, doors) = own.certified(&signing)?;
        let own = Credentials::new(svid, roots, &clock).or_internal()?;
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
            doors: Mutex::new(Arc::new(doors)),
        })
    }

    /// This replica's identity.
    pub(crate) fn own(&self) -> &Credentials {
        &self.own
    }

    /// TLS for a workload that knows the root of this name, which may have retired since: a token is good until it is
    /// taken back, and what it leads to are the roots that are trusted now. Of any other name it is the root that signs.
    pub(crate) fn door(&self, root: &str) -> Result<Arc<ServerConfig>> {
        let doors = self.doors.lock().expect("no holder of this lock panics").clone();
        if let Some(door) = doors.get(root) {
            return Ok(door.clone());
        }
        let name = root_name(&root_sha256(&self.signing().signs().certificate)?);
        doors.get(&name).cloned().ok_or_else(|| base::Error::internal("the root that signs has no door yet"))
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
        let root_sha256 = root_sha256(&self.signing().signs().certificate)?;
        let token = JoinToken { trust_domain: self.trust_domain.clone(), root_sha256, secret };
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
        let state = |root: &Root| (root.id, root.is_active, root.is_trusted);
        if roots.iter().map(state).eq(before.roots.iter().map(state)) {
            return Ok(false);
        }
        let signing = Arc::new(Signing::open(&roots, &self.master)?);
        *self.signing.lock().expect("no holder of this lock panics") = signing;
        self.certify_own()?;
        Ok(true)
    }

    fn certify_own(&self) -> Result<()> {
        let (identity, ttl) = (self.own.identity(), self.ttl);
        let own =
            Own { identity: &identity, master: &self.master, ttl, clock: &self.clock, random: &self.random };
        let (svid, roots, doors) = own.certified(&self.signing())?;
        self.own.replace(svid, roots).or_internal()?;
        *self.doors.lock().expect("no holder of this lock panics") = Arc::new(doors);
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
        let signs = trusted(roots).next().ok_or_else(|| base::Error::internal("no root may sign"))?;
        let bundle = roots.iter().filter(|root| root.is_trusted).map(|root| root.certificate.as_str());
        Ok(Signing { issuer: issuer(signs, master)?, bundle: bundle.collect(), roots: roots.to_vec() })
    }

    /// The root that signs.
    fn signs(&self) -> &Root {
        trusted(&self.roots).next().expect("it was there when this was made")
    }
}

/// The roots that may sign and are believed, the newest first.
fn trusted(roots: &[Root]) -> impl DoubleEndedIterator<Item = &Root> {
    roots.iter().filter(|root| root.is_active && root.is_trusted)
}

fn issuer(root: &Root, master: &MasterKey) -> Result<Issuer<'static, KeyPair>> {
    let key = master.open(SEAL, &root.sealed_key)?;
    let key = KeyPair::from_pem(key.expose()).or_internal()?;
    Issuer::from_ca_cert_pem(&root.certificate, key).or_internal()
}

/// How a replica certifies itself.
struct Own<'a> {
    identity: &'a Identity,
    master: &'a MasterKey,
    ttl: Duration,
    clock: &'a Clock,
    random: &'a Random,
}

impl Own<'_> {
    /// What it shows to workloads that have a certificate, and to those that have none.
    ///
    /// The former by the oldest root that is believed: a workload that heard of no newer one finds the way back.
    fn certified(&self, signing: &Signing) -> Result<(Svid, Roots, Doors)> {
        let oldest = trusted(&signing.roots).next_back().unwrap_or_else(|| signing.signs());
        let mut doors = Doors::new();
        for root in signing.roots.iter().filter(|root| root.is_active) {
            let server = self.signed(root)?.open_server(&root.certificate, self.clock).or_internal()?;
            doors.insert(root_name(&root_sha256(&root.certificate)?), server);
        }
        let roots = Roots::from_pem(signing.bundle.as_bytes()).or_internal()?;
        Ok((self.signed(oldest)?, roots, doors))
    }

    fn signed(&self, root: &Root) -> Result<Svid> {
        let key = KeyPair::generate().or_internal()?;
        let params = leaf(self.identity, self.ttl, self.clock, self.random)?;
        let certificate = params.signed_by(&key, &issuer(root, self.master)?).or_internal()?;
        Svid::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).or_internal()
    }
}
