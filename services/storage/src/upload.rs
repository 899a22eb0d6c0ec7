//! How a new version of an object comes to be, in an order that no crash can tear.
//!
//! 1. The caller's right to it is tried out and rolled back, before the bytes move.
//! 2. A job that discards the new blob is committed; it comes due if nobody holds it back.
//! 3. The bytes become a durable blob that nothing refers to yet.
//! 4. One transaction takes the job back and writes the row, as the caller: whoever got in between, a policy or
//!    another upload, counts. What the row replaces is discarded by a job of the same transaction.
//!
//! Whatever fails on the way, or is dropped, leaves the job, which clears up.

use std::time::Duration;

use base::{Body, Error, Result, Timestamp};
use common::jobs::{self, Held};
use http::HeaderMap;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::blobs::{BlobId, Written};
use crate::error::{INVALID_REQUEST, OrDatabase, too_large};
use crate::incoming::{About, Incoming};
use crate::models::bucket::Rules;
use crate::models::object::{Draft, Metadata};
use crate::name::{BucketName, ObjectKey};
use crate::operation::Operation;
use crate::runner::{DISCARD, Discard};
use crate::session::Session;
use crate::timestamp;

/// A blob that is being written is discarded when its upload has not been heard of for this long.
const LEASE: Duration = Duration::from_secs(180);
/// How often an upload is heard of. Twice this and the longest silence of a client stay below the lease.
const RENEW_EVERY: Duration = Duration::from_secs(30);
/// From this size on a disk may take its time to sync, in bytes.
const SLOW_TO_SYNC_BYTES: u64 = 16 * 1024 * 1024;

/// Where an upload goes.
pub(crate) struct Target<'a> {
    pub(crate) bucket: &'a BucketName,
    pub(crate) key: &'a ObjectKey,
    pub(crate) owner: Option<&'a str>,
    /// Whether it may replace the object that is there.
    pub(crate) overwrite: bool,
}

/// Stores what a client sends; returns the object's id.
pub(crate) async fn receive(
    session: &Session,
    operation: Operation,
    target: &Target<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Uuid> {
    let _place = session.storage.admission.enter(session.project.id)?;
    let rules = Rules::of(session, target.bucket).await?;
    let mut incoming = Incoming::read(headers, body).await?;
    let max_bytes = rules.max_bytes(&session.settings, target.key);
    rules.check_mime(&incoming.about.mime, target.key)?;
    if incoming.exact_bytes().is_some_and(|bytes| bytes > max_bytes) {
        return Err(too_large());
    }
    let mut draft = draft(session, target, &incoming.about);
    probe(session, operation, &draft).await?;
    let staged = Staged::begin(session, draft.version).await?;
    let written = staged.write(&mut incoming, max_bytes).await?;
    describe(&mut draft.metadata, &written, session.storage.clock.now());
    draft.user_metadata.get_or_insert_with(|| Value::Object(Map::new()));
    staged.publish(operation, &draft).await
}

/// Stores the bytes of another blob under a new name; returns the object's id.
///
/// `None` if that blob is gone.
pub(crate) async fn duplicate(
    session: &Session,
    operation: Operation,
    draft: &Draft<'_>,
    source: Uuid,
) -> Result<Option<Uuid>> {
    probe(session, operation, draft).await?;
    let staged = Staged::begin(session, draft.version).await?;
    let from = BlobId { project: session.project.id, version: source };
    if !session.storage.blobs.copy(from, staged.blob).await? {
        return Ok(None);
    }
    staged.publish(operation, draft).await.map(Some)
}

/// Tries out whether the caller may write the row, and takes it back.
pub(crate) async fn probe(session: &Session, operation: Operation, draft: &Draft<'_>) -> Result<()> {
    let mut tx = session.begin(operation).await?;
    draft.place(&mut tx, session.storage.random.uuid()).await?;
    tx.rollback().await.or_database()
}

/// The row as far as it is known before the bytes have come.
pub(crate) fn draft<'a>(session: &Session, target: &Target<'a>, about: &About) -> Draft<'a> {
    Draft {
        bucket: target.bucket,
        key: target.key,
        owner: target.owner,
        version: session.storage.random.uuid(),
        metadata: Metadata {
            mimetype: Some(about.mime.as_str().to_owned()),
            cache_control: Some(about.cache_control.clone()),
            content_encoding: about.content_encoding.clone(),
            x_robots_tag: about.robots.clone(),
            content_length: about.declared_bytes,
            ..Metadata::default()
        },
        user_metadata: about.user_metadata.clone(),
        overwrite: target.overwrite,
    }
}

