//! An accepted connection: it holds one of the listener's places as long as it is open, a peer that stops reading loses
//! it, and one that is still writing when we are done is heard out for a moment.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, timeout_at};

/// Longest time that a peer may take nothing of what is written to it. Progress is what the socket reports: a kernel
/// buffer that was full counts as moving again once a good part of it is free.
const WRITE_STALL: Duration = Duration::from_secs(60);

/// How long a peer is heard out that still sends after our end. Were the socket closed with something unread, the kernel
/// would reset the connection, and the peer lose the answer that told it to stop (RFC 9112 §9.6); most clients look for
/// it only when they have sent everything.
const LINGER: Duration = Duration::from_secs(10);
/// How long it may pause meanwhile.
const LINGER_PAUSE: Duration = Duration::from_secs(1);
/// How much is read of it: more than most bodies that are refused for their size.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream whose writes fail instead of waiting for ever; upgraded connections too.
pub struct Connection {
    /// Both are there until the connection is dropped.
    stream: Option<Box<dyn Stream>>,
    place: Option<OwnedSemaphorePermit>,
    /// Made when a write waits for the first time.
    stall: Option<Pin<Box<Sleep>>>,
    /// Whether the last write waited.
    stalled: bool,
    /// Whether we have said that we are done, and whether the peer has.
    ended: bool,
    peer_ended: bool,
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>, place: OwnedSemaphorePermit) -> Connection {
        Connection {
            stream: Some(stream),
            place: Some(place),
            stall: None,
            stalled: false,
            ended: false,
            peer_ended: false,
        }
    }

    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        Pin::new(&mut **self.stream.as_mut().expect("the stream is there until the connection is dropped"))
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

/// Nobody reads any more: only now can what the peer still sends be dropped without being missed, as it would be in a
/// tunnel that has ended in one direction.
impl Drop for Connection {
    fn drop(&mut self) {
        let (Some(stream), place) = (self.stream.take(), self.place.take()) else { return };
        if let (true, false, Ok(runtime)) = (self.ended, self.peer_ended, Handle::try_current()) {
            runtime.spawn(async move {
                linger(stream).await;
                drop(place);
            });
        }
    }
}

/// Reads and forgets until the peer has ended too, or has had its time or its bytes.
async fn linger(mut stream: Box<dyn Stream>) {
    let until = Instant::now() + LINGER;
    let mut left_bytes = LINGER_BYTES;
    let mut discarded = vec![0; 16 * 1024];
    while left_bytes > 0 {
        let pause = until.min(Instant::now() + LINGER_PAUSE);
        match timeout_at(pause, stream.read(&mut discarded)).await {
            Ok(Ok(count @ 1..)) => left_bytes = left_bytes.saturating_sub(count),
            _ => return,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let outcome = self.stream().poll_read(cx, buffer);
        if outcome.is_ready() && room > 0 && buffer.filled().len() == before {
            self.peer_ended = true;
        }
        outcome
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = self.stream().poll_write(cx, bytes);
        self.watch(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.stream().poll_write_vectored(cx, slices);
        self.watch(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = self.stream().poll_shutdown(cx);
        self.ended |= matches!(outcome, Poll::Ready(Ok(())));
        outcome
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
        drop(connection);
        assert_eq!(writer.await.unwrap(), b"stop");

        // one that says no more, and one that never ends
        for (is_silent, patience) in [(true, LINGER_PAUSE), (false, LINGER)] {
            let (mut connection, mut theirs) = pair().await;
            let started = Instant::now();
            connection.shutdown().await.unwrap();
            drop(connection);
            if is_silent {
                sleep(LINGER_PAUSE * 3 / 2).await;
            }
            while theirs.write_all(b"more").await.is_ok() {
                sleep(LINGER_PAUSE / 10).await;
            }
            assert!(started.elapsed().abs_diff(patience) < LINGER_PAUSE, "{:?}", started.elapsed());
        }
    }

    #[tokio::test]
    async fn who_ends_one_direction_still_reads_the_other() {
        let (mut connection, mut theirs) = pair().await;
        connection.shutdown().await.unwrap();
        theirs.write_all(b"the rest").await.unwrap();
        drop(theirs);

        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.unwrap();

        assert_eq!(rest, b"the rest");
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
