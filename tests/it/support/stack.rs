//! One installation for the whole test binary, on a runtime that outlives every test.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use base::{Random, Secret};
use clap::Parser;
use meshbase::cli::{Cli, Command, STACK_BYTES};
use meshbase::postgres::{Server, Spec};
use meshbase::up::{Config, Up};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.thread_stack_size(STACK_BYTES).enable_all().build().expect("a runtime starts")
});
static STACK: OnceCell<Arc<Stack>> = OnceCell::const_new();

/// The installation that tests share.
pub struct Stack {
    pub up: Up,
    /// The server that projects' databases are on.
    _shared: Server,
}

/// Runs a test on the shared runtime: what it leaves in the background does not die with it.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// The binary under test: the one that was built with the tests, or that `MESHBASE_BINARY` names.
pub fn binary() -> PathBuf {
    std::env::var_os("MESHBASE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_meshbase").into(), PathBuf::from)
}

impl Stack {
    /// The shared installation, started on first use.
    pub async fn shared() -> Arc<Stack> {
        STACK.get_or_init(|| async { Arc::new(Stack::start().await) }).await.clone()
    }

    async fn start() -> Stack {
        let folder = folder();
        let shared = Server::start(
            Spec {
                folder: folder.join("shared"),
                sockets: folder.join(".s"),
                port: 0,
                tcp: true,
                ephemeral: true,
                executable: binary(),
                bin: None,
            },
            &Random::system(),
        )
        .await
        .expect("the shared server starts");
        let url = shared.admin().url();
        // together less than the server takes, beside those of the tests themselves
        let budgets = ["--auth-max-connections=24", "--data-connections=24", "--storage-connections=24"];
        let mut config = config(
            &[&["--listen=127.0.0.1:0", "--shared-database-url", url.expose()], &budgets[..]].concat(),
        );
        config.data_dir = Some(folder.join("up"));
        config.ephemeral = true;
        let up = Up::start(config).await.expect("the installation starts");
        Stack { up, _shared: shared }
    }
}

/// The configuration that these arguments of `up` mean, for this test's binary.
pub fn config(arguments: &[&str]) -> Config {
    let cli = Cli::parse_from(["meshbase", "up"].iter().chain(arguments));
    let Command::Up(mut config) = cli.command else { panic!("`up` was asked for") };
    config.executable = Some(binary());
    config.jwt_secret.get_or_insert(Secret::new("a secret of the default project, 32 bytes and more"));
    *config
}

/// A folder of this process in the temporary folder; those of processes that are gone are removed.
fn folder() -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let parent = std::env::temp_dir().join("meshbase-it");
    let folder = parent.join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    for path in [&parent, &folder] {
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, open).expect("the folder is ours");
    }
    for entry in std::fs::read_dir(&parent).expect("it was just made").flatten() {
        let name = entry.file_name();
        if !PathBuf::from("/proc").join(&name).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    folder
}
