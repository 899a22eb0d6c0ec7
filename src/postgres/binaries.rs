//! Finding PostgreSQL's programs on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use base::{Code, Error, Result};

/// The oldest major version that has what we need.
pub const OLDEST_MAJOR: u32 = 15;

/// No server of the wanted version is on this machine.
pub(super) const POSTGRES_MISSING: Code = Code::new(500, "postgres_missing");

/// A folder with `postgres` and `initdb`, and their major version.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The folder.
    pub bin: PathBuf,
    /// The major version.
    pub major: u32,
}

impl Binaries {
    /// Finds a server: of `major` if a data folder asks for it, else the newest.
    ///
    /// Looked at, in this order: `given`, `pg_config`, the usual places of distributions and Homebrew, `PATH`, our
    /// cache. Errors: `postgres_missing`, with the command to run.
    pub fn find(given: Option<&Path>, major: Option<u32>) -> Result<Binaries> {
        let mut found: Vec<Binaries> = match given {
            Some(bin) => vec![inspect(bin).ok_or_else(|| not_there(bin))?],
            None => candidates().iter().filter_map(|bin| inspect(bin)).collect(),
        };
        found.retain(|binaries| binaries.major >= OLDEST_MAJOR && major.is_none_or(|m| m == binaries.major));
        // stable: of equal versions the first place wins
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
        found.into_iter().next().ok_or_else(|| missing(major))
    }
}

fn not_there(bin: &Path) -> Error {
    POSTGRES_MISSING.error(format!("{} holds no PostgreSQL server (postgres and initdb)", bin.display()))
}

fn missing(major: Option<u32>) -> Error {
    let wanted = major.map_or(format!("PostgreSQL {OLDEST_MAJOR} or newer"), |m| format!("PostgreSQL {m}"));
    let package = major.map_or("postgresql".to_owned(), |m| format!("postgresql-{m}"));
    POSTGRES_MISSING
        .error(format!("{wanted} is not on this machine"))
        .with_hint(format!("run `apt-get install {package}`, or give its folder with --pg-bin"))
}

/// The folder's major version, if it holds a server.
fn inspect(bin: &Path) -> Option<Binaries> {
    if !bin.join("initdb").exists() {
        return None;
    }
    let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    // "postgres (PostgreSQL) 15.18 (Debian …)", "postgres (PostgreSQL) 18beta1"
    let number = version.split(") ").nth(1)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    Some(Binaries { bin: bin.to_owned(), major: digits.parse().ok()? })
}

fn candidates() -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output()
        && let Ok(folder) = String::from_utf8(output.stdout)
    {
        candidates.push(PathBuf::from(folder.trim()));
    }
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ] {
        candidates.extend(children(Path::new(parent), prefix).map(|folder| folder.join("bin")));
    }
    if let Some(path) = std::env::var_os("PATH") {
        candidates.extend(std::env::split_paths(&path));
    }
    if let Some(cache) = cache_folder() {
        candidates.extend(children(&cache, "").map(|folder| folder.join("bin")));
    }
    let mut seen = std::collections::HashSet::new();
    candidates.retain(|folder| folder.canonicalize().is_ok_and(|real| seen.insert(real)));
    candidates
}

/// Where `make up` puts a server that it had to fetch: a folder per major version. Root's home is closed to the
/// server's user.
fn cache_folder() -> Option<PathBuf> {
    if super::Owner::needed().is_some() {
        return Some(PathBuf::from("/var/cache/meshbase/postgres"));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("meshbase/postgres"))
}

fn children(parent: &Path, prefix: &'static str) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
}
