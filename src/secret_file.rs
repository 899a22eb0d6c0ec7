//! Secrets in files: written whole, for their owner only.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base::error::BAD_REQUEST;
use base::{Error, Result, Secret};

/// What the file holds, without white space around it.
///
/// Errors: `bad_request` if it cannot be read, or is empty: no secret is no secret.
pub(crate) fn read(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable(path, &error))?;
    match text.trim() {
        "" => Err(BAD_REQUEST.error(format!("{} is empty", path.display()))),
        secret => Ok(Secret::new(secret)),
    }
}

/// What the file holds; if there is none, what `make` makes is written into it.
#[cfg(feature = "platform")]
pub(crate) fn read_or_write(path: &Path, make: impl FnOnce() -> Secret) -> Result<Secret> {
    if !path.exists() {
        write(path, make().expose().as_bytes()).map_err(|error| unusable(path, &error))?;
    }
    read(path)
}

/// Writes a file of mode 0600 beside its place, syncs and renames it: a crash leaves none or a whole one.
pub(crate) fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn unusable(path: &Path, error: &std::io::Error) -> Error {
    BAD_REQUEST.error(format!("{} cannot be used: {error}", path.display()))
}
