//! The client for project documents: on demand, invalidated by the platform's change stream, last good on disk.
//!
//! While the platform is away every project that was ever asked for goes on working from its last good document.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base::error::OrInternal;
use base::{Body, Code, Error, Result};
use futures_util::StreamExt;
use moka::future::Cache;
use serde::{Deserialize, Serialize};

use crate::outbound::Outbound;
use crate::project::{Document, ProjectRef};
use crate::service::Tasks;

/// No project has this reference.
pub const PROJECT_NOT_FOUND: Code = Code::new(404, "project_not_found");

/// Documents kept in memory at once.
const MAX_DOCUMENTS: u64 = 10_000;
/// How long "no such project" is remembered.
const ABSENT_FOR: Duration = Duration::from_secs(2);
/// Pause before the change stream is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// Longest line of the change stream, in bytes.
const MAX_LINE_BYTES: usize = 4096;

/// One line of the change stream `GET http://platform.mesh/internal/changes?since=VERSION` (NDJSON).
///
/// The platform writes a line for every project that changed after `since`, then stays open and writes more;
/// a line without a reference is a heartbeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The project that changed.
    pub reference: Option<ProjectRef>,
    /// The newest version so far.
    pub version: i64,
}

/// One project: the answer of `GET …/internal/keys/{sha256}` and `GET …/internal/sole-project`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// The project.
    pub reference: ProjectRef,
}

/// Hands out project documents. Cheap to clone.
#[derive(Clone)]
pub struct Projects(Arc<Inner>);

struct Inner {
    fixed: Option<Arc<Document>>,
    outbound: Outbound,
    last_good: PathBuf,
    documents: Cache<ProjectRef, Arc<Document>>,
    absent: Cache<String, ()>,
    owners: Cache<String, ProjectRef>,
    sole: Cache<(), Option<ProjectRef>>,
    seen: AtomicI64,
    /// Held while a document is written to disk.
    keeping: tokio::sync::Mutex<()>,
}

impl Projects {
    /// Starts the client; `state_dir` keeps the last good documents (they hold credentials: mode 0700).
    pub fn start(outbound: Outbound, state_dir: PathBuf, tasks: &Tasks) -> Projects {
        let projects = Projects::new(None, outbound, state_dir);
        let watcher = projects.clone();
        tasks.spawn(async move { watcher.watch().await });
        projects
    }

    /// The one project of a program that has no platform. It is there whatever a request names.
    pub fn fixed(document: Document) -> Projects {
        Projects::new(Some(Arc::new(document)), Outbound::nowhere(), PathBuf::new())
    }

    fn new(fixed: Option<Arc<Document>>, outbound: Outbound, state_dir: PathBuf) -> Projects {
        Projects(Arc::new(Inner {
            fixed,
            outbound,
            last_good: state_dir.join("projects"),
            documents: Cache::new(MAX_DOCUMENTS),
            absent: Cache::builder().max_capacity(MAX_DOCUMENTS).time_to_live(ABSENT_FOR).build(),
            owners: Cache::builder()
                .max_capacity(MAX_DOCUMENTS)
                .time_to_live(Duration::from_secs(60))
                .build(),
            sole: Cache::builder().max_capacity(1).time_to_live(Duration::from_secs(60)).build(),
            seen: AtomicI64::new(0),
            keeping: tokio::sync::Mutex::new(()),
        }))
    }

    /// The one project, if there is no other: see [`Projects::fixed`].
    pub fn only(&self) -> Option<&Arc<Document>> {
        self.0.fixed.as_ref()
    }

    /// The project's document.
    ///
    /// Errors: [`PROJECT_NOT_FOUND`]; unavailable when the platform is away and nothing is on disk.
    pub async fn get(&self, reference: &ProjectRef) -> Result<Arc<Document>> {
        if let Some(document) = self.0.documents.get(reference).await {
            return Ok(document);
        }
        if self.0.absent.contains_key(reference.as_str()) {
            return Err(not_found());
        }
        let before = self.0.seen.load(Ordering::Acquire);
        let document = match self.fetch::<Document>(&format!("projects/{reference}")).await {
            Ok(document) => {
                self.keep(&document).await;
                document
            }
            Err(error) if error.code.name() == PROJECT_NOT_FOUND.name() => {
                self.0.absent.insert(reference.as_str().to_owned(), ()).await;
                return Err(not_found());
            }
            Err(error) => return self.last_good(reference).await.ok_or(error),
        };
        let document = Arc::new(document);
        self.0.documents.insert(reference.clone(), document.clone()).await;
        // a change that arrived meanwhile may be newer than what was fetched: use it once, keep it not
        if self.0.seen.load(Ordering::Acquire) != before {
            self.0.documents.invalidate(reference).await;
        }
        Ok(document)
    }

