//! The bytes of objects: one immutable blob per version, at `project/aa/version`, `aa` being the version's first byte.
//!
//! No name that a client chose is part of it. A blob is written beside its place, synced, renamed into place, and the
//! folder synced, before anything refers to it.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use base::error::OrInternal;
use base::{Error, Result};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, try_unfold};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, WriteMultipart};
use uuid::Uuid;

use crate::error::INSUFFICIENT_STORAGE;
use crate::token::hex;

/// An upload holds at most two of these in memory: one that fills while the other is written. In bytes.
const WRITE_CHUNK: usize = 256 * 1024;
/// A download reads this much at a time, in bytes.
const READ_CHUNK: u64 = 128 * 1024;

/// Names one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobId {
    pub(crate) project: Uuid,
    pub(crate) version: Uuid,
}

impl BlobId {
    fn path(self) -> Path {
        let version = self.version.to_string();
        Path::from(format!("{}/{}/{version}", self.project, &version[..2]))
    }
}

/// The blobs of all projects, in one folder on disk. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Blobs {
    store: Arc<LocalFileSystem>,
}

/// A blob that is complete and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// In bytes.
    pub(crate) size: u64,
    /// SHA-256 of the bytes, lower-case hex.
    pub(crate) sha256: String,
}

/// The bytes of a blob as they are read.
pub(crate) type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

impl Blobs {
    /// Opens the folder, which only we may enter.
    pub(crate) fn open(folder: &FilePath) -> Result<Blobs> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).or_internal()?;
        let store = LocalFileSystem::new_with_prefix(folder).or_internal()?.with_fsync(true);
        Ok(Blobs { store: Arc::new(store) })
    }

    /// Begins to write a blob. Until [`BlobWriter::finish`] nothing can be read, and dropping the writer removes it.
    pub(crate) async fn write(&self, id: BlobId) -> Result<BlobWriter> {
        let store = self.store.clone();
        // opening creates folders and syncs them: not for an async thread
        let runtime = tokio::runtime::Handle::current();
        let opening = move || runtime.block_on(async move { store.put_multipart(&id.path()).await });
        let upload = tokio::task::spawn_blocking(opening).await.or_internal()?.map_err(not_written)?;
        Ok(BlobWriter {
            upload: WriteMultipart::new_with_chunk_size(upload, WRITE_CHUNK),
            hash: digest::Context::new(&digest::SHA256),
            size: 0,
        })
    }

    /// Reads these bytes of a blob, which fails midway if it has fewer; `None` if there is no such blob.
    pub(crate) async fn read(&self, id: BlobId, part: Range<u64>) -> Result<Option<ByteStream>> {
        // the store refuses an empty range, and must still say whether the blob is there
        let range = (!part.is_empty()).then(|| GetRange::Bounded(part.clone()));
        let found = match self.store.get_opts(&id.path(), GetOptions { range, ..GetOptions::default() }).await
        {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(Error::internal(error)),
        };
        Ok(Some(match found.payload {
            _ if part.is_empty() => futures_util::stream::empty().boxed(),
            GetResultPayload::File(file, _) => chunks(file, part),
            GetResultPayload::Stream(stream) => {
                stream.map(|chunk| chunk.map_err(std::io::Error::other)).boxed()
            }
        }))
    }

    /// The size of a blob in bytes; `None` if there is no such blob.
    pub(crate) async fn size(&self, id: BlobId) -> Result<Option<u64>> {
        match self.store.head(&id.path()).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Error::internal(error)),
        }
    }

    /// Gives `to` the bytes of `from`; `false` if there is no such blob. On disk it is a second name for one file, so
    /// the cost does not depend on the size.
    pub(crate) async fn copy(&self, from: BlobId, to: BlobId) -> Result<bool> {
        match self.store.copy(&from.path(), &to.path()).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            // a file has so many names at most, and some file systems know only one
            Err(_) => self.copy_bytes(from, to).await,
        }
    }

    async fn copy_bytes(&self, from: BlobId, to: BlobId) -> Result<bool> {
        let Some(size) = self.size(from).await? else {
            return Ok(false);
        };
        let Some(mut stream) = self.read(from, 0..size).await? else {
            return Ok(false);
        };
        let mut writer = self.write(to).await?;
        while let Some(chunk) = stream.next().await {
            writer.push(chunk.or_internal()?).await?;
        }
        writer.finish().await?;
        Ok(true)
    }

    /// Removes a blob, and what a crash left of writing it. Nothing there is fine.
    pub(crate) async fn discard(&self, id: BlobId) -> Result<()> {
        let path = id.path();
        let mut unfinished = self.store.path_to_filesystem(&path).or_internal()?.into_os_string();
        // where the store stages the first, and for a fresh version only, upload to this path
        unfinished.push("#1");
        match tokio::fs::remove_file(PathBuf::from(unfinished)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::internal(error)),
            _ => {}
        }
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::internal(error)),
        }
    }
}

