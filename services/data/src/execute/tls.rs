//! Encryption of database connections: required for an endpoint or not used.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How to connect.
#[derive(Clone)]
pub(crate) enum Tls {
    /// In the clear: a UNIX socket, or a server on the same machine.
    Off,
    /// With the server's certificate checked against the public roots.
    Required(Arc<ClientConfig>),
}

/// A stream that a connection runs over.
pub(crate) trait Stream:
    tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static
{
}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// What to make of a fresh connection, whatever it runs over.
pub(crate) trait Driver {
    /// What it becomes.
    type Output;
    /// Takes the halves.
    fn drive<S: Stream>(self, client: Client, connection: Connection<Socket, S>) -> Self::Output;
}

impl Tls {
    /// TLS with the public roots, or none.
    pub(crate) fn of(required: bool) -> Tls {
        if !required {
            return Tls::Off;
        }
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the protocol versions it is built with")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Tls::Required(Arc::new(config))
    }

    /// Connects, and hands the halves to `driver`.
    pub(crate) async fn connect<D: Driver>(
        &self,
        config: &Config,
        driver: D,
    ) -> Result<D::Output, tokio_postgres::Error> {
        match self {
            Tls::Off => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok(driver.drive(client, connection))
            }
            Tls::Required(tls) => {
                let tls = MakeRustlsConnect::new(ClientConfig::clone(tls));
                let (client, connection) = config.connect(tls).await?;
                Ok(driver.drive(client, connection))
            }
        }
    }

    /// How to encrypt, if at all.
    pub(crate) fn client(&self) -> Option<&Arc<ClientConfig>> {
        match self {
            Tls::Off => None,
            Tls::Required(config) => Some(config),
        }
    }
}
