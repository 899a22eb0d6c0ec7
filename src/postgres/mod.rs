//! Embedded PostgreSQL: finds a server on this machine, makes data folders, starts and stops servers.
//!
//! A server never outlives us: [`crate::exec_child`] has the kernel end it. It never runs as root: PostgreSQL refuses
//! to, so it becomes the user `postgres` if there is one, else `nobody`.

mod binaries;
mod server;

pub use binaries::{Binaries, OLDEST_MAJOR};
pub use server::{Server, Spec};

use std::path::Path;

use base::Result;
use base::error::OrInternal;

/// The user that servers run as when we are root.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Owner {
    /// `None` when we are not root: servers run as ourselves.
    pub fn needed() -> Option<Owner> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let find = |name: &str| {
            let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(Owner { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        };
        find("postgres").or_else(|| find("nobody")).or(Some(Owner { uid: 65534, gid: 65534 }))
    }
}

/// Makes a folder of ours that the server's user may pass through and not write to.
pub(crate) fn make_passable(path: &Path, owner: Option<Owner>) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let mode = if owner.is_some() { 0o711 } else { 0o700 };
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).or_internal()?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).or_internal()
}

/// Makes a folder that the server's user owns, and nobody else may look into.
///
/// Errors: something else is there, a symbolic link included, or a folder of another user.
pub(crate) fn own_folder(path: &Path, owner: Option<Owner>) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
    let us = rustix::process::geteuid().as_raw();
    let wanted = owner.map_or(us, |owner| owner.uid);
    if let Ok(there) = path.symlink_metadata()
        && (!there.is_dir() || ![us, wanted].contains(&there.uid()))
    {
        return Err(base::Error::internal(format!("{} is not a folder of ours", path.display())));
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).or_internal()?;
    if let Some(owner) = owner {
        lchown(path, Some(owner.uid), Some(owner.gid)).or_internal()?;
    }
    Ok(())
}
