//! The projects in use: each with its pool, its schema cache and its listener, all gone when it is idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use base::Result;
use base::error::Source;
use base::gcra::{Limiter, Rate};
use base::{Clock, Error};
use common::claims::Claims;
use common::db::Budget;
use common::project::Document;
use common::service::Tasks;
use common::{ProjectRef, Projects};
use deadpool::managed::PoolError;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use tokio::sync::Mutex;
use tokio_postgres::Config;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connection::{Pool, config, is_asleep, pool};
use super::counters::{Counted, Counters};
use super::introspect;
use super::kept::Kept;
use super::lease::Lease;
use super::listener;
use super::tls::Tls;
use super::turns::Turns;
use super::wire::Failure;
use crate::error::envelope::internal;
use crate::error::{CONNECTION, POOL_TIMEOUT, unavailable};
use crate::schema::load::Catalog;
use crate::settings::Settings;
use crate::snapshot::Snapshot;

/// Reloads that requests for unknown names may cause in a project.
const RELOADS_ON_MISS: Rate = Rate { burst: 4, period: Duration::from_secs(20) };
/// Projects whose reloads are counted at once.
const MAX_COUNTED: usize = 10_000;
/// Most verified tokens of a project that are remembered, whatever it asks for.
const MAX_PROVEN: u64 = 10_000;
/// How often idle projects and connections are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// All projects in use, least recently used first out. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Actives(Arc<Inner>);

struct Inner {
    active: Cache<ProjectRef, Arc<Active>>,
    projects: Projects,
    budget: Budget,
    tasks: Tasks,
    clock: Clock,
    misses: Limiter<ProjectRef>,
    kept: Kept,
}

impl Actives {
    /// Opens nothing yet.
    pub(crate) fn start(
        projects: Projects,
        budget: Budget,
        kept: Kept,
        tasks: Tasks,
        clock: Clock,
    ) -> Actives {
        let active = Cache::builder()
            .max_capacity(budget.projects())
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(budget.idle)
            .build();
        let misses = Limiter::new(RELOADS_ON_MISS, MAX_COUNTED);
        let actives =
            Actives(Arc::new(Inner { active, projects, budget, tasks: tasks.clone(), clock, misses, kept }));
        let swept = actives.clone();
        tasks.spawn(async move { swept.sweep().await });
        actives
    }

    /// The project, made active if it is not. A changed document makes a new one.
    pub(crate) async fn of(&self, document: &Document) -> Result<Arc<Active>> {
        if let Some(active) = self.0.active.get(&document.reference).await
            && active.version == document.version
        {
            return Ok(active);
        }
        // what happens once is kept out of the future of every request, which is moved more often than it is polled
        Box::pin(self.open(document)).await
    }

    async fn open(&self, document: &Document) -> Result<Arc<Active>> {
        let settings = document.settings::<Settings>()?;
        let endpoint = document.database.as_ref().ok_or_else(|| internal("the project has no database"))?;
        let fresh = async {
            let stop = CancellationToken::new();
            let kept = kept_snapshot(&self.0.kept, document, &settings).await;
            let proven = Cache::builder()
                .max_capacity(settings.jwt_cache_max_entries.min(MAX_PROVEN))
                .weigher(|token: &String, _| 1 + u32::try_from(token.len() / 1024).unwrap_or(u32::MAX - 1))
                .build();
            let pool = pool(endpoint, &self.0.budget);
            let active = Arc::new(Active {
                reference: document.reference.clone(),
                version: document.version,
                settings,
                turns: Turns::of(pool.status().max_size, self.0.budget.wait),
                pool,
                config: config(endpoint, self.0.budget.wait),
                tls: Tls::of(endpoint.tls),
                projects: self.0.projects.clone(),
                generation: AtomicU64::new(kept.as_ref().map_or(0, |kept| kept.schema.generation)),
                snapshot: ArcSwapOption::from_pointee(kept),
                kept: self.0.kept.clone(),
                tasks: self.0.tasks.clone(),
                proven,
                counters: Counters::default(),
                loading: Mutex::new(()),
                waking: Mutex::new(()),
                _stop: stop.clone().drop_guard(),
            });
            let listener = listener::listen(Arc::downgrade(&active));
            self.0.tasks.spawn(async move {
                tokio::select! { () = stop.cancelled() => {}, () = listener => {} }
            });
            active
        };
        let entry = self.0.active.entry_by_ref(&document.reference);
        let version = document.version;
        Ok(entry.or_insert_with_if(fresh, |old| old.version != version).await.into_value())
    }

    /// The project as it is now, if it may reload for a name that was not found.
    ///
    /// `None` when it reloaded too often of late: the name is not there.
    pub(crate) async fn after_miss(&self, active: &Active) -> Result<Option<Arc<Snapshot>>> {
        if self.0.misses.check(active.reference.clone(), self.0.clock.now()).is_err() {
            return Ok(None);
        }
        // a load that is under way may have looked before the name was made
        let begun = active.generation.load(Ordering::Relaxed);
        Box::pin(active.newer_than(begun)).await.map(Some)
    }

    /// Closes what nobody uses, for as long as the process lives.
    async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.0.active.run_pending_tasks().await;
            for (_, active) in &self.0.active {
                active.pool.retain(|_, metrics| metrics.last_used() < self.0.budget.idle);
            }
        }
    }
}

