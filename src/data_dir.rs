//! The data folder: its lock, its secrets, and where everything in it is.
//!
//! ```text
//! lock · admin.sock      secrets/{master.key, console.token}
//! postgres/<name>/{data, log, admin.password}     services/<name>/…
//! ```

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::error::OrInternal;
use base::seal::MasterKey;
use base::secret::sha256_hex;
use base::{Code, Random, Result, Secret};

use crate::postgres::Owner;
use crate::secret_file;

/// Another process works on the data folder.
pub const DATA_DIR_IN_USE: Code = Code::new(500, "data_dir_in_use");
/// The data folder cannot be made or written.
pub const DATA_DIR_UNUSABLE: Code = Code::new(500, "data_dir_unusable");

/// Longest folder of UNIX sockets: the kernel allows 107 bytes for the whole path.
const MAX_SOCKET_FOLDER: usize = 80;

/// A data folder that is ours until it is dropped.
pub struct DataDir {
    root: PathBuf,
    /// Removed with everything in it when dropped.
    _temporary: Option<tempfile::TempDir>,
    _lock: File,
}

/// `/var/lib/meshbase` for root; `$XDG_DATA_HOME/meshbase` or `~/.local/share/meshbase` for others.
pub fn default_path() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/meshbase");
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")));
    data.unwrap_or_else(|| PathBuf::from(".")).join("meshbase")
}

impl DataDir {
    /// Opens or makes the folder and locks it.
    ///
    /// Errors: `data_dir_in_use` if another process has it; `data_dir_unusable`.
    pub fn open(path: &Path) -> Result<DataDir> {
        DataDir::lock(path.to_owned(), None)
    }

    /// A new folder that is gone when dropped.
    pub fn temporary() -> Result<DataDir> {
        let folder = tempfile::Builder::new().prefix("meshbase-").tempdir().or_internal()?;
        DataDir::lock(folder.path().to_owned(), Some(folder))
    }

    fn lock(root: PathBuf, temporary: Option<tempfile::TempDir>) -> Result<DataDir> {
        let unusable = |error: std::io::Error| {
            DATA_DIR_UNUSABLE
                .error(format!("the data folder {} cannot be used: {error}", root.display()))
                .with_hint("choose another one with --data-dir")
        };
        for folder in [root.clone(), root.join("postgres")] {
            make_folder(&folder, passable()).map_err(unusable)?;
        }
        for folder in ["secrets", "services"] {
            make_folder(&root.join(folder), 0o700).map_err(unusable)?;
        }
        let root = root.canonicalize().map_err(unusable)?;
        let lock =
            File::options().create(true).truncate(false).write(true).mode(0o600).open(root.join("lock"));
        let lock = lock.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { root, _temporary: temporary, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DATA_DIR_IN_USE
                .error(format!("another meshbase runs on {}", root.display()))
                .with_hint("see it with `meshbase status`, or choose another folder with --data-dir")),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The folder of UNIX sockets of the servers: in here, or in the temporary folder if the path is too long.
    pub fn sockets(&self) -> PathBuf {
        self.short("postgres/.s", "")
    }

    /// The folder where the processes of `up --mesh` meet, theirs alone; elsewhere if the path is too long for sockets.
    pub fn mesh(&self) -> PathBuf {
        self.short("mesh", "-mesh")
    }

    /// `inside` this folder, or a folder of its own in the temporary folder if sockets in there had too long names.
    fn short(&self, inside: &str, suffix: &str) -> PathBuf {
        let inside = self.root.join(inside);
        if inside.as_os_str().len() <= MAX_SOCKET_FOLDER {
            return inside;
        }
        let name = sha256_hex(self.root.as_os_str().as_encoded_bytes());
        std::env::temp_dir().join(format!("meshbase-{}{suffix}", &name[..12]))
    }

    /// One service's own folder.
    pub fn service(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join("services").join(name);
        make_folder(&folder, 0o700).or_internal()?;
        Ok(folder)
    }

    /// The master key: from the environment variable `MESHBASE_MASTER_KEY`, else a file made at the first start.
    pub fn master_key(&self, random: &Random) -> Result<MasterKey> {
        match std::env::var("MESHBASE_MASTER_KEY") {
            Ok(key) => MasterKey::parse(&Secret::new(key)),
            Err(_) => MasterKey::parse(&self.secret("master.key", || MasterKey::generate(random))?),
        }
    }

    /// The console's token, made at the first start.
    pub fn console_token(&self, random: &Random) -> Result<Secret> {
        self.secret("console.token", || Secret::new(random.token(24)))
    }

    /// A secret that is kept in a file of mode 0600.
    fn secret(&self, name: &str, make: impl FnOnce() -> Secret) -> Result<Secret> {
        secret_file::read_or_write(&self.root.join("secrets").join(name), make)
    }
}

/// The UNIX socket that the command line speaks to.
pub fn admin_socket(root: &Path) -> PathBuf {
    root.join("admin.sock")
}

/// The servers' user must pass through the folder when it is not ours.
fn passable() -> u32 {
    if Owner::needed().is_some() { 0o711 } else { 0o700 }
}

fn make_folder(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if !path.is_dir() {
        DirBuilder::new().recursive(true).mode(mode.max(0o700)).create(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    } else if mode == 0o711 && path.metadata()?.permissions().mode() & 0o001 == 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let first = DataDir::open(temp.path()).unwrap();

        let second = DataDir::open(temp.path()).err().expect("it is locked");
        drop(first);

        assert_eq!(second.code, DATA_DIR_IN_USE);
        assert!(DataDir::open(temp.path()).is_ok());
    }

    #[test]
    fn secrets_are_made_once_and_are_ours_alone() {
        use std::os::unix::fs::MetadataExt;
        let temp = tempfile::tempdir().unwrap();
        let folder = DataDir::open(temp.path()).unwrap();
        let random = Random::system();

        let first = folder.console_token(&random).unwrap();

        assert!(folder.console_token(&random).unwrap().matches(first.expose()));
        assert_eq!(temp.path().join("secrets/console.token").metadata().unwrap().mode() & 0o777, 0o600);
    }
}
