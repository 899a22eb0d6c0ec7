//! What a workload shows to its peers and what it believes of them, exchangeable while connections live.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::{Clock, Timestamp};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::UnixTime;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::verifier::Verifier;
use super::{Identity, Roots, Svid, Unusable};

/// What is offered to be spoken inside of TLS (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `h2` alone.
    H2,
    /// `http/1.1` alone.
    Http1,
    /// `h2`, or else `http/1.1`.
    Both,
    /// `meshbase-tcp`: bytes.
    Tcp,
}

/// What both sides agreed to speak inside of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negotiated {
    /// `h2`.
    H2,
    /// `http/1.1`.
    Http1,
    /// `meshbase-tcp`.
    Tcp,
}

impl Alpn {
    const ALL: [Alpn; 4] = [Alpn::H2, Alpn::Http1, Alpn::Both, Alpn::Tcp];

    fn ids(self) -> Vec<Vec<u8>> {
        let offered: &[Negotiated] = match self {
            Alpn::H2 => &[Negotiated::H2],
            Alpn::Http1 => &[Negotiated::Http1],
            Alpn::Both => &[Negotiated::H2, Negotiated::Http1],
            Alpn::Tcp => &[Negotiated::Tcp],
        };
        offered.iter().map(|protocol| protocol.id().to_vec()).collect()
    }
}

impl Negotiated {
    pub(super) fn of(id: Option<&[u8]>) -> Option<Negotiated> {
        [Negotiated::H2, Negotiated::Http1, Negotiated::Tcp].into_iter().find(|p| Some(p.id()) == id)
    }

    fn id(self) -> &'static [u8] {
        match self {
            Negotiated::H2 => b"h2",
            Negotiated::Http1 => b"http/1.1",
            Negotiated::Tcp => b"meshbase-tcp",
        }
    }
}

/// One workload's certificate and the roots of its peers'. Clones change together.
///
/// TLS 1.3 alone, both sides with certificates, and no resumption: each connection proves who is there anew.
/// Connections that live keep what they were made with; new ones take what is in force.
#[derive(Clone)]
pub struct Credentials {
    current: Arc<ArcSwap<Current>>,
    clock: Clock,
}

struct Current {
    svid: Svid,
    clients: [Arc<ClientConfig>; 4],
    servers: [Arc<ServerConfig>; 4],
}

impl Credentials {
    /// The credentials that `svid` and `roots` make, judged by `clock`.
    ///
    /// Fails if the certificate expired.
    pub fn new(svid: Svid, roots: Roots, clock: &Clock) -> Result<Credentials, Unusable> {
        let current = Current::new(svid, &roots, clock)?;
        Ok(Credentials { current: Arc::new(ArcSwap::from_pointee(current)), clock: clock.clone() })
    }

    /// Puts another certificate and other roots in force for all connections to come.
    ///
    /// Fails, and changes nothing, if the certificate expired or is somebody else's.
    pub fn replace(&self, svid: Svid, roots: Roots) -> Result<(), Unusable> {
        let ours = self.identity();
        if *svid.identity() != ours {
            return Err(Unusable::new(
                "the certificate",
                format!("it is {}'s, not {ours}'s", svid.identity()),
            ));
        }
        self.current.store(Arc::new(Current::new(svid, &roots, &self.clock)?));
        Ok(())
    }

    /// Whose they are.
    pub fn identity(&self) -> Identity {
        self.current.load().svid.identity().clone()
    }

    /// Until when the certificate in force is good.
    pub fn expires_at(&self) -> Timestamp {
        self.current.load().svid.expires_at()
    }

    /// The caller's side of TLS. Its server name must be `<service>.mesh`.
    pub fn client(&self, alpn: Alpn) -> Arc<ClientConfig> {
        self.current.load().clients[alpn as usize].clone()
    }

    /// The callee's side of TLS.
    pub fn server(&self, alpn: Alpn) -> Arc<ServerConfig> {
        self.current.load().servers[alpn as usize].clone()
    }
}

