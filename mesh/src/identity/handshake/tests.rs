//! Every way in which two proxies may not like each other, and what each of them says about it.

use base::Clock;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};

use super::super::pki::{Ca, at, clock};
use super::super::{Roots, Svid};
use super::*;

type ClientSide = Result<(client::TlsStream<DuplexStream>, Negotiated), HandshakeError>;
type ServerSide = Result<Accepted<DuplexStream>, HandshakeError>;

fn credentials(svid: Svid, roots: Roots, clock: &Clock) -> Credentials {
    Credentials::new(svid, roots, clock).unwrap()
}

/// Both sides of a handshake for `service` with a server that is `data`.
async fn meet(caller: &Credentials, callee: &Credentials, service: &str) -> (ClientSide, ServerSide) {
    meet_with(caller, Alpn::H2, callee, Alpn::Both, service).await
}

async fn meet_with(
    caller: &Credentials,
    offers: Alpn,
    callee: &Credentials,
    takes: Alpn,
    service: &str,
) -> (ClientSide, ServerSide) {
    let (near, far) = duplex(64 * 1024);
    let choose = |name: &str| (name == "data").then(|| callee.server(takes));
    let connecting = async {
        let mut connected = connect(near, caller, service, offers).await;
        if let Ok((stream, _)) = &mut connected {
            // the server's verdict comes after the client is done
            if let Err(refused) = stream.read(&mut [0]).await {
                connected = Err(refused.into());
            }
        }
        connected
    };
    let accepting = async {
        let mut accepted = accept(far, &choose).await;
        if let Ok(accepted) = &mut accepted {
            accepted.stream.write_all(b"!").await.unwrap();
            accepted.stream.flush().await.unwrap();
        }
        accepted
    };
    tokio::join!(connecting, accepting)
}

fn said<T>(side: &Result<T, HandshakeError>) -> String {
    side.as_ref().err().expect("this side must fail").to_string()
}

#[tokio::test]
async fn both_sides_know_each_other() {
    let ca = Ca::new("one");

    let (client, server) = meet(&ca.credentials("gateway"), &ca.credentials("data"), "data").await;

    let (_, spoken) = client.unwrap();
    let accepted = server.unwrap();
    assert_eq!(spoken, Negotiated::H2);
    assert_eq!(accepted.protocol, Negotiated::H2);
    assert_eq!(accepted.peer, Identity::new("mesh.local", "gateway"));
    assert_eq!(&*accepted.service, "data");
}

#[tokio::test]
async fn what_is_spoken_is_what_both_offer() {
    let ca = Ca::new("one");
    let (caller, callee) = (ca.credentials("gateway"), ca.credentials("data"));
    let spoken = async |offers, takes| {
        let (client, server) = meet_with(&caller, offers, &callee, takes, "data").await;
        let (client, server) = (client.map(|(_, spoken)| spoken), server.map(|accepted| accepted.protocol));
        match (&client, &server) {
            (Ok(client), Ok(server)) => {
                assert_eq!(client, server);
                Some(*client)
            }
            (Err(HandshakeError::NoProtocol), Err(HandshakeError::NoProtocol)) => None,
            other => panic!("{other:?}"),
        }
    };

    assert_eq!(spoken(Alpn::Both, Alpn::Both).await, Some(Negotiated::H2));
    assert_eq!(spoken(Alpn::Http1, Alpn::Both).await, Some(Negotiated::Http1));
    assert_eq!(spoken(Alpn::Both, Alpn::Http1).await, Some(Negotiated::Http1));
    assert_eq!(spoken(Alpn::Tcp, Alpn::Tcp).await, Some(Negotiated::Tcp));
    assert_eq!(spoken(Alpn::Tcp, Alpn::Both).await, None);
    assert_eq!(spoken(Alpn::H2, Alpn::Tcp).await, None);
}

#[tokio::test]
async fn an_expired_server_is_named_by_the_client() {
    let ca = Ca::new("one");
    let callee = credentials(ca.leaf("data").valid(at(0), at(400)).svid(), ca.roots(), &clock(300));

    let (client, server) = meet(&ca.credentials("gateway"), &callee, "data").await;

    assert!(matches!(client, Err(HandshakeError::Expired(Some(when))) if when == at(400)), "{client:?}");
    assert!(said(&client).contains("expired at 2027"), "{}", said(&client));
    assert!(said(&server).contains("refused us: our certificate expired"), "{}", said(&server));
}

