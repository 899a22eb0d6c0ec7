//! The embedded PostgreSQL servers of this process: started on first use, stopped when idle.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::error::OrInternal;
use base::{Random, Result};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::migrate::{self, Target};
use crate::postgres::{Server, Spec};

/// The name of the platform's own server; no project can have it, because of the dot.
pub const PLATFORM_SERVER: &str = ".platform";
/// The server of the project that is never stopped for being idle.
const DEFAULT_SERVER: &str = "default";
/// The platform server's port: it names a UNIX socket and nothing else.
const PLATFORM_PORT: u16 = 1;
/// How often idle servers are looked for.
const IDLE_CHECK: Duration = Duration::from_secs(30);
/// How long to wait after a start that failed.
const START_AGAIN: Duration = Duration::from_secs(1);
/// How long the question who is connected may take.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// What all embedded servers have in common.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The folder with a folder per server.
    pub folder: PathBuf,
    /// The folder of their sockets.
    pub sockets: PathBuf,
    /// `--db-port`, for the project `default`.
    pub default_port: u16,
    /// Nothing is synced to disk.
    pub ephemeral: bool,
    /// This binary.
    pub executable: PathBuf,
    /// `--pg-bin`.
    pub bin: Option<PathBuf>,
    /// A server that nobody was connected to for this long is stopped; `default` never is.
    pub idle_stop: Duration,
}

/// A server's place: locked while it starts or stops, so that whoever wants it waits for either.
type Slot = Arc<Mutex<Option<Arc<Server>>>>;

/// The embedded servers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Servers {
    embedded: Embedded,
    random: Random,
    slots: Arc<std::sync::Mutex<HashMap<String, Slot>>>,
    stopping: CancellationToken,
}

impl Servers {
    /// None is started yet.
    pub fn new(embedded: Embedded, random: Random) -> Servers {
        Servers { embedded, random, slots: Arc::default(), stopping: CancellationToken::new() }
    }

    /// The running server `name` with our newest schemas; started if it is not running.
    ///
    /// A start goes on though the request that asked for it has given up: recovery after a crash may take longer than
    /// any request waits.
    pub async fn ensure(&self, name: &str) -> Result<Arc<Server>> {
        let slot = self.slot(name);
        if let Ok(running) = slot.try_lock()
            && let Some(server) = running.as_ref().filter(|server| server.is_running())
        {
            return Ok(server.clone());
        }
        let (servers, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move { servers.start(&name, &slot).await }).await.or_internal()?
    }

    async fn start(&self, name: &str, slot: &Slot) -> Result<Arc<Server>> {
        let mut running = slot.lock().await;
        let last_port = match running.as_ref() {
            Some(server) if server.is_running() => return Ok(server.clone()),
            stopped => stopped.map(|server| server.admin().port),
        };
        let server = match Server::start(self.spec(name, last_port), &self.random).await {
            // the port of last time may be somebody else's now: any other will do, the project's document says which
            Err(error) if last_port.is_some() && name != DEFAULT_SERVER => {
                tracing::warn!(name, error = %base::error::chain(&error), "its server starts on another port");
                Server::start(self.spec(name, None), &self.random).await?
            }
            other => other?,
        };
        let target = if name == PLATFORM_SERVER { Target::Platform } else { Target::Project };
        migrate::run(target, &mut migrate::connect(server.admin()).await?).await?;
        let server = Arc::new(server);
        *running = Some(server.clone());
        if name == PLATFORM_SERVER {
            self.keep(&server);
        }
        Ok(server)
    }

    /// Starts the platform's own server again when it ends by itself: nobody wakes it, as requests wake a project's.
    fn keep(&self, server: &Server) {
        let (mut exit, servers) = (server.exit(), self.clone());
        tokio::spawn(async move {
            let ended = async {
                let _ = exit.wait_for(Option::is_some).await;
                tracing::error!("the platform's PostgreSQL ended, and is started again");
                // a start that succeeds has a keeper of its own
                while let Err(error) = servers.ensure(PLATFORM_SERVER).await {
                    tracing::error!(error = %base::error::chain(&error), "the platform's PostgreSQL does not start");
                    tokio::time::sleep(START_AGAIN).await;
                }
            };
            tokio::select! { () = servers.stopping.cancelled() => {}, () = ended => {} }
        });
    }

    /// Stops every server and waits for them.
    pub async fn stop(&self) {
        self.stopping.cancel();
        let stops = self.all().into_iter().map(async |(_, slot)| {
            if let Some(server) = slot.lock().await.take() {
                server.stop().await;
            }
        });
        futures_util::future::join_all(stops).await;
    }

    /// Stops servers that nobody is connected to, for as long as the process lives.
    pub async fn stop_idle(&self) {
        // by process: a server that was started again has its whole time before it
        let mut idle_since: HashMap<i32, Instant> = HashMap::new();
        loop {
            tokio::time::sleep(IDLE_CHECK.min(self.embedded.idle_stop)).await;
            let mut still_idle = HashMap::new();
            for (name, slot) in self.all() {
                if name == DEFAULT_SERVER || name == PLATFORM_SERVER {
                    continue;
                }
                let running = slot.lock().await;
                let Some(server) = running.as_ref().filter(|server| server.is_running()) else { continue };
                if in_use(server).await {
                    continue;
                }
                let since = idle_since.get(&server.pid()).copied().unwrap_or_else(Instant::now);
                if since.elapsed() < self.embedded.idle_stop {
                    still_idle.insert(server.pid(), since);
                    continue;
                }
                tracing::info!(project = name, "its database is idle: stopped until somebody asks");
                server.stop().await;
            }
            idle_since = still_idle;
        }
    }

    fn slot(&self, name: &str) -> Slot {
        let mut slots = self.slots.lock().expect("no holder of this lock panics");
        slots.entry(name.to_owned()).or_default().clone()
    }

    fn all(&self) -> Vec<(String, Slot)> {
        let slots = self.slots.lock().expect("no holder of this lock panics");
        slots.iter().map(|(name, slot)| (name.clone(), slot.clone())).collect()
    }

    fn spec(&self, name: &str, last_port: Option<u16>) -> Spec {
        let port = match name {
            PLATFORM_SERVER => PLATFORM_PORT,
            DEFAULT_SERVER => last_port.unwrap_or(self.embedded.default_port),
            _ => last_port.unwrap_or(0),
        };
        Spec {
            folder: self.embedded.folder.join(name),
            sockets: self.embedded.sockets.clone(),
            port,
            tcp: name != PLATFORM_SERVER,
            ephemeral: self.embedded.ephemeral,
            executable: self.embedded.executable.clone(),
            bin: self.embedded.bin.clone(),
        }
    }
}

/// Whether anybody but us is connected: a session, or a replica. One that does not answer counts as in use.
async fn in_use(server: &Server) -> bool {
    let count = async {
        let mut connection = migrate::connect(server.admin()).await?;
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity
             WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut connection)
        .await
        .or_internal()
    };
    !matches!(timeout(ASK_WITHIN, count).await, Ok(Ok(0)))
}
