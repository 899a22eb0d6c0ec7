//! `meshbase drain`: tells a running proxy to stop taking requests, through its admin socket.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use base::error::{DEADLINE_EXCEEDED, FORBIDDEN, UNAVAILABLE};
use base::{Error, Result};
use http::Method;
use mesh::resource::Listen;
use tokio::time::timeout;

use crate::local_http;

/// Tells a running proxy to take no new requests and to finish those under way.
#[derive(clap::Args, Debug)]
pub struct Drain {
    /// The proxy's admin socket, `sidecar.admin` in its file.
    #[arg(long, env = "MESHBASE_ADMIN_SOCKET", value_name = "PATH")]
    admin: PathBuf,
    /// Return only when no request is under way any more.
    #[arg(long)]
    wait: bool,
    /// Seconds to wait before: until load balancers have heard that the program will end.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    after: u64,
    /// The longest wait for the proxy's answer, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
}

impl Drain {
    pub(super) async fn run(self) -> Result<()> {
        tokio::time::sleep(Duration::from_secs(self.after)).await;
        let path = if self.wait { "/drain?wait=true" } else { "/drain" };
        let admin = Listen::Unix(self.admin.clone());
        let answer = local_http::send(&admin, Method::POST, path);
        let (status, body) = timeout(Duration::from_secs(self.timeout), answer)
            .await
            .map_err(|_| self.late())?
            .map_err(|error| self.unreachable(error))?;
        if !status.is_success() {
            let said = String::from_utf8_lossy(&body);
            return Err(UNAVAILABLE.error(format!("the proxy answered {status}: {}", said.trim())));
        }
        Ok(())
    }

    fn late(&self) -> Error {
        let message = if self.wait { "requests are still under way" } else { "the proxy did not answer" };
        DEADLINE_EXCEEDED.error(format!("{message} after {} s", self.timeout))
    }

    fn unreachable(&self, error: std::io::Error) -> Error {
        let path = self.admin.display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => UNAVAILABLE
                .error(format!("no proxy listens on {path}"))
                .with_hint("give the path that its file has under sidecar.admin"),
            ErrorKind::PermissionDenied => FORBIDDEN.error(format!("{path} belongs to another user")),
            _ => UNAVAILABLE.error(format!("the proxy on {path} did not answer")),
        }
        .caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    fn drain(admin: &std::path::Path, wait: bool) -> Drain {
        Drain { admin: admin.to_owned(), wait, after: 0, timeout: 30 }
    }

    /// A proxy that is asked once and answers `answer`; the first line that it got.
    async fn proxy(listener: UnixListener, answer: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 512];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).lines().next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn the_proxy_is_told_whether_somebody_waits() {
        let folder = tempfile::tempdir().unwrap();
        for (name, wait, expected) in
            [("a", true, "POST /drain?wait=true HTTP/1.1"), ("b", false, "POST /drain HTTP/1.1")]
        {
            let socket = folder.path().join(name);
            let listener = UnixListener::bind(&socket).unwrap();
            let no_content = "HTTP/1.1 204 No Content\r\n\r\n";

            let (drained, asked) = tokio::join!(drain(&socket, wait).run(), proxy(listener, no_content));

            drained.unwrap();
            assert_eq!(asked, expected);
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a");
        let listener = UnixListener::bind(&socket).unwrap();
        let answer = "HTTP/1.1 409 Conflict\r\ncontent-length: 9\r\n\r\nnot now\r\n";

        let (drained, _) = tokio::join!(drain(&socket, true).run(), proxy(listener, answer));

        assert_eq!(drained.unwrap_err().message, "the proxy answered 409 Conflict: not now");
    }

    #[tokio::test]
    async fn nobody_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let left_behind = folder.path().join("left");
        drop(UnixListener::bind(&left_behind).unwrap());
        let broken = folder.path().join("broken");
        let listener = UnixListener::bind(&broken).unwrap();

        for path in [&missing, &left_behind] {
            let error = drain(path, true).run().await.unwrap_err();
            assert_eq!(error.message, format!("no proxy listens on {}", path.display()));
        }
        let (error, _) = tokio::join!(drain(&broken, true).run(), proxy(listener, ""));
        assert_eq!(error.unwrap_err().message, format!("the proxy on {} did not answer", broken.display()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_does_not_answer_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a");
        let _listener = UnixListener::bind(&socket).unwrap();

        let error = drain(&socket, true).run().await.unwrap_err();

        assert_eq!(error.message, "requests are still under way after 30 s");
    }
}