#[tokio::test]
async fn an_expired_client_is_named_by_the_server() {
    let ca = Ca::new("one");
    let caller = credentials(ca.leaf("gateway").valid(at(0), at(400)).svid(), ca.roots(), &clock(300));

    let (client, server) = meet(&caller, &ca.credentials("data"), "data").await;

    assert!(matches!(server, Err(HandshakeError::Expired(Some(when))) if when == at(400)), "{server:?}");
    assert!(said(&client).contains("refused us: our certificate expired"), "{}", said(&client));
}

#[tokio::test]
async fn a_certificate_dies_while_the_clock_runs() {
    let ca = Ca::new("one");
    let clock = clock(999);
    let caller = credentials(ca.leaf("gateway").svid(), ca.roots(), &clock);
    let callee = credentials(ca.leaf("data").svid(), ca.roots(), &clock);
    assert!(meet(&caller, &callee, "data").await.0.is_ok());

    clock.advance(Duration::from_secs(2));
    let (client, _) = meet(&caller, &callee, "data").await;

    assert!(matches!(client, Err(HandshakeError::Expired(_))), "{client:?}");
}

#[tokio::test]
async fn a_certificate_of_the_future_is_not_yet_valid_to_either_side() {
    let ca = Ca::new("one");
    let future =
        |service| credentials(ca.leaf(service).valid(at(600), at(900)).svid(), ca.roots(), &clock(500));

    let (client, _) = meet(&ca.credentials("gateway"), &future("data"), "data").await;
    let (_, server) = meet(&future("gateway"), &ca.credentials("data"), "data").await;

    assert!(matches!(client, Err(HandshakeError::NotYetValid(Some(when))) if when == at(600)), "{client:?}");
    assert!(matches!(server, Err(HandshakeError::NotYetValid(Some(when))) if when == at(600)), "{server:?}");
    assert!(said(&server).contains("not yet valid"), "{}", said(&server));
}

#[tokio::test]
async fn a_foreign_root_is_unknown_to_either_side() {
    let (ours, theirs) = (Ca::new("one"), Ca::new("two"));
    // it trusts us, so that only one side has a reason
    let foreign = |service| credentials(theirs.leaf(service).svid(), ours.roots(), &clock(500));

    let (client, _) = meet(&ours.credentials("gateway"), &foreign("data"), "data").await;
    let (_, server) = meet(&foreign("gateway"), &ours.credentials("data"), "data").await;

    assert!(matches!(client, Err(HandshakeError::UnknownRoot)), "{client:?}");
    assert!(matches!(server, Err(HandshakeError::UnknownRoot)), "{server:?}");
    assert!(said(&server).contains("no root of ours"), "{}", said(&server));
}

#[tokio::test]
async fn a_root_of_our_roots_name_with_another_key_is_unknown() {
    let (ours, theirs) = (Ca::new("one"), Ca::new("one"));
    let foreign = |service| credentials(theirs.leaf(service).svid(), ours.roots(), &clock(500));

    let (client, _) = meet(&ours.credentials("gateway"), &foreign("data"), "data").await;
    let (_, server) = meet(&foreign("gateway"), &ours.credentials("data"), "data").await;

    assert!(matches!(client, Err(HandshakeError::UnknownRoot)), "{client:?}");
    assert!(matches!(server, Err(HandshakeError::UnknownRoot)), "{server:?}");
}

#[tokio::test]
async fn another_service_in_the_place_of_the_one_meant_is_named() {
    let ca = Ca::new("one");

    let (client, server) = meet(&ca.credentials("gateway"), &ca.credentials("auth"), "data").await;

    let words = "expected spiffe://mesh.local/data, got spiffe://mesh.local/auth";
    assert!(said(&client).contains(words), "{}", said(&client));
    assert!(said(&server).contains("refused us"), "{}", said(&server));
}

#[tokio::test]
async fn another_trust_domain_is_a_wrong_identity() {
    let ca = Ca::new("one");
    let stranger = ca.leaf("data").uris(&["spiffe://elsewhere.local/data"]).svid();
    let callee = credentials(stranger, ca.roots(), &clock(500));

    let (client, _) = meet(&ca.credentials("gateway"), &callee, "data").await;

    let words = "expected spiffe://mesh.local/data, got spiffe://elsewhere.local/data";
    assert!(said(&client).contains(words), "{}", said(&client));
}

