//! `meshbase init`: the secrets of an installation of containers, each written once.
//!
//! ```text
//! postgres/password
//! control/{database.url, master.key, bootstrap.json, demand.token}
//! platform/{database.url, master.key, console.token, join.token}
//! gateway/join.token  auth/join.token  data/join.token  storage/join.token
//! ```
//!
//! Each folder is for one container alone. Whoever holds one of them is that service, and nobody else.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use base::error::{BAD_REQUEST, OrInternal};
use base::seal::MasterKey;
use base::{Clock, Random, Result, Secret};
use common::project::Endpoint;
use control::bootstrap::Bootstrap;

use crate::secret_file::{self, read_or_write};

/// Those that join the mesh.
const SERVICES: [&str; 5] = ["gateway", "platform", "auth", "data", "storage"];

/// The flags.
#[derive(clap::Args, Debug)]
pub struct Init {
    /// Where the folders go, one for each container.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the database server will be.
    #[arg(long, default_value = "postgres:5432", value_name = "HOST:PORT")]
    pub database: String,
    /// The SPIFFE trust domain of all workloads.
    #[arg(long, default_value = "meshbase.local", value_name = "DOMAIN")]
    pub trust_domain: String,
    /// The user and group that everything is to belong to, by number [default: ours].
    #[arg(long, value_name = "ID")]
    pub owner: Option<u32>,
}

impl Init {
    /// Writes what is not there yet; what is there stays as it is.
    ///
    /// Errors: a folder cannot be written, or what is there is of another trust domain.
    pub(crate) fn run(&self) -> Result<()> {
        let (clock, random) = (Clock::system(), Random::system());
        for name in SERVICES.into_iter().chain(["control", "postgres"]) {
            let folder = self.out.join(name);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| BAD_REQUEST.error(format!("{}: {error}", folder.display())))?;
        }
        // one at a time: of two that begin at once, the second finds what the first wrote
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(self.out.join("control/lock")).or_internal()?;
        lock.lock().or_internal()?;

        let token = || Secret::new(random.token(32));
        let password = read_or_write(&self.out.join("postgres/password"), token)?;
        let url = format!("postgres://postgres:{}@{}/postgres", password.expose(), self.database);
        let url = Secret::new(url);
        Endpoint::parse(&url)?;
        for owner in ["control", "platform"] {
            let folder = self.out.join(owner);
            read_or_write(&folder.join("database.url"), || url.clone())?;
            read_or_write(&folder.join("master.key"), || MasterKey::generate(&random))?;
        }
        for file in ["platform/console.token", "control/demand.token"] {
            read_or_write(&self.out.join(file), token)?;
        }
        self.join_tokens(&clock, &random)?;
        self.hand_over()
    }

    /// The root and the tokens. What the control plane is told is written first: a token that it does not know would
    /// never let anybody in.
    fn join_tokens(&self, clock: &Clock, random: &Random) -> Result<()> {
        let path = self.out.join("control/bootstrap.json");
        let mut bootstrap = if path.exists() {
            Bootstrap::read(&path)?
        } else {
            let master = MasterKey::parse(&secret_file::read(&self.out.join("control/master.key"))?)?;
            Bootstrap::new(&self.trust_domain, &master, clock, random)?
        };
        if bootstrap.trust_domain() != self.trust_domain {
            let there = bootstrap.trust_domain();
            let message = format!("{} is for {there}, not for {}", path.display(), self.trust_domain);
            return Err(BAD_REQUEST.error(message).with_hint("a trust domain cannot be changed later"));
        }
        let mut tokens = Vec::new();
        for service in SERVICES {
            let path = self.out.join(service).join("join.token");
            if !path.exists() {
                tokens.push((path, bootstrap.add_token(service, random)?));
            }
        }
        if !tokens.is_empty() || !path.exists() {
            secret_file::write(&path, &serde_json::to_vec_pretty(&bootstrap).or_internal()?).or_internal()?;
        }
        for (path, token) in tokens {
            secret_file::write(&path, token.to_text().expose().as_bytes()).or_internal()?;
        }
        Ok(())
    }

    fn hand_over(&self) -> Result<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        for name in SERVICES.into_iter().chain(["control", "postgres"]) {
            let folder = self.out.join(name);
            for file in std::fs::read_dir(&folder).or_internal()? {
                give(&file.or_internal()?.path(), owner)?;
            }
            give(&folder, owner)?;
        }
        Ok(())
    }
}

fn give(path: &Path, owner: u32) -> Result<()> {
    let given = chown(path, Some(owner), Some(owner));
    given.map_err(|error| BAD_REQUEST.error(format!("{}: {error}", path.display())).with_hint("see --owner"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn init(out: &Path) -> Init {
        let (database, trust_domain) = ("postgres:5432".to_owned(), "test.local".to_owned());
        Init { out: out.to_owned(), database, trust_domain, owner: None }
    }

    fn files(out: &Path) -> BTreeMap<PathBuf, String> {
        let folders = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
        let paths =
            folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()));
        paths.map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
    }

    #[test]
    fn each_secret_is_written_once_for_its_owner_only() {
        let out = tempfile::tempdir().unwrap();
        init(out.path()).run().unwrap();

        let first = files(out.path());
        assert_eq!(first.len(), 14, "{:?}", first.keys());
        for path in first.keys() {
            let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            let folder = std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777;
            assert_eq!(folder, 0o700);
        }
        init(out.path()).run().unwrap();

        assert_eq!(files(out.path()), first);
    }

    #[test]
    fn nobody_is_told_a_secret_of_another() {
        let out = tempfile::tempdir().unwrap();
        init(out.path()).run().unwrap();

        let all = files(out.path());
        let token = |service: &str| &all[&out.path().join(service).join("join.token")];
        let told = &all[&out.path().join("control/bootstrap.json")];
        for service in SERVICES {
            let secret = token(service).rsplit(':').next().unwrap();
            assert_eq!(all.values().filter(|text| text.contains(secret)).count(), 1, "{service}");
        }
        assert!(!told.contains("PRIVATE KEY"));
        let key = |owner: &str| &all[&out.path().join(owner).join("master.key")];
        assert_ne!(key("control"), key("platform"));
    }

    #[test]
    fn a_lost_token_is_made_anew_and_told() {
        let out = tempfile::tempdir().unwrap();
        init(out.path()).run().unwrap();
        let (lost, told) = (out.path().join("data/join.token"), out.path().join("control/bootstrap.json"));
        let (before, token) = (Bootstrap::read(&told).unwrap(), std::fs::read_to_string(&lost).unwrap());

        std::fs::remove_file(&lost).unwrap();
        init(out.path()).run().unwrap();

        assert_ne!(std::fs::read_to_string(&lost).unwrap(), token);
        let after = Bootstrap::read(&told).unwrap();
        assert_eq!(after.count_of("data"), before.count_of("data") + 1);
    }

    #[test]
    fn another_trust_domain_is_refused() {
        let out = tempfile::tempdir().unwrap();
        init(out.path()).run().unwrap();

        let other = Init { trust_domain: "other.local".to_owned(), ..init(out.path()) };
        assert!(other.run().unwrap_err().to_string().contains("test.local"));
        let bad = Init { trust_domain: "No Domain".to_owned(), ..init(tempfile::tempdir().unwrap().path()) };
        assert!(bad.run().is_err());
    }
}
