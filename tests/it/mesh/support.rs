//! Proxies, origins, certificates, and load.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use base::serve::{Listener, serve};
use base::{Body, Request, Response, header};
use common::Outbound;
use http::{HeaderValue, StatusCode};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, SanType};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{binary, process::folder};

/// A certificate authority and the folder where its certificates are.
pub struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = folder();
        std::fs::write(folder.path().join("root.pem"), issuer.pem()).unwrap();
        Authority { folder, issuer }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lines of a workload's section that name its certificate, which is made.
    pub fn identity(&self, service: &str) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let id = format!("spiffe://test.local/{service}");
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (chain, secret) = (self.path(&format!("{service}.pem")), self.path(&format!("{service}.key")));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        format!("certificate: {}, key: {}", chain.display(), secret.display())
    }

    pub fn roots(&self) -> String {
        format!("roots: [{}]", self.path("root.pem").display())
    }
}

/// A running `meshbase sidecar`.
pub struct Proxy {
    child: Child,
    /// What `--json` printed: where it listens.
    pub addresses: Value,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts a proxy with `config` and waits until it serves.
    pub fn start(config: &str) -> Proxy {
        Proxy::beside(config, &[])
    }

    /// The same with a program that it starts.
    pub fn beside(config: &str, program: &[&str]) -> Proxy {
        let folder = folder();
        let file = folder.path().join("mesh.yaml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(binary());
        command.arg("sidecar").arg("--json").arg("--config").arg(&file);
        if !program.is_empty() {
            command.arg("--").args(program);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("it does not start:\n{config}"));
        Proxy { child, addresses, _folder: folder }
    }

    pub fn inbound(&self) -> &str {
        self.addresses["inbound"].as_str().expect("it has an inbound door")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM; its exit code, once it has drained.
    pub fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it is ours").code()
    }

    /// Memory that is its own, in KiB.
    pub fn anonymous_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How an origin behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    #[allow(dead_code, reason = "what an origin is before somebody sets it")]
    Well,
    /// 503 at once.
    Failing,
    /// A second more for each answer.
    Slow,
    /// 503, marked as overload.
    Overloaded,
}

/// A program on a TCP port that counts what it is asked.
pub struct Origin {
    pub address: SocketAddr,
    pub seen: Arc<AtomicU64>,
    mood: Arc<AtomicU8>,
    stop: CancellationToken,
}

impl Origin {
    pub async fn start() -> Origin {
        Origin::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(address: SocketAddr) -> Origin {
        let listener = Listener::tcp(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, mood, stop) =
            (Arc::<AtomicU64>::default(), Arc::<AtomicU8>::default(), CancellationToken::new());
        let (counted, moody) = (seen.clone(), mood.clone());
        let service = tower::service_fn(move |_: Request| {
            counted.fetch_add(1, Ordering::Relaxed);
            let mood = moody.load(Ordering::Relaxed);
            async move { Ok::<_, Infallible>(answer(mood).await) }
        });
        tokio::spawn(serve(listener, service, stop.clone(), Duration::ZERO));
        Origin { address, seen, mood, stop }
    }

    pub fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Its port is closed; connections that are open end.
    pub fn kill(&self) {
        self.stop.cancel();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn answer(mood: u8) -> Response {
    let mut response = Response::new(Body::from("hello"));
    if mood == Mood::Slow as u8 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if mood == Mood::Failing as u8 || mood == Mood::Overloaded as u8 {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    if mood == Mood::Overloaded as u8 {
        response.headers_mut().insert(header::FAULT, HeaderValue::from_static("overload"));
    }
    response
}

/// What came of one request of a load.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From when it was due to its answer's end.
    pub latency: Duration,
    /// Whether it was answered with 2xx to its end.
    pub good: bool,
}

/// Sends `rate` requests a second for `length`, whether answers come or not; each counts from when it was due.
pub async fn load(calls: &Outbound, url: &str, rate: u32, length: Duration) -> Vec<Sample> {
    load_with(rate, length, || {
        let (calls, url) = (calls.clone(), url.to_owned());
        async move { get(&calls, &url).await.is_some_and(|status| status.is_success()) }
    })
    .await
}

/// The same with any request; `send` says whether it went well.
pub async fn load_with<F>(rate: u32, length: Duration, send: impl Fn() -> F) -> Vec<Sample>
where
    F: Future<Output = bool> + Send + 'static,
{
    let started = Instant::now();
    let total = rate * u32::try_from(length.as_secs()).unwrap();
    let mut running = Vec::new();
    for n in 0..total {
        let at = Duration::from_secs(1) * n / rate;
        tokio::time::sleep_until(started + at).await;
        let request = send();
        running.push(tokio::spawn(async move {
            let good = request.await;
            Sample { latency: started.elapsed().saturating_sub(at), good }
        }));
    }
    let mut samples = Vec::new();
    for sample in running {
        samples.push(sample.await.unwrap());
    }
    samples
}

/// One request to its answer's end.
pub async fn get(calls: &Outbound, url: &str) -> Option<StatusCode> {
    let request = http::Request::get(url).body(Body::empty()).unwrap();
    let response = calls.send(request).await.ok()?;
    let status = response.status();
    axum::body::to_bytes(response.into_body(), 1 << 20).await.ok()?;
    Some(status)
}

pub fn failures(samples: &[Sample]) -> usize {
    samples.iter().filter(|sample| !sample.good).count()
}

/// The latency that `part` (0 to 1) of the samples are below.
pub fn quantile(samples: &[Sample], part: f64) -> Duration {
    let mut latencies: Vec<Duration> = samples.iter().map(|sample| sample.latency).collect();
    latencies.sort();
    let at = ((latencies.len() - 1) as f64 * part).round() as usize;
    latencies[at]
}

/// A client of the proxy's outbound socket.
pub fn client(socket: &Path) -> Outbound {
    Outbound::unix(socket.to_owned())
}
