//! Against an API server of our own that answers as real ones do: a script of connections, each a list or a watch.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// What one request is answered with: a status, and the parts of the body as they come. An open answer hangs.
struct Answer {
    status: u16,
    parts: Vec<String>,
    open: bool,
}

fn list(version: &str, slices: &[Value]) -> Answer {
    let list = json!({ "kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1",
                       "metadata": { "resourceVersion": version }, "items": slices });
    Answer { status: 200, parts: vec![list.to_string()], open: false }
}

fn watch(events: &[Value], open: bool) -> Answer {
    let parts = events.iter().map(|event| format!("{event}\n")).collect();
    Answer { status: 200, parts, open }
}

fn event(kind: &str, object: Value) -> Value {
    json!({ "type": kind, "object": object })
}

/// A slice as the controller of EndpointSlices writes it.
fn slice(name: &str, version: &str, addresses: &[(&str, Value)]) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|(address, ready)| {
            json!({ "addresses": [address], "zone": "eu-1a", "nodeName": "node-1",
                    "conditions": { "ready": ready, "serving": true, "terminating": false },
                    "targetRef": { "kind": "Pod", "name": "data-1", "namespace": "shop" } })
        })
        .collect();
    json!({ "metadata": { "name": name, "namespace": "shop", "resourceVersion": version,
                          "labels": { "kubernetes.io/service-name": "data" } },
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{ "name": "probes", "port": 9440, "protocol": "TCP" },
                      { "name": "mesh", "port": 9443, "protocol": "TCP" }] })
}

struct Server {
    port: u16,
    account: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(script: Vec<Answer>) -> Server {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let account = tempfile::tempdir().unwrap();
        for (name, text) in
            [("ca.crt", cert.pem()), ("token", "secret\n".into()), ("namespace", "shop".into())]
        {
            std::fs::write(account.path().join(name), text).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, acceptor) = (Arc::<Mutex<Vec<String>>>::default(), TlsAcceptor::from(Arc::new(tls)));
        let seen = asked.clone();
        tokio::spawn(async move {
            for answer in script {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    assert_ne!(stream.read_line(&mut request).await.unwrap(), 0);
                }
                seen.lock().unwrap().push(request);
                let length = answer.parts.iter().map(String::len).sum::<usize>();
                let framing =
                    if answer.open { String::new() } else { format!("content-length: {length}\r\n") };
                let head = format!("HTTP/1.1 {} x\r\n{framing}\r\n", answer.status);
                stream.write_all(head.as_bytes()).await.unwrap();
                for part in &answer.parts {
                    stream.write_all(part.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                }
                if answer.open {
                    tokio::spawn(async move { drop(stream.read(&mut [0]).await) });
                } else {
                    let _ = stream.shutdown().await;
                }
            }
        });
        Server { port, account, asked }
    }

    fn watch(&self) -> BoxStream<'static, Result<Vec<Found>, String>> {
        let api = Api::at("127.0.0.1", self.port, self.account.path(), None).unwrap();
        Kubernetes::new(api, "data", Some("mesh")).watch("data")
    }

    /// The paths that were asked for.
    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect()
    }
}

/// The next set, as it is written.
async fn next(sets: &mut BoxStream<'static, Result<Vec<Found>, String>>) -> Result<Vec<String>, String> {
    let next = tokio::time::timeout(Duration::from_secs(30), sets.next()).await;
    next.expect("it comes")
        .expect("it goes on")
        .map(|found| found.iter().map(|found| found.address.to_string()).collect())
}

fn set(addresses: &[&str]) -> Result<Vec<String>, String> {
    Ok(addresses.iter().map(|address| format!("{address}:9443")).collect())
}

#[tokio::test]
async fn a_list_is_followed_by_what_changes() {
    let ready = [("10.0.0.1", json!(true)), ("10.0.0.2", json!(false)), ("10.0.0.3", Value::Null)];
    let server = Server::start(vec![
        list("7", &[slice("data-a", "5", &ready)]),
        watch(
            &[
                event("ADDED", slice("data-b", "8", &[("10.0.0.4", json!(true))])),
                event("MODIFIED", slice("data-a", "9", &[("10.0.0.2", json!(true))])),
                event("DELETED", slice("data-b", "10", &[])),
            ],
            true,
        ),
    ])
    .await;
    let mut sets = server.watch();

    assert_eq!(next(&mut sets).await, set(&["10.0.0.1", "10.0.0.3"]), "who is not ready is not there");
    assert_eq!(next(&mut sets).await, set(&["10.0.0.1", "10.0.0.3", "10.0.0.4"]));
    assert_eq!(next(&mut sets).await, set(&["10.0.0.2", "10.0.0.4"]));
    assert_eq!(next(&mut sets).await, set(&["10.0.0.2"]));

    let asked = server.asked();
    let slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices\
                  ?labelSelector=kubernetes.io%2Fservice-name%3Ddata";
    assert_eq!(asked[0], slices);
    assert!(asked[1].starts_with(slices) && asked[1].ends_with("&resourceVersion=7"), "{}", asked[1]);
    assert!(server.asked.lock().unwrap()[0].to_lowercase().contains("authorization: bearer secret\r\n"));
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let bookmark = json!({ "kind": "EndpointSlice", "metadata": { "resourceVersion": "30" } });
    let server = Server::start(vec![
        list("7", &[slice("data-a", "5", &[("10.0.0.1", json!(true))])]),
        watch(&[event("BOOKMARK", bookmark)], false),
        watch(&[event("MODIFIED", slice("data-a", "31", &[("10.0.0.2", json!(true))]))], false),
        watch(&[], true),
    ])
    .await;
    let mut sets = server.watch();

    assert_eq!(next(&mut sets).await, set(&["10.0.0.1"]));
    assert_eq!(next(&mut sets).await, set(&["10.0.0.2"]));

    let asked = server.asked();
    assert!(asked[1].ends_with("resourceVersion=7") && asked[2].ends_with("resourceVersion=30"), "{asked:?}");
    assert!(tokio::time::timeout(Duration::from_millis(700), sets.next()).await.is_err(), "nothing changed");
    assert!(server.asked()[3].ends_with("resourceVersion=31"));
}