    /// The project whose `sb_…` key has this SHA-256 (lower-case hex), if any.
    pub async fn by_api_key(&self, hash: &str) -> Result<Option<ProjectRef>> {
        if let Some(owner) = self.0.owners.get(hash).await {
            return Ok(Some(owner));
        }
        if self.0.absent.contains_key(hash) {
            return Ok(None);
        }
        match self.fetch::<Owner>(&format!("keys/{hash}")).await {
            Ok(owner) => {
                self.0.owners.insert(hash.to_owned(), owner.reference.clone()).await;
                Ok(Some(owner.reference))
            }
            Err(error) if error.status() == http::StatusCode::NOT_FOUND => {
                self.0.absent.insert(hash.to_owned(), ()).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The only project there is, or `None` once there are several.
    pub async fn sole(&self) -> Result<Option<ProjectRef>> {
        if let Some(sole) = self.0.sole.get(&()).await {
            return Ok(sole);
        }
        let sole = match self.fetch::<Owner>("sole-project").await {
            Ok(owner) => Some(owner.reference),
            Err(error) if error.status() == http::StatusCode::NOT_FOUND => None,
            Err(error) => return Err(error),
        };
        self.0.sole.insert((), sole.clone()).await;
        Ok(sole)
    }

    /// Asks the platform to start the project's database, and waits until it accepts connections.
    pub async fn wake(&self, reference: &ProjectRef) -> Result<()> {
        let request = http::Request::post(format!("http://platform.mesh/internal/projects/{reference}/wake"))
            .body(Body::empty())
            .or_internal()?;
        self.0.outbound.json::<serde_json::Value>(request).await.map(drop)
    }

    async fn fetch<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = http::Request::get(format!("http://platform.mesh/internal/{path}")).body(Body::empty());
        self.0.outbound.json(request.or_internal()?).await
    }

    /// Follows the change stream for as long as the process lives.
    async fn watch(&self) {
        loop {
            if let Err(error) = self.follow_changes().await {
                tracing::debug!(error = %base::error::chain(&error), "project changes broke off");
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn follow_changes(&self) -> Result<()> {
        let since = self.0.seen.load(Ordering::Acquire);
        let request = http::Request::get(format!("http://platform.mesh/internal/changes?since={since}"));
        let response = self.0.outbound.send(request.body(Body::empty()).or_internal()?).await?;
        if !response.status().is_success() {
            return Err(Error::internal(format!("the change stream answered {}", response.status())));
        }
        let mut chunks = response.into_body().into_data_stream();
        let mut line = Vec::new();
        while let Some(chunk) = chunks.next().await {
            for byte in chunk.or_internal()? {
                if byte == b'\n' {
                    self.apply(serde_json::from_slice(&line).or_internal()?).await;
                    line.clear();
                } else if line.len() < MAX_LINE_BYTES {
                    line.push(byte);
                }
            }
        }
        Ok(())
    }

    /// First says that something changed, then forgets: see the other side in [`Projects::get`].
    async fn apply(&self, change: Change) {
        self.0.seen.fetch_max(change.version, Ordering::AcqRel);
        if let Some(reference) = &change.reference {
            self.0.documents.invalidate(reference).await;
            self.0.absent.invalidate_all();
            self.0.owners.invalidate_all();
            self.0.sole.invalidate_all();
        }
    }

    /// Writes the document beside its final place and renames it, so that a crash leaves the old or the new one.
    async fn keep(&self, document: &Document) {
        let path = self.0.last_good.join(format!("{}.json", document.reference));
        let _turn = self.0.keeping.lock().await;
        let written = async {
            tokio::fs::create_dir_all(&self.0.last_good).await?;
            let fresh = path.with_extension("new");
            let mut options = tokio::fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh).await?;
            tokio::io::AsyncWriteExt::write_all(&mut file, &serde_json::to_vec(document)?).await?;
            tokio::io::AsyncWriteExt::flush(&mut file).await?;
            tokio::fs::rename(&fresh, &path).await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, path = %path.display(), "the last good project document was not kept");
        }
    }

    async fn last_good(&self, reference: &ProjectRef) -> Option<Arc<Document>> {
        let path = self.0.last_good.join(format!("{reference}.json"));
        let document = serde_json::from_slice(&tokio::fs::read(path).await.ok()?).ok()?;
        Some(Arc::new(document))
    }
}

fn not_found() -> Error {
    PROJECT_NOT_FOUND.error("no such project")
}