impl Current {
    fn new(svid: Svid, roots: &Roots, clock: &Clock) -> Result<Current, Unusable> {
        if svid.expires_at() <= clock.now() {
            return Err(Unusable::new("the certificate", format!("it expired at {}", svid.expires_at())));
        }
        let tls = Tls::new(&svid, roots, clock);
        Ok(Current {
            svid,
            clients: Alpn::ALL.map(|alpn| Arc::new(tls.client(alpn))),
            servers: Alpn::ALL.map(|alpn| Arc::new(tls.server(alpn))),
        })
    }
}

/// The parts that all configurations share.
struct Tls {
    provider: Arc<CryptoProvider>,
    time: Arc<Time>,
    verifier: Arc<Verifier>,
    ours: Arc<SingleCertAndKey>,
}

impl Tls {
    fn new(svid: &Svid, roots: &Roots, clock: &Clock) -> Tls {
        let provider = Arc::new(default_provider());
        Tls {
            verifier: Arc::new(Verifier::new(roots, svid, &provider)),
            time: Arc::new(Time(clock.clone())),
            ours: Arc::new(SingleCertAndKey::from(svid.certified.clone())),
            provider,
        }
    }

    fn client(&self, alpn: Alpn) -> ClientConfig {
        let mut config = ClientConfig::builder_with_details(self.provider.clone(), self.time.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has cipher suites of TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(self.verifier.clone())
            .with_client_cert_resolver(self.ours.clone());
        config.alpn_protocols = alpn.ids();
        config.resumption = Resumption::disabled();
        config
    }

    fn server(&self, alpn: Alpn) -> ServerConfig {
        let mut config = ServerConfig::builder_with_details(self.provider.clone(), self.time.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has cipher suites of TLS 1.3")
            .with_client_cert_verifier(self.verifier.clone())
            .with_cert_resolver(self.ours.clone());
        config.alpn_protocols = alpn.ids();
        config.send_tls13_tickets = 0;
        config
    }
}

/// Our clock as TLS reads it.
pub(crate) struct Time(pub(crate) Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let secs = u64::try_from(self.0.unix()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

#[cfg(test)]
mod tests {
    use super::super::pki::{Ca, at, clock};
    use super::*;

    #[test]
    fn an_expired_certificate_is_not_put_in_force() {
        let ca = Ca::new("one");
        let clock = clock(500);
        let credentials = Credentials::new(ca.leaf("data").svid(), ca.roots(), &clock).unwrap();
        let short = || ca.leaf("data").valid(at(0), at(500)).svid();

        let error = credentials.replace(short(), ca.roots()).unwrap_err();

        assert!(error.to_string().contains("expired"), "{error}");
        assert_eq!(credentials.expires_at(), at(1000));
        assert!(Credentials::new(short(), ca.roots(), &clock).is_err());
    }

    #[test]
    fn another_identity_is_not_put_in_force() {
        let ca = Ca::new("one");
        let credentials = ca.credentials("data");

        let error = credentials.replace(ca.leaf("auth").svid(), ca.roots()).unwrap_err();

        assert!(error.to_string().contains("spiffe://mesh.local/auth"), "{error}");
        assert_eq!(credentials.identity().service(), "data");
    }

    #[test]
    fn clones_change_together() {
        let ca = Ca::new("one");
        let credentials = ca.credentials("data");
        let twin = credentials.clone();

        credentials.replace(ca.leaf("data").valid(at(0), at(2000)).svid(), ca.roots()).unwrap();

        assert_eq!(twin.expires_at(), at(2000));
    }

    #[test]
    fn each_offer_has_its_own_protocols() {
        let credentials = Ca::new("one").credentials("data");
        let ids = |alpn| {
            let (client, server) = (credentials.client(alpn), credentials.server(alpn));
            assert_eq!(client.alpn_protocols, server.alpn_protocols);
            client.alpn_protocols.iter().map(|id| String::from_utf8(id.clone()).unwrap()).collect::<Vec<_>>()
        };

        assert_eq!(ids(Alpn::H2), ["h2"]);
        assert_eq!(ids(Alpn::Http1), ["http/1.1"]);
        assert_eq!(ids(Alpn::Both), ["h2", "http/1.1"]);
        assert_eq!(ids(Alpn::Tcp), ["meshbase-tcp"]);
    }
}
