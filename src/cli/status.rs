//! Speaking to a running installation through the socket in its data folder: who may read the folder may ask.

use std::io::ErrorKind;
use std::path::PathBuf;

use base::error::{OrInternal, UNAVAILABLE};
use base::{Body, Result};
use common::Outbound;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::data_dir::{admin_socket, default_path};
use crate::up::Info;

/// Which installation is meant.
#[derive(clap::Args, Debug)]
pub(super) struct Installation {
    /// The data folder [default: as for `up`].
    #[arg(long, env = "MESHBASE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Installation {
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(http::Request::get(format!("http://admin{path}")).body(Body::empty()).or_internal()?).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.send_json(http::Method::POST, path, body).await
    }

    pub(super) async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.send_json(http::Method::PUT, path, body).await
    }

    async fn send_json<T: DeserializeOwned>(
        &self,
        method: http::Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://admin{path}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(serde_json::to_vec(body).or_internal()?));
        self.send(request.or_internal()?).await
    }

    async fn send<T: DeserializeOwned>(&self, request: base::Request) -> Result<T> {
        let folder = self.data_dir.clone().unwrap_or_else(default_path);
        let socket = admin_socket(&folder);
        // a socket that nobody listens on is what a killed process left behind
        if let Err(error) = UnixStream::connect(&socket).await
            && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
        {
            return Err(UNAVAILABLE
                .error(format!("nothing runs on {}", folder.display()))
                .with_hint("start it with `meshbase up`, or give its folder with --data-dir"));
        }
        Outbound::unix(socket).json(request).await
    }
}

/// Shows where a running installation is and how to use it.
#[derive(clap::Args, Debug)]
pub struct Status {
    #[command(flatten)]
    installation: Installation,
    /// Print the JSON object of `up --json`.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn run(self) -> Result<()> {
        let info: Info = self.installation.get("/status").await?;
        if self.json {
            println!("{}", serde_json::to_string(&info).or_internal()?);
        } else {
            print!("{}", info.table());
        }
        Ok(())
    }
}
