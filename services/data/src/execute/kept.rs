//! Catalogs on disk: what a project's database offered when it was last read, so that a start waits for nothing.
//!
//! PostgreSQL checks every right whatever is kept, and the catalog is read anew as soon as the database is connected to.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::error::{Source, chain};
use common::ProjectRef;
use serde::{Deserialize, Serialize};

use crate::schema::load::{Catalog, STATEMENTS};

/// A folder of catalogs, one per project; nothing is kept without one.
#[derive(Clone)]
pub(crate) struct Kept(Option<PathBuf>);

/// The first line of a file. The texts follow, one after the other.
#[derive(Serialize, Deserialize)]
struct Header {
    /// The statements that the texts answer: another version's may have asked otherwise.
    statements: u64,
    /// The project's version.
    version: i64,
    options: Vec<(String, String)>,
    /// Bytes of each text.
    lengths: Vec<usize>,
}

impl Kept {
    /// In a folder of the service's own; nowhere if it has none.
    pub(crate) fn under(state_dir: &Path) -> Kept {
        let has_one = !state_dir.as_os_str().is_empty();
        Kept(has_one.then(|| state_dir.join("schemas")))
    }

    fn file(&self, project: &ProjectRef) -> Option<PathBuf> {
        Some(self.0.as_ref()?.join(project.as_str()))
    }

    /// What was kept of a project's version, if it can be used.
    pub(crate) async fn read(&self, project: &ProjectRef, version: i64) -> Option<Catalog> {
        let path = self.file(project)?;
        let read = move || Catalog::parse(std::fs::read_to_string(path).ok()?, version);
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    /// Keeps a project's catalog. Failing costs the next start a moment, so that it is only logged.
    pub(crate) async fn write(&self, project: &ProjectRef, version: i64, catalog: Arc<Catalog>) {
        let Some(path) = self.file(project) else { return };
        let written = tokio::task::spawn_blocking(move || catalog.write(&path, version)).await;
        let failed: Option<Source> = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.into()),
            Err(error) => Some(error.into()),
        };
        if let Some(error) = failed {
            tracing::warn!(error = %chain(&*error), "a schema cache was not kept");
        }
    }
}

impl Catalog {
    fn parse(text: String, version: i64) -> Option<Catalog> {
        let (header, mut rest) = text.split_once('\n')?;
        let header: Header = serde_json::from_str(header).ok()?;
        if header.statements != statements() || header.version != version {
            return None;
        }
        let mut answers = Vec::with_capacity(header.lengths.len());
        for length in header.lengths {
            let (answer, after) = rest.split_at_checked(length)?;
            answers.push(answer.to_owned());
            rest = after;
        }
        Some(Catalog { options: header.options, answers: answers.try_into().ok()? })
    }

    fn write(&self, path: &Path, version: i64) -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lengths = self.answers.iter().map(String::len).collect();
        let header = Header { statements: statements(), version, options: self.options.clone(), lengths };
        // whoever reads sees the old file or the new one, whole
        let scratch = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&scratch)?;
        serde_json::to_writer(&mut file, &header)?;
        file.write_all(b"\n")?;
        for answer in &self.answers {
            file.write_all(answer.as_bytes())?;
        }
        std::fs::rename(scratch, path)
    }
}

fn statements() -> u64 {
    let mut hasher = DefaultHasher::new();
    STATEMENTS.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let answers = std::array::from_fn(|n| format!("[\"ä\n{n}\"]").repeat(n));
        Catalog { options: vec![("db_max_rows".to_owned(), "3".to_owned())], answers }
    }

    #[tokio::test]
    async fn what_is_kept_comes_back_for_the_same_version_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, project) = (Kept::under(folder.path()), "p".parse().unwrap());
        assert!(kept.read(&project, 1).await.is_none());

        kept.write(&project, 1, Arc::new(catalog())).await;

        assert_eq!(kept.read(&project, 1).await, Some(catalog()));
        assert!(kept.read(&project, 2).await.is_none());
        assert!(kept.read(&"q".parse().unwrap(), 1).await.is_none());
    }

    #[tokio::test]
    async fn a_broken_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, project) = (Kept::under(folder.path()), "p".parse().unwrap());
        kept.write(&project, 1, Arc::new(catalog())).await;
        let path = folder.path().join("schemas/p");
        let whole = std::fs::read_to_string(&path).unwrap();
        let other = whole.replacen("\"statements\":", "\"statements\":1", 1);
        for text in [&whole[..whole.len() - 1], "", "{}\n", &other] {
            std::fs::write(&path, text).unwrap();
            assert!(kept.read(&project, 1).await.is_none(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn without_a_folder_nothing_is_kept() {
        let (kept, project) = (Kept::under(Path::new("")), "p".parse().unwrap());
        kept.write(&project, 1, Arc::new(catalog())).await;
        assert!(kept.read(&project, 1).await.is_none());
    }
}