#[tokio::test]
async fn a_server_is_not_known_by_its_dns_name() {
    let ca = Ca::new("one");
    let imposter = ca.leaf("auth").dns("data.mesh").svid();

    let (client, _) =
        meet(&ca.credentials("gateway"), &credentials(imposter, ca.roots(), &clock(500)), "data").await;

    assert!(matches!(client, Err(HandshakeError::WrongIdentity { .. })), "{client:?}");
}

/// What `data`, which believes `roots`, says of a client with this id by `issuer`.
async fn met_by_data(roots: Roots, issuer: &Ca, id: &str) -> Result<String, HandshakeError> {
    let svid = issuer.leaf("gateway").uris(&[id]).svid();
    let caller = credentials(svid, issuer.roots(), &clock(500));
    let callee = credentials(Ca::new("any").leaf("data").svid(), roots, &clock(500));
    let (near, far) = duplex(64 * 1024);
    // the caller looks for a server of its own trust domain, so the client's side is left out
    let raw = TlsConnector::from(Arc::new(trusting(&caller, &[&TLS13])));

    let name = ServerName::try_from("data.mesh").unwrap();
    let choose = |_: &str| Some(callee.server(Alpn::H2));
    let (_client, server) = tokio::join!(raw.connect(name, near), accept(far, &choose));

    server.map(|accepted| accepted.peer.to_string())
}

