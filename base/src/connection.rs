//! An accepted connection: it holds one of the listener's places as long as it is open, a peer that stops reading loses
//! it, and one that is still writing when we are done is heard out for a moment.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// Longest time that a peer may take nothing of what is written to it. Progress is what the socket reports: a kernel
/// buffer that was full counts as moving again once a good part of it is free.
const WRITE_STALL: Duration = Duration::from_secs(60);

/// How long a peer is heard out that still writes when nothing more will be answered, how long it may pause meanwhile,
const LINGER: Duration = Duration::from_secs(10);
const LINGER_PAUSE: Duration = Duration::from_secs(1);
/// and how much is read of it: more than most bodies that are refused for their size. Were the socket closed with
/// something unread, the kernel would reset the connection, and the peer lose the answer that told it to stop (RFC 9112
/// §9.6); most clients look for it only when they have sent everything.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream whose writes fail instead of waiting for ever; upgraded connections too.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// Made when a write waits for the first time.
    stall: Option<Pin<Box<Sleep>>>,
    /// Whether the last write waited.
    stalled: bool,
    /// Since we said that we are done.
    lingering: Option<Lingering>,
    _place: OwnedSemaphorePermit,
}

struct Lingering {
    /// The end of the pause that is allowed.
    until: Pin<Box<Sleep>>,
    last: Instant,
    left_bytes: usize,
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>, place: OwnedSemaphorePermit) -> Connection {
        Connection { stream, stall: None, stalled: false, lingering: None, _place: place }
    }

    /// Reads and forgets until the peer has ended too, or has had its time or its bytes.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingering = self.lingering.get_or_insert_with(|| Lingering {
            until: Box::pin(tokio::time::sleep(LINGER_PAUSE)),
            last: Instant::now() + LINGER,
            left_bytes: LINGER_BYTES,
        });
        let mut discarded = [0; 4096];
        while lingering.left_bytes > 0 && lingering.until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut discarded);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    lingering.left_bytes = lingering.left_bytes.saturating_sub(buffer.filled().len());
                    lingering.until.as_mut().reset(lingering.last.min(Instant::now() + LINGER_PAUSE));
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }

    /// Passes a write's outcome on, with the clock running over consecutive waits.
    fn watch<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = false;
            return outcome;
        }
        let until = Instant::now() + WRITE_STALL;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !self.stalled {
            stall.as_mut().reset(until);
            self.stalled = true;
        }
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        self.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Semaphore;
    use tokio::time::sleep;

    use super::*;

    async fn pair() -> (Connection, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(16);
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        (Connection::new(Box::new(ours), place), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_reads_is_given_up() {
        let (mut connection, _theirs) = pair().await;
        let started = Instant::now();

        let error = connection.write_all(&[0; 100]).await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), WRITE_STALL.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_still_writes_is_heard_out_and_not_for_ever() {
        let (mut connection, mut theirs) = pair().await;
        let writer = tokio::spawn(async move {
            theirs.write_all(&[0; 10_000]).await.unwrap();
            let mut answer = Vec::new();
            theirs.read_to_end(&mut answer).await.unwrap();
            answer
        });

        connection.write_all(b"stop").await.unwrap();
        connection.shutdown().await.unwrap();
        assert_eq!(writer.await.unwrap(), b"stop");

        let (mut connection, theirs) = pair().await;
        let started = Instant::now();
        connection.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), LINGER_PAUSE);
        drop(theirs);

        let (mut connection, mut theirs) = pair().await;
        let started = Instant::now();
        tokio::spawn(async move {
            while theirs.write_all(b"more").await.is_ok() {
                sleep(LINGER_PAUSE / 2).await;
            }
        });
        connection.shutdown().await.unwrap();
        assert_eq!(started.elapsed(), LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_served() {
        let (mut connection, mut theirs) = pair().await;
        let reader = tokio::spawn(async move {
            let (mut total, mut buffer) = (0, [0; 16]);
            while total < 100 {
                sleep(WRITE_STALL / 2).await;
                total += theirs.read(&mut buffer).await.unwrap();
            }
        });

        connection.write_all(&[0; 100]).await.unwrap();

        reader.await.unwrap();
    }
}