/// A project in use. When the last holder drops it, its pool closes and its listener stops, so that an idle
/// database can be stopped too.
pub(crate) struct Active {
    reference: ProjectRef,
    version: i64,
    /// As the project's document has them.
    settings: Settings,
    pool: Pool,
    turns: Turns,
    config: Config,
    tls: Tls,
    projects: Projects,
    snapshot: ArcSwapOption<Snapshot>,
    kept: Kept,
    tasks: Tasks,
    generation: AtomicU64,
    /// The claims of tokens that were proven with the project's keys, by token.
    proven: Cache<String, Arc<Claims>>,
    counters: Counters,
    /// Held while a snapshot is loaded: whoever waits finds it loaded.
    loading: Mutex<()>,
    /// Held while the database is woken.
    waking: Mutex<()>,
    _stop: DropGuard,
}

impl Active {
    /// The claims of a token that was proven before.
    pub(crate) async fn proven(&self, token: &str) -> Option<Arc<Claims>> {
        let known = self.proven.get(token).await;
        self.counters.token(known.is_some());
        known
    }

    /// Remembers a proven token.
    pub(crate) async fn prove(&self, token: &str, claims: Arc<Claims>) {
        self.proven.insert(token.to_owned(), claims).await;
    }

    /// What it has counted.
    pub(crate) fn counted(&self) -> Counted {
        self.counters.with(self.pool.status())
    }

    /// Whether the database answers.
    pub(crate) async fn answers(&self) -> Result<()> {
        let mut lease = self.lease().await?;
        lease.connection().wire.ask().answers().await.map_err(unreachable)?;
        lease.finish();
        Ok(())
    }

    /// How to connect, for the listener.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// How often to ask for changes, for the listener.
    pub(crate) fn poll(&self) -> Duration {
        Duration::from_secs(self.settings.schema_poll_seconds.max(1))
    }

    /// How to encrypt, for the listener.
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The project as it was found last: at once if it was, however long ago; else loaded.
    ///
    /// Errors: PGRST000 to PGRST003.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        match self.snapshot.load_full() {
            Some(snapshot) => Ok(snapshot),
            None => Box::pin(self.newer_than(0)).await,
        }
    }

    /// Loads it anew, while requests go on with the old one.
    pub(crate) async fn reload(&self) -> Result<Arc<Snapshot>> {
        let _turn = self.loading.lock().await;
        self.load().await
    }

    /// One newer than the generation, which somebody else may have loaded meanwhile.
    async fn newer_than(&self, generation: u64) -> Result<Arc<Snapshot>> {
        let _turn = self.loading.lock().await;
        match self.snapshot.load_full() {
            Some(snapshot) if snapshot.schema.generation > generation => Ok(snapshot),
            _ => self.load().await,
        }
    }

    /// Only under `loading`.
    async fn load(&self) -> Result<Arc<Snapshot>> {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        let lease = self.lease().await?;
        let began = Instant::now();
        let read = introspect::read(lease, &self.settings).await;
        self.counters.loaded(began.elapsed(), read.is_ok());
        let catalog = Arc::new(read?);
        let assembled = assembled(catalog.clone(), self.settings.clone(), generation).await;
        let snapshot = Arc::new(assembled.map_err(introspect::not_loaded)?);
        let old = self.snapshot.swap(Some(snapshot.clone()));
        // taking a large one apart would keep requests waiting
        tokio::task::spawn_blocking(move || drop(old));
        let (kept, project, version) = (self.kept.clone(), self.reference.clone(), self.version);
        self.tasks.spawn(async move { kept.write(&project, version, catalog).await });
        Ok(snapshot)
    }

    /// A connection. A sleeping database is woken once.
    ///
    /// Errors: PGRST000 for no connection, PGRST003 if none came free in time.
    pub(crate) async fn lease(&self) -> Result<Lease> {
        match self.pool.get().await {
            Ok(loan) => Ok(Lease::new(loan)),
            Err(PoolError::Backend(error)) if is_asleep(&error) => Box::pin(self.wake()).await,
            Err(error) => Err(self.no_connection(error)),
        }
    }

    /// Turns to send lines.
    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    async fn wake(&self) -> Result<Lease> {
        let _turn = self.waking.lock().await;
        // whoever was here before may have woken it
        match self.pool.get().await {
            Ok(loan) => return Ok(Lease::new(loan)),
            Err(PoolError::Backend(error)) if is_asleep(&error) => {}
            Err(error) => return Err(self.no_connection(error)),
        }
        self.projects.wake(&self.reference).await.map_err(unreachable)?;
        self.pool.get().await.map(Lease::new).map_err(|error| self.no_connection(error))
    }

    fn no_connection(&self, error: PoolError<Failure>) -> Error {
        let PoolError::Timeout(_) = error else { return unreachable(error) };
        self.counters.timed_out();
        unavailable(POOL_TIMEOUT, "Timed out acquiring connection from connection pool.").caused_by(error)
    }
}

/// What was kept of a project, while its database has not been asked yet.
async fn kept_snapshot(kept: &Kept, document: &Document, settings: &Settings) -> Option<Snapshot> {
    let catalog = kept.read(&document.reference, document.version).await?;
    // what cannot be used any more is read anew
    assembled(Arc::new(catalog), settings.clone(), 1).await.ok()
}

/// The snapshot that a catalog makes. On a thread of its own: a large one would keep requests waiting.
async fn assembled(catalog: Arc<Catalog>, settings: Settings, generation: u64) -> Result<Snapshot, Source> {
    let assemble = move || Snapshot::of(&catalog, &settings, generation);
    Ok(tokio::task::spawn_blocking(assemble).await??)
}

fn unreachable(cause: impl Into<Source>) -> Error {
    unavailable(CONNECTION, "Database connection error.").caused_by(cause)
}