#[tokio::test]
async fn a_root_speaks_for_its_own_trust_domain_alone() {
    let (ours, theirs) = (Ca::new("one"), Ca::new("two"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("theirs.pem");
    std::fs::write(&file, theirs.pem()).unwrap();
    let both = || ours.roots().federate("elsewhere.local", std::slice::from_ref(&file)).unwrap();
    let (us, them) = ("spiffe://mesh.local/gateway", "spiffe://elsewhere.local/gateway");

    assert_eq!(met_by_data(both(), &ours, us).await.unwrap(), us);
    assert_eq!(met_by_data(both(), &theirs, them).await.unwrap(), them);

    let forged = met_by_data(both(), &theirs, us).await;
    assert!(matches!(forged, Err(HandshakeError::UnknownRoot)), "{forged:?}");
    let forged = met_by_data(both(), &ours, them).await;
    assert!(matches!(forged, Err(HandshakeError::UnknownRoot)), "{forged:?}");
    let unknown = met_by_data(ours.roots(), &ours, them).await.unwrap_err();
    assert!(matches!(unknown, HandshakeError::UnknownTrustDomain(_)), "{unknown:?}");
    assert!(unknown.to_string().contains("elsewhere.local"), "{unknown}");
}

/// A client that believes every server, and shows what `caller` shows.
fn trusting(caller: &Credentials, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_client_cert_resolver(caller.client(Alpn::H2).client_auth_cert_resolver.clone());
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[derive(Debug)]
struct Gullible;

impl rustls::client::danger::ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What the server `data` says to a client with `config` that asks for `name`.
async fn server_says(config: ClientConfig, name: &'static str) -> HandshakeError {
    let callee = Ca::new("one").credentials("data");
    let (near, far) = duplex(64 * 1024);
    let client = TlsConnector::from(Arc::new(config));
    let choose = |name: &str| (name == "data").then(|| callee.server(Alpn::Both));
    let name = ServerName::try_from(name).unwrap();
    let (_client, server) = tokio::join!(client.connect(name, near), accept(far, &choose));
    server.unwrap_err()
}

#[tokio::test]
async fn a_client_without_certificate_is_named_by_the_server() {
    let mut config = trusting(&Ca::new("one").credentials("gateway"), &[&TLS13]);
    let nothing = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    config.client_auth_cert_resolver = nothing.client_auth_cert_resolver;

    let error = server_says(config, "data.mesh").await;

    assert!(matches!(error, HandshakeError::NoCertificate), "{error:?}");
    assert_eq!(error.to_string(), "the peer presented no certificate");
}

#[tokio::test]
async fn a_client_of_tls_12_is_named_by_the_server() {
    let config = trusting(&Ca::new("one").credentials("gateway"), &[&TLS12]);

    let error = server_says(config, "data.mesh").await;

    assert!(matches!(error, HandshakeError::ProtocolVersion), "{error:?}");
    assert_eq!(error.to_string(), "the peer does not speak TLS 1.3");
}

#[tokio::test]
async fn a_server_of_tls_12_is_named_by_the_client() {
    let ca = Ca::new("one");
    let callee = ca.credentials("data");
    let old = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(callee.server(Alpn::H2).cert_resolver.clone());
    let (near, far) = duplex(64 * 1024);

    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(old));
    let caller = ca.credentials("gateway");
    let (client, _server) = tokio::join!(connect(near, &caller, "data", Alpn::H2), acceptor.accept(far));

    assert!(matches!(client, Err(HandshakeError::ProtocolVersion)), "{client:?}");
}

#[tokio::test]
async fn a_service_that_is_not_here_is_named_by_both_sides() {
    let ca = Ca::new("one");

    let (client, server) = meet(&ca.credentials("gateway"), &ca.credentials("data"), "storage").await;

    assert_eq!(said(&server), "no service \"storage.mesh\" is here");
    assert_eq!(said(&client), "the peer refused us: the service is not there");
}

#[tokio::test]
async fn a_name_outside_of_the_mesh_is_no_service() {
    let caller = Ca::new("one").credentials("gateway");

    let foreign = server_says(trusting(&caller, &[&TLS13]), "data").await;
    let address = server_says(trusting(&caller, &[&TLS13]), "127.0.0.1").await;

    assert!(matches!(foreign, HandshakeError::UnknownService(_)), "{foreign:?}");
    assert!(matches!(address, HandshakeError::NoServerName), "{address:?}");
}

#[tokio::test]
async fn a_certificate_with_two_names_is_refused_by_either_side() {
    let ca = Ca::new("one");
    let two = |service| {
        let issued =
            ca.leaf(service).uris(&["spiffe://mesh.local/gateway", "spiffe://mesh.local/data"]).issue();
        ambiguous(&issued.chain, &issued.key)
    };
    let callee = ca.credentials("data");
    let (near, far) = duplex(64 * 1024);
    let mut config = trusting(&callee, &[&TLS13]);
    config.client_auth_cert_resolver = two("gateway");
    let client = TlsConnector::from(Arc::new(config));

    let name = ServerName::try_from("data.mesh").unwrap();
    let choose = |_: &str| Some(callee.server(Alpn::H2));
    let (refused, server) = tokio::join!(client.connect(name, near), accept(far, &choose));
    let refused = HandshakeError::from(refused.unwrap().read(&mut [0]).await.unwrap_err());
    let (near, far) = duplex(64 * 1024);
    let mut config = ServerConfig::clone(&callee.server(Alpn::H2));
    config.cert_resolver = two("data");
    let choose = |_: &str| Some(Arc::new(config.clone()));
    let caller = ca.credentials("gateway");
    let (client, _server) = tokio::join!(connect(near, &caller, "data", Alpn::H2), accept(far, &choose));

    assert!(matches!(server, Err(HandshakeError::NoIdentity(_))), "{server:?}");
    assert!(refused.to_string().contains("our certificate or our identity"), "{refused}");
    assert!(matches!(client, Err(HandshakeError::NoIdentity(_))), "{client:?}");
    assert!(said(&client).contains("more than one URI"), "{}", said(&client));
}

/// A certificate that `Svid` would not take, as a peer of other make could show it.
fn ambiguous(chain: &str, key: &str) -> Arc<rustls::sign::SingleCertAndKey> {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let certified = rustls::sign::CertifiedKey::from_der(chain, key, &default_provider()).unwrap();
    Arc::new(certified.into())
}

#[tokio::test]
async fn while_roots_change_both_are_believed() {
    let (old, new) = (Ca::new("one"), Ca::new("two"));
    let both = || Roots::from_pem(format!("{}{}", old.pem(), new.pem()).as_bytes()).unwrap();
    let by = |ca: &Ca, service| credentials(ca.leaf(service).svid(), both(), &clock(500));

    for caller in [&old, &new] {
        for callee in [&old, &new] {
            let (client, server) = meet(&by(caller, "gateway"), &by(callee, "data"), "data").await;

            assert!(client.is_ok(), "{client:?}");
            assert!(server.is_ok(), "{server:?}");
        }
    }
}

#[tokio::test]
async fn new_connections_take_the_new_certificate_and_the_new_roots() {
    let (old, new) = (Ca::new("one"), Ca::new("two"));
    let (caller, callee) = (old.credentials("gateway"), old.credentials("data"));
    let (before, _kept) = meet(&caller, &callee, "data").await;

    caller.replace(new.leaf("gateway").svid(), new.roots()).unwrap();
    callee.replace(new.leaf("data").svid(), new.roots()).unwrap();
    let (after, _) = meet(&caller, &callee, "data").await;
    let (behind, _) = meet(&old.credentials("gateway"), &callee, "data").await;

    let leaf =
        |side: &ClientSide| side.as_ref().unwrap().0.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_ne!(leaf(&before), leaf(&after));
    assert!(matches!(behind, Err(HandshakeError::UnknownRoot)), "{behind:?}");
}

/// How the second of two connections was made.
async fn second(client: ClientConfig, server: ServerConfig) -> Option<rustls::HandshakeKind> {
    let (client, server) = (TlsConnector::from(Arc::new(client)), Arc::new(server));
    let mut kind = None;
    for _ in 0..2 {
        let (near, far) = duplex(64 * 1024);
        let choose = |_: &str| Some(server.clone());
        let name = ServerName::try_from("data.mesh").unwrap();
        let (connected, accepted) = tokio::join!(client.connect(name, near), accept(far, &choose));
        let (mut connected, mut accepted) = (connected.unwrap(), accepted.unwrap());
        // tickets come with the first bytes
        accepted.stream.write_all(b"!").await.unwrap();
        accepted.stream.flush().await.unwrap();
        connected.read_exact(&mut [0]).await.unwrap();
        kind = connected.get_ref().1.handshake_kind();
    }
    kind
}

#[tokio::test]
async fn sessions_are_resumed_by_neither_side() {
    let ca = Ca::new("one");
    let (caller, callee) = (ca.credentials("gateway"), ca.credentials("data"));
    let ours = || ClientConfig::clone(&caller.client(Alpn::H2));
    let eager_client = || {
        let mut config = ours();
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        config
    };
    let eager_server = || {
        let mut config = ServerConfig::clone(&callee.server(Alpn::H2));
        config.send_tls13_tickets = 2;
        config
    };
    let server = || ServerConfig::clone(&callee.server(Alpn::H2));

    assert_eq!(second(eager_client(), eager_server()).await, Some(rustls::HandshakeKind::Resumed));
    assert_eq!(second(eager_client(), server()).await, Some(rustls::HandshakeKind::Full));
    assert_eq!(second(ours(), eager_server()).await, Some(rustls::HandshakeKind::Full));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_runs_into_the_time_limit() {
    let ca = Ca::new("one");
    let credentials = ca.credentials("data");
    let (near, _silent) = duplex(1024);
    let (_silent_too, far) = duplex(1024);
    let begun = tokio::time::Instant::now();

    let choose = |_: &str| Some(credentials.server(Alpn::H2));
    let (client, server) = tokio::join!(connect(near, &credentials, "data", Alpn::H2), accept(far, &choose));

    assert!(matches!(client, Err(HandshakeError::Timeout)), "{client:?}");
    assert!(matches!(server, Err(HandshakeError::Timeout)), "{server:?}");
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_after_its_hello_runs_into_the_time_limit() {
    let ca = Ca::new("one");
    let (caller, callee) = (ca.credentials("gateway"), ca.credentials("data"));
    let (mut near, far) = duplex(64 * 1024);
    let name = ServerName::try_from("data.mesh").unwrap();
    let mut hello = rustls::ClientConnection::new(caller.client(Alpn::H2), name).unwrap();
    let mut bytes = Vec::new();
    hello.write_tls(&mut bytes).unwrap();
    near.write_all(&bytes).await.unwrap();

    let server = accept(far, &|_: &str| Some(callee.server(Alpn::H2))).await;

    assert!(matches!(server, Err(HandshakeError::Timeout)), "{server:?}");
}

#[tokio::test]
async fn what_is_no_tls_fails_without_panic() {
    let ca = Ca::new("one");
    let callee = ca.credentials("data");
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"", &[22, 3, 1, 255, 255], &[0; 64]] {
        let (mut near, far) = duplex(1024);
        near.write_all(garbage).await.unwrap();
        near.shutdown().await.unwrap();

        let server = accept(far, &|_: &str| Some(callee.server(Alpn::H2))).await;

        assert!(matches!(server, Err(HandshakeError::Tls(_) | HandshakeError::Io(_))), "{server:?}");
    }
}

#[tokio::test]
async fn a_service_that_can_be_no_name_is_not_asked_for() {
    let ca = Ca::new("one");
    let (near, _far) = duplex(1024);

    let client = connect(near, &ca.credentials("gateway"), "no name", Alpn::H2).await;

    assert!(matches!(client, Err(HandshakeError::UnknownService(_))), "{client:?}");
}