fn describe(metadata: &mut Metadata, written: &Written, now: Timestamp) {
    metadata.e_tag = Some(format!("\"{}\"", written.sha256));
    metadata.size = Some(written.size);
    metadata.content_length = Some(written.size);
    metadata.last_modified = timestamp::text(now);
    metadata.http_status_code = Some(200);
}

/// A blob on its way, with the job that would discard it.
struct Staged<'a> {
    session: &'a Session,
    blob: BlobId,
    job: Held,
}

impl<'a> Staged<'a> {
    async fn begin(session: &'a Session, version: Uuid) -> Result<Staged<'a>> {
        let mut tx = session.begin_as_owner().await?;
        let job = jobs::hold(&mut tx, DISCARD, &Discard { version: version.to_string() }, LEASE)
            .await
            .or_database()?;
        tx.commit().await.or_database()?;
        Ok(Staged { session, blob: BlobId { project: session.project.id, version }, job })
    }

    async fn write(&self, incoming: &mut Incoming, max_bytes: u64) -> Result<Written> {
        let clock = &self.session.storage.clock;
        let mut writer = self.session.storage.blobs.write(self.blob).await?;
        let mut renew_at = clock.now() + RENEW_EVERY;
        while let Some(chunk) = incoming.next().await? {
            if writer.size() + chunk.len() as u64 > max_bytes {
                return Err(too_large());
            }
            writer.push(chunk).await?;
            if clock.now() >= renew_at {
                self.renew().await?;
                renew_at = clock.now() + RENEW_EVERY;
            }
        }
        if incoming.exact_bytes().is_some_and(|bytes| bytes != writer.size()) {
            return Err(INVALID_REQUEST.error("the body does not have the length that was declared"));
        }
        if writer.size() >= SLOW_TO_SYNC_BYTES {
            self.renew().await?;
        }
        writer.finish().await
    }

    /// Holds the job back for longer. A database that is away is no reason to give up: [`Staged::publish`] finds out
    /// whether the job was begun meanwhile.
    async fn renew(&self) -> Result<()> {
        match self.hold_on().await {
            Ok(false) => Err(lost()),
            Ok(true) | Err(_) => Ok(()),
        }
    }

    async fn hold_on(&self) -> Result<bool> {
        let mut tx = self.session.begin_as_owner().await?;
        let held = jobs::hold_on(&mut tx, self.job, LEASE).await.or_database()?;
        tx.commit().await.or_database()?;
        Ok(held)
    }

    /// Makes the version the object's, in one transaction.
    async fn publish(self, operation: Operation, draft: &Draft<'_>) -> Result<Uuid> {
        let mut tx = self.session.begin_as_owner().await?;
        if !jobs::release(&mut tx, self.job).await.or_database()? {
            return Err(lost());
        }
        self.session.become_caller(&mut tx, operation).await?;
        let id = draft.place(&mut tx, self.session.storage.random.uuid()).await?;
        tx.commit().await.or_database()?;
        if draft.overwrite {
            self.session.storage.runner.poke(&self.session.project.reference);
        }
        Ok(id)
    }
}

/// The upload fell silent for so long that its blob has been discarded.
fn lost() -> Error {
    INVALID_REQUEST.error("the upload took too long and was given up")
}
