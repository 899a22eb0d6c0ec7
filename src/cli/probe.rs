//! `meshbase probe`: whether something is there, for health checks in an image that has nothing but us.

use std::net::SocketAddr;
use std::time::Duration;

use base::error::{BAD_REQUEST, UNAVAILABLE};
use base::{Error, Result};
use http::Method;
use mesh::resource::Listen;
use tokio::net::{TcpStream, lookup_host};
use url::Url;

use crate::local_http;

/// Asks whether something is there; the exit code says it.
#[derive(clap::Args, Debug)]
pub struct Probe {
    /// `http://HOST:PORT/PATH`, which must answer 2xx, or `tcp://HOST:PORT`, which must accept a connection.
    url: Url,
    /// The longest wait for it, in seconds.
    #[arg(long, default_value_t = 2, value_name = "SECONDS")]
    timeout: u64,
}

impl Probe {
    pub(super) async fn run(self) -> Result<()> {
        let limit = Duration::from_secs(self.timeout);
        match tokio::time::timeout(limit, self.asked()).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(UNAVAILABLE.error(format!("{} did not answer within {} s", self.url, self.timeout)))
            }
        }
    }

    /// Of several addresses that a name has, one that answers is enough.
    async fn asked(&self) -> Result<()> {
        let mut refused = None;
        for addr in self.addresses().await? {
            match self.asked_at(addr).await {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| UNAVAILABLE.error(format!("{} has no address", self.url))))
    }

    async fn asked_at(&self, addr: SocketAddr) -> Result<()> {
        match self.url.scheme() {
            "tcp" => drop(TcpStream::connect(addr).await.map_err(|error| self.unreachable(error))?),
            "http" => {
                let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
                let answer = local_http::send(&Listen::Tcp(addr), Method::GET, path).await;
                let (status, body) = answer.map_err(|error| self.unreachable(error))?;
                if !status.is_success() {
                    let said = String::from_utf8_lossy(&body).trim().to_owned();
                    return Err(UNAVAILABLE.error(format!("{} answered {status}: {said}", self.url)));
                }
            }
            other => return Err(BAD_REQUEST.error(format!("{other}: is neither http: nor tcp:"))),
        }
        Ok(())
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let (host, port) = (self.url.host_str(), self.url.port_or_known_default());
        let (Some(host), Some(port)) = (host, port) else {
            return Err(BAD_REQUEST.error(format!("{} has no host and port", self.url)));
        };
        // an IPv6 address is in brackets in a URL only
        let host = host.trim_matches(['[', ']']);
        let found = lookup_host((host, port)).await.map_err(|error| self.unreachable(error))?;
        Ok(found.collect())
    }

    fn unreachable(&self, error: std::io::Error) -> Error {
        UNAVAILABLE.error(format!("{} does not answer", self.url)).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn probe(url: &str) -> Result<(), String> {
        let probe = Probe { url: url.parse().unwrap(), timeout: 30 };
        probe.run().await.map_err(|error| error.message.into_owned())
    }

    /// A program that answers the first request; its address, and the first line that it was asked.
    async fn program(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
        });
        (addr, asked)
    }

    #[tokio::test]
    async fn the_answer_decides() {
        let (addr, asked) = program("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(probe(&format!("http://{addr}/readyz?x=1")).await, Ok(()));
        assert_eq!(asked.await.unwrap(), "GET /readyz?x=1 HTTP/1.1");

        let (addr, _asked) =
            program("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nno\n").await;
        let refused = probe(&format!("http://{addr}/readyz")).await.unwrap_err();
        assert_eq!(refused, format!("http://{addr}/readyz answered 503 Service Unavailable: no"));
    }

    #[tokio::test]
    async fn a_connection_is_enough_if_only_that_is_asked() {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(probe(&format!("tcp://{addr}")).await, Ok(()));
        drop(listener);
        assert_eq!(probe(&format!("tcp://{addr}")).await, Err(format!("tcp://{addr} does not answer")));
    }

    #[tokio::test]
    async fn what_is_no_place_is_refused() {
        assert!(probe("ftp://127.0.0.1:1/").await.unwrap_err().contains("neither"));
        assert!(probe("tcp://127.0.0.1").await.unwrap_err().contains("no host and port"));
        assert!(probe("http:///x").await.is_err());
    }
}
