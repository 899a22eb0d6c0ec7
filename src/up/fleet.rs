//! `up --mesh`: the same installation as processes, joined as they are in production. A control plane, and a sidecar
//! beside each service; the gateway and the platform stay in this process, behind sidecars of their own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use axum::Router;
use base::error::{OrInternal, UNAVAILABLE};
use base::serve::{Listener, serve};
use base::{Result, Secret};
use common::project::Endpoint;
use futures_util::future::join_all;
use http::Method;
use mesh::resource::Listen;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Config;
use crate::child::{Child, bound_to_us};
use crate::{local_http, secret_file};

/// Services that are called, in the order in which they stop.
const CALLED: [&str; 4] = ["data", "storage", "auth", "platform"];
/// Longest time until everything has joined.
const JOIN: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);
/// How long a program may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(15);
/// The pause before a program that ended is started again.
const AGAIN: Duration = Duration::from_secs(1);

/// The processes of an installation, and the folder where they meet.
pub(super) struct Fleet {
    folder: PathBuf,
    executable: PathBuf,
    /// By the order in which they stop: callers before those that they call, the control plane last.
    programs: Vec<Program>,
    tasks: TaskTracker,
    platform: CancellationToken,
}

/// A program that is started again when it ends.
struct Program {
    stop: CancellationToken,
    ended: TaskTracker,
}

