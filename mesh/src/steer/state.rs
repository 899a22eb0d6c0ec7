//! What a workload keeps on disk: its identity and the last good of what was pushed to it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::Secret;

use super::Resource;
use crate::identity::{Roots, Svid, Unusable};

/// A workload's folder, for its owner alone.
#[derive(Clone, Debug)]
pub(super) struct State {
    folder: PathBuf,
}

/// An identity as it is kept.
pub(super) struct Kept {
    pub(super) svid: Svid,
    pub(super) roots: Roots,
}

impl State {
    /// The folder of `service` under `root`, made if it is not there.
    pub(super) fn open(root: &Path, service: &str) -> io::Result<State> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = root.join(service);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(State { folder })
    }

    /// The identity that was kept, `None` if there is none.
    ///
    /// Errors: what is there cannot be used.
    pub(super) fn identity(&self) -> Result<Option<Kept>, Unusable> {
        if !self.path("identity.pem").exists() {
            return Ok(None);
        }
        let svid = Svid::read(&self.path("identity.pem"), &self.path("identity.pem"))?;
        let roots = Roots::read(&[self.path("roots.pem")])?;
        Ok(Some(Kept { svid, roots }))
    }

    /// Keeps an identity. Key and chain are one file, so that there is never one without the other.
    pub(super) fn keep_identity(&self, chain: &str, key: &Secret, roots: &str) -> io::Result<()> {
        self.keep_roots(roots)?;
        self.write("identity.pem", format!("{chain}{}", key.expose()).as_bytes())
    }

    /// The roots that were kept, as PEM.
    pub(super) fn roots_pem(&self) -> String {
        fs::read_to_string(self.path("roots.pem")).unwrap_or_default()
    }

    pub(super) fn keep_roots(&self, roots: &str) -> io::Result<()> {
        self.write("roots.pem", roots.as_bytes())
    }

    /// The last good resources; none if there are none that can be read: then the control plane is needed.
    pub(super) fn resources(&self) -> BTreeMap<String, Resource> {
        let read = fs::read(self.path("resources.json")).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(super) fn keep_resources(&self, resources: &BTreeMap<String, Resource>) -> io::Result<()> {
        self.write("resources.json", &serde_json::to_vec(resources)?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Written beside its place and renamed: a crash leaves the old or the new one.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let fresh = self.path(&format!("{name}.new"));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, self.path(name))
    }
}
