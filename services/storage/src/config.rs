//! What the process is told at start, and what each project may set.

use std::path::PathBuf;

use clap::Args;
use common::db::Budget;
use serde::Deserialize;

use crate::name::KeyRule;
use crate::size::ByteSize;

/// How the storage service runs.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// Folder of the objects' bytes; `blobs` in the service's own folder unless given.
    #[arg(id = "storage-dir", long, env = "MESHBASE_STORAGE_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Uploads at once, over all projects. Each takes up to 1 MiB of memory.
    #[arg(id = "storage-max-uploads", long, env = "MESHBASE_STORAGE_MAX_UPLOADS", default_value_t = Config::default().max_uploads)]
    pub max_uploads: usize,
    /// Uploads at once, for one project.
    #[arg(id = "storage-max-uploads-per-project", long, env = "MESHBASE_STORAGE_MAX_UPLOADS_PER_PROJECT", default_value_t = Config::default().max_uploads_per_project)]
    pub max_uploads_per_project: usize,
    /// Database connections, over all projects.
    #[arg(id = "storage-connections", long, env = "MESHBASE_STORAGE_CONNECTIONS", default_value_t = Config::default().connections)]
    pub connections: u32,
    /// Database connections, for one project.
    #[arg(id = "storage-connections-per-project", long, env = "MESHBASE_STORAGE_CONNECTIONS_PER_PROJECT", default_value_t = Config::default().connections_per_project)]
    pub connections_per_project: u32,
}

impl Default for Config {
    fn default() -> Config {
        let budget = Budget::default();
        Config {
            dir: None,
            max_uploads: 64,
            max_uploads_per_project: 32,
            connections: budget.total,
            connections_per_project: budget.per_project,
        }
    }
}

impl Config {
    pub(crate) fn budget(&self) -> Budget {
        Budget { total: self.connections, per_project: self.connections_per_project, ..Budget::default() }
    }
}

/// The project's `[storage]` section; keys of later features are not read here.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Largest object of any bucket, in bytes or as `"50MiB"`.
    pub(crate) file_size_limit: ByteSize,
    /// Whether object keys may be any UTF-8, beyond the characters of the original API.
    pub(crate) unicode_keys: bool,
    /// How long a signed upload URL lives, in seconds.
    pub(crate) signed_upload_url_expires_in: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            file_size_limit: ByteSize(50 * 1024 * 1024),
            unicode_keys: false,
            signed_upload_url_expires_in: 2 * 60 * 60,
        }
    }
}

impl Settings {
    pub(crate) fn key_rule(&self) -> KeyRule {
        if self.unicode_keys { KeyRule::Unicode } else { KeyRule::Strict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_of_an_existing_folder_is_read() {
        let section = serde_json::json!({
            "enabled": true, "file_size_limit": "10MiB", "buckets": { "images": { "public": true } }
        });

        let settings: Settings = serde_json::from_value(section).unwrap();

        assert_eq!(settings.file_size_limit, ByteSize(10 * 1024 * 1024));
        assert_eq!(settings.key_rule(), KeyRule::Strict);
    }

    #[test]
    fn command_line_ids_are_well_formed() {
        Config::augment_args(clap::Command::new("storage")).debug_assert();
    }
}
