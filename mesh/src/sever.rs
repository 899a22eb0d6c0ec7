//! A connection that somebody else can cut, whatever it carries by now.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// Cuts a connection. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Shears(Arc<State>);

#[derive(Default)]
struct State {
    cut: AtomicBool,
    reader: AtomicWaker,
    closed: CancellationToken,
}

impl Shears {
    /// Cuts: the next read and every write fail.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.reader.wake();
    }

    /// Resolves when the connection is gone, cut or not.
    pub(crate) async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// `io`, which ends when it is cut.
    pub(crate) fn around<T>(&self, io: T) -> Severable<T> {
        Severable { io, shears: self.clone() }
    }

    fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }
}

/// A connection that can be cut.
pub(crate) struct Severable<T> {
    io: T,
    shears: Shears,
}

impl<T> Drop for Severable<T> {
    fn drop(&mut self) {
        self.shears.0.closed.cancel();
    }
}

fn severed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the peer may not go on")))
}

impl<T: AsyncRead + Unpin> AsyncRead for Severable<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // HTTP connections are always being read, so the reader's waker is enough
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_pending() {
            self.shears.0.reader.register(cx.waker());
        }
        if self.shears.is_cut() { severed() } else { read }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Severable<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.shears.is_cut() {
            return severed();
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.shears.is_cut() {
            return severed();
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_ends_a_read_that_waits_and_every_write() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let shears = Shears::default();
        let mut io = shears.around(ours);
        io.write_all(b"before").await.unwrap();

        let mut byte = [0];
        let (read, ()) = tokio::join!(io.read(&mut byte), async { shears.cut() });

        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert!(io.write_all(b"after").await.is_err());
    }
}