impl Fleet {
    /// A folder for sockets, keys and tokens; nothing is started yet.
    pub(super) fn new(folder: PathBuf, executable: PathBuf) -> Result<Fleet> {
        use std::os::unix::fs::DirBuilderExt;
        for name in CALLED.into_iter().chain(["gateway"]) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join(name)).or_internal()?;
        }
        let (tasks, platform) = (TaskTracker::new(), CancellationToken::new());
        Ok(Fleet { folder, executable, programs: Vec::new(), tasks, platform })
    }

    /// Where `service` hands over its calls.
    pub(super) fn outbound(&self, service: &str) -> PathBuf {
        self.folder.join(service).join("out.sock")
    }

    fn admin(&self) -> Listen {
        Listen::Unix(self.folder.join("control.sock"))
    }

    /// Starts the control plane on `store`, serves `platform`, starts everything else, and waits until it can be called.
    pub(super) async fn start(
        &mut self,
        config: &Config,
        store: &Endpoint,
        platform: Router,
        autoconfirm: bool,
    ) -> Result<()> {
        let socket = self.folder.join("platform").join("in.sock");
        let listener = Listener::unix(&socket).or_internal()?;
        self.tasks.spawn(serve(listener, platform, self.platform.clone(), GRACE));
        let [control, join] = [free_port()?, free_port()?];
        let mut programs = vec![self.control(store, [control, join])];
        self.until("the control plane answers", || async {
            self.ask(Method::GET, "/readyz", "").await.is_ok()
        })
        .await?;
        for service in ["gateway"].into_iter().chain(CALLED) {
            let token = self.token(service).await?;
            programs.push(self.sidecar(config, service, &token, [control, join], autoconfirm));
        }
        // the control plane stops last
        programs.rotate_left(1);
        self.programs = programs;
        self.until("everything has joined", || self.has_joined()).await
    }

    fn control(&self, store: &Endpoint, [control, join]: [u16; 2]) -> Program {
        let mut arguments = words(&["control", "--probes", "127.0.0.1:0", "--listen"]);
        arguments.push(format!("127.0.0.1:{control}").into());
        arguments.extend(["--join-listen".into(), format!("127.0.0.1:{join}").into()]);
        arguments.extend(["--admin".into(), self.folder.join("control.sock").into()]);
        arguments.extend(["--master-key".into(), self.folder.join("master.key").into()]);
        // in the environment: a command line is for everybody to read
        self.program(arguments, vec![("MESHBASE_CONTROL_DATABASE_URL", store.url())])
    }

    fn sidecar(
        &self,
        config: &Config,
        service: &str,
        token: &Path,
        [control, join]: [u16; 2],
        autoconfirm: bool,
    ) -> Program {
        let folder = self.folder.join(service);
        let mut arguments =
            words(&["sidecar", "--service", service, "--inbound", "127.0.0.1:0", "--control"]);
        arguments.push(format!("127.0.0.1:{control}").into());
        arguments.extend(["--join".into(), format!("127.0.0.1:{join}").into()]);
        arguments.extend([
            "--join-token".into(),
            token.into(),
            "--state".into(),
            folder.join("state").into(),
        ]);
        arguments.extend(["--admin".into(), folder.join("admin.sock").into()]);
        arguments.extend(["--outbound".into(), unix(&self.outbound(service))]);
        let socket = folder.join("in.sock");
        if service != "gateway" {
            arguments.extend(["--program-at".into(), unix(&socket)]);
        }
        if let Some(flags) = flags(config, service, autoconfirm) {
            arguments.extend(["--".into(), self.executable.clone().into(), service.into()]);
            arguments.extend([
                "--serve".into(),
                unix(&socket),
                "--outbound".into(),
                self.outbound(service).into(),
            ]);
            arguments.extend(["--state-dir".into(), folder.join("service").into()]);
            arguments.extend(flags.into_iter().map(OsString::from));
        }
        self.program(arguments, Vec::new())
    }

    /// Starts a program of ours, and again whenever it ends.
    fn program(&self, arguments: Vec<OsString>, environment: Vec<(&'static str, Secret)>) -> Program {
        let (stop, ended) = (CancellationToken::new(), TaskTracker::new());
        let (executable, until) = (self.executable.clone(), stop.clone());
        ended.spawn(async move {
            let command = || {
                let program = [&[executable.clone().into_os_string()], arguments.as_slice()].concat();
                let mut command = bound_to_us(&executable, &program);
                cleared(&mut command);
                command.envs(environment.iter().map(|(name, value)| (name, value.expose())));
                command
            };
            while !until.is_cancelled() {
                keep(command(), &arguments, &until).await;
            }
        });
        ended.close();
        Program { stop, ended }
    }

    /// A token for `service`: the one of the first start, as long as there is one.
    async fn token(&self, service: &str) -> Result<PathBuf> {
        let path = self.folder.join(service).join("join.token");
        if !path.exists() {
            let made = self.ask(Method::POST, "/tokens", &json!({ "service": service }).to_string()).await?;
            let token = made["token"].as_str().unwrap_or_default();
            secret_file::write(&path, token.as_bytes()).or_internal()?;
        }
        Ok(path)
    }

    /// Whether every service has a stream, and those that are called are found.
    async fn has_joined(&self) -> bool {
        let Ok(status) = self.ask(Method::GET, "/status", "").await else { return false };
        let proxies = status["proxies"].as_array().cloned().unwrap_or_default();
        let has = |service: &str, is_found: bool| {
            let is_it =
                |proxy: &Value| proxy["service"] == service && proxy["presence"].is_object() == is_found;
            proxies.iter().any(is_it)
        };
        CALLED.iter().all(|service| has(service, true)) && has("gateway", false)
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) -> Result<()> {
        let started = Instant::now();
        while !holds().await {
            if started.elapsed() > JOIN {
                let message = format!("waited for {} s until {what}", JOIN.as_secs());
                return Err(UNAVAILABLE.error(message).with_hint("its log lines say why"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> Result<Value> {
        let (status, body) =
            local_http::send_json(&self.admin(), method, path, body.to_owned()).await.or_internal()?;
        match status.is_success() {
            true => Ok(serde_json::from_slice(&body).unwrap_or_default()),
            false => Err(base::Error::internal(String::from_utf8_lossy(&body).into_owned())),
        }
    }

    /// Stops what calls before what is called, the control plane last.
    pub(super) async fn stop(self) {
        let control = self.programs.len().saturating_sub(1);
        let (services, control) = self.programs.split_at(control);
        join_all(services.iter().map(Program::stop)).await;
        self.platform.cancel();
        join_all(control.iter().map(Program::stop)).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Who is not stopped in order is stopped all the same.
impl Drop for Program {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Program {
    async fn stop(&self) {
        self.stop.cancel();
        self.ended.wait().await;
    }
}

/// Runs a program until it ends or is to stop.
async fn keep(command: Command, arguments: &[OsString], until: &CancellationToken) {
    match Child::start(command).await {
        Ok(child) => tokio::select! {
            code = child.exited() => {
                tracing::warn!(?arguments, code, "a program ended and is started again");
                let _ = tokio::time::timeout(AGAIN, until.cancelled()).await;
            }
            () = until.cancelled() => drop(child.stop(GRACE).await),
        },
        Err(error) => {
            tracing::error!(?arguments, error = %base::error::chain(&error), "a program does not start");
            let _ = tokio::time::timeout(AGAIN, until.cancelled()).await;
        }
    }
}

/// What is meant for us is not meant for those that we start: they are told what they need by flags.
fn cleared(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"MESHBASE_"))
    {
        command.env_remove(name);
    }
}

/// The flags of a service that runs as a program of its own, as we were told them.
fn flags(config: &Config, service: &str, autoconfirm: bool) -> Option<Vec<String>> {
    let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
    Some(match service {
        "auth" => {
            let auth = &config.auth;
            let mut flags = vec![
                flag("auth-max-connections", &auth.max_connections),
                flag("auth-max-connections-per-project", &auth.max_connections_per_project),
            ];
            flags.extend(autoconfirm.then(|| "--auth-allow-autoconfirm".to_owned()));
            flags
        }
        "data" => {
            let data = &config.data;
            vec![
                flag("data-connections", &data.connections),
                flag("data-connections-per-project", &data.connections_per_project),
                flag("data-idle-seconds", &data.idle_seconds),
                flag("data-wait-seconds", &data.wait_seconds),
                flag("data-max-body-bytes", &data.max_body_bytes),
            ]
        }
        "storage" => {
            let storage = &config.storage;
            let mut flags = vec![
                flag("storage-max-uploads", &storage.max_uploads),
                flag("storage-max-uploads-per-project", &storage.max_uploads_per_project),
                flag("storage-connections", &storage.connections),
                flag("storage-connections-per-project", &storage.connections_per_project),
            ];
            flags.extend(storage.dir.iter().map(|dir| flag("storage-dir", &dir.display())));
            flags
        }
        _ => return None,
    })
}

fn unix(path: &Path) -> OsString {
    let mut text = OsString::from("unix:");
    text.push(path);
    text
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// A port of loopback that nobody has now.
fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").or_internal()?;
    Ok(listener.local_addr().or_internal()?.port())
}