/// Writes one blob, at the pace of the disk.
pub(crate) struct BlobWriter {
    upload: WriteMultipart,
    hash: digest::Context,
    size: u64,
}

impl BlobWriter {
    /// Takes the next bytes; waits while the disk is behind.
    pub(crate) async fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.hash.update(&bytes);
        self.size += bytes.len() as u64;
        self.upload.wait_for_capacity(1).await.map_err(not_written)?;
        self.upload.put(bytes);
        Ok(())
    }

    /// Bytes taken so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Makes the blob durable and visible.
    pub(crate) async fn finish(self) -> Result<Written> {
        self.upload.finish().await.map_err(not_written)?;
        Ok(Written { size: self.size, sha256: hex(self.hash.finish().as_ref()) })
    }
}

/// A full disk is a state that passes, and no defect.
fn not_written(error: object_store::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return INSUFFICIENT_STORAGE.error("There is no room for the object").caused_by(error);
        }
        cause = inner.source();
    }
    Error::internal(error)
}

fn chunks(file: std::fs::File, range: Range<u64>) -> ByteStream {
    try_unfold((file, range.start, range.end), |(mut file, at, end)| async move {
        if at >= end {
            return Ok(None);
        }
        let reading = tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::with_capacity((end - at).min(READ_CHUNK) as usize);
            file.seek(SeekFrom::Start(at))?;
            file.by_ref().take((end - at).min(READ_CHUNK)).read_to_end(&mut chunk)?;
            Ok::<_, std::io::Error>((chunk, file))
        });
        let (chunk, file) = reading.await.map_err(std::io::Error::other)??;
        if chunk.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let next = at + chunk.len() as u64;
        Ok(Some((Bytes::from(chunk), (file, next, end))))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    fn id(version: u128) -> BlobId {
        BlobId { project: Uuid::from_u128(7), version: Uuid::from_u128(version) }
    }

    async fn read(blobs: &Blobs, id: BlobId, part: Range<u64>) -> Option<Vec<u8>> {
        let stream = blobs.read(id, part).await.unwrap()?;
        Some(
            stream
                .try_fold(Vec::new(), async |mut all, chunk| {
                    all.extend(chunk);
                    Ok(all)
                })
                .await
                .unwrap(),
        )
    }

    fn files(folder: &FilePath) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
    }

    #[tokio::test]
    async fn what_is_written_is_read_whole_and_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();

        let mut writer = blobs.write(id(1)).await.unwrap();
        for chunk in content.chunks(100_001) {
            writer.push(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        let written = writer.finish().await.unwrap();

        assert_eq!(written.size, 1_000_000);
        assert_eq!(written.sha256, hex(digest::digest(&digest::SHA256, &content).as_ref()));
        assert_eq!(read(&blobs, id(1), 0..1_000_000).await.unwrap(), content);
        assert_eq!(read(&blobs, id(1), 131_000..132_000).await.unwrap(), content[131_000..132_000]);
        assert_eq!(read(&blobs, id(2), 0..1).await, None);
        assert_eq!(blobs.size(id(1)).await.unwrap(), Some(1_000_000));
    }

    #[tokio::test]
    async fn a_copy_outlives_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let mut writer = blobs.write(id(1)).await.unwrap();
        writer.push(Bytes::from_static(b"hello")).await.unwrap();
        writer.finish().await.unwrap();

        assert!(blobs.copy(id(1), id(2)).await.unwrap());
        blobs.discard(id(1)).await.unwrap();

        assert_eq!(read(&blobs, id(2), 0..5).await.unwrap(), b"hello");
        assert!(!blobs.copy(id(1), id(3)).await.unwrap());
    }

    #[tokio::test]
    async fn a_copy_by_bytes_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let mut writer = blobs.write(id(1)).await.unwrap();
        writer.push(Bytes::from(vec![7; 300_000])).await.unwrap();
        writer.finish().await.unwrap();

        assert!(blobs.copy_bytes(id(1), id(2)).await.unwrap());

        assert_eq!(read(&blobs, id(2), 0..300_000).await.unwrap(), vec![7; 300_000]);
        assert!(!blobs.copy_bytes(id(3), id(4)).await.unwrap());
    }

    #[tokio::test]
    async fn an_empty_blob_is_a_blob() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();

        blobs.write(id(1)).await.unwrap().finish().await.unwrap();

        assert_eq!(read(&blobs, id(1), 0..0).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn what_a_crash_left_of_an_upload_is_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let mut writer = blobs.write(id(1)).await.unwrap();
        writer.push(Bytes::from(vec![1; WRITE_CHUNK])).await.unwrap();
        // a killed process runs no destructor
        std::mem::forget(writer);
        assert_eq!(files(folder.path()), 1);
        assert_eq!(read(&blobs, id(1), 0..0).await, None, "it cannot be read");

        blobs.discard(id(1)).await.unwrap();

        assert_eq!(files(folder.path()), 0);
    }
}