#[tokio::test]
async fn what_is_too_old_begins_with_a_new_list() {
    let expired = json!({ "kind": "Status", "status": "Failure", "reason": "Expired", "code": 410,
                          "message": "too old resource version: 7 (90)" });
    let gone = Answer { status: 410, parts: vec![expired.to_string()], open: false };
    let server = Server::start(vec![
        list("7", &[slice("data-a", "5", &[("10.0.0.1", json!(true))])]),
        watch(&[event("ERROR", expired)], false),
        // the slice was deleted meanwhile: only a list can tell
        list("90", &[]),
        gone,
        list("91", &[slice("data-c", "91", &[("10.0.0.3", json!(true))])]),
    ])
    .await;
    let mut sets = server.watch();

    assert_eq!(next(&mut sets).await, set(&["10.0.0.1"]));
    assert_eq!(next(&mut sets).await, set(&[]));
    assert_eq!(next(&mut sets).await, set(&["10.0.0.3"]));
}

#[tokio::test]
async fn what_fails_is_told_and_tried_again() {
    let status = json!({ "kind": "Status", "code": 403, "message": "endpointslices is forbidden" });
    let forbidden = Answer { status: 403, parts: vec![status.to_string()], open: false };
    let half = Answer { status: 200, parts: vec!["{\"type\":\"MODI".to_owned()], open: false };
    let server = Server::start(vec![
        forbidden,
        list("7", &[slice("data-a", "5", &[("10.0.0.1", json!(true))])]),
        half,
        watch(&[event("MODIFIED", slice("data-a", "8", &[("10.0.0.2", json!(true))]))], true),
    ])
    .await;
    let mut sets = server.watch();

    assert_eq!(
        next(&mut sets).await,
        Err("the API server answers 403: endpointslices is forbidden".to_owned())
    );
    assert_eq!(next(&mut sets).await, set(&["10.0.0.1"]));
    assert_eq!(next(&mut sets).await, set(&["10.0.0.2"]), "half a line is nothing");
}

#[tokio::test]
async fn a_version_that_is_refused_begins_with_a_new_list_after_a_pause() {
    let status = json!({ "kind": "Status", "code": 400, "message": "invalid resource version" });
    let refused = || Answer { status: 400, parts: vec![status.to_string()], open: false };
    let gone = || Answer { status: 410, parts: vec!["{}".to_owned()], open: false };
    let listed = |version| list(version, &[slice("data-a", version, &[("10.0.0.1", json!(true))])]);
    let script = vec![listed("7"), refused(), listed("8"), gone(), listed("9"), gone(), listed("10")];
    let server = Server::start(script).await;
    let mut sets = server.watch();
    let begun = Instant::now();

    assert_eq!(next(&mut sets).await, set(&["10.0.0.1"]));
    assert_eq!(next(&mut sets).await, Err("the API server answers 400: invalid resource version".to_owned()));
    for _ in 0..3 {
        assert_eq!(next(&mut sets).await, set(&["10.0.0.1"]));
    }

    // each of the pauses is twice the one before, and before a list and the watch after it
    assert!(begun.elapsed() >= *PAUSES.start() * (1 + 1 + 2 + 2 + 4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn another_server_in_its_place_is_not_believed() {
    let (server, other) = (Server::start(vec![list("7", &[])]).await, Server::start(vec![]).await);
    std::fs::copy(other.account.path().join("ca.crt"), server.account.path().join("ca.crt")).unwrap();

    let refused = next(&mut server.watch()).await.unwrap_err();

    assert!(refused.starts_with("the API server does not answer: invalid peer certificate"), "{refused}");
    assert!(server.asked().is_empty(), "it was shown no token");
}

#[test]
fn a_port_is_meant_by_its_name_and_addresses_are_ip() {
    let read = |value: Value| serde_json::from_value::<Slice>(value).unwrap();
    let both = slice("a", "1", &[("10.0.0.1", json!(true))]);
    assert_eq!(read(both.clone()).found(Some("probes"))[0].address.to_string(), "10.0.0.1:9440");
    assert_eq!(read(both.clone()).found(None), [], "which of the two is not known");
    assert_eq!(read(both.clone()).found(Some("other")), []);
    assert_eq!(read(both.clone()).found(Some("mesh"))[0].zone.as_deref(), Some("eu-1a"));
    let mut named = both;
    named["addressType"] = json!("FQDN");
    assert_eq!(read(named).found(Some("mesh")), []);
    let empty = json!({ "metadata": { "name": "a", "resourceVersion": "1" }, "addressType": "IPv6",
                        "endpoints": null, "ports": null });
    assert_eq!(read(empty).found(None), []);
}

#[test]
fn outside_of_a_pod_that_is_said() {
    assert!(Api::in_cluster(None).err().unwrap().contains("this is no pod"));
}
