//! How many connections to one endpoint are open, whatever they carry by now.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Cause;
use crate::io::Io;

/// Counts the open connections to one endpoint and bounds them. Clones count together.
#[derive(Clone)]
pub(crate) struct Open(Arc<Count>);

struct Count {
    open: AtomicUsize,
    most: usize,
}

impl Open {
    pub(crate) fn new(most: usize) -> Open {
        Open(Arc::new(Count { open: AtomicUsize::new(0), most }))
    }

    /// A place for one more connection.
    ///
    /// Errors: [`Cause::Overloaded`] if as many as there may be are open.
    pub(super) fn take(&self) -> Result<Place, Cause> {
        let place = Place(self.0.clone());
        // counted before it is looked at: of two at once, none passes the bound
        if self.0.open.fetch_add(1, Ordering::Relaxed) >= self.0.most {
            return Err(Cause::Overloaded);
        }
        Ok(place)
    }
}

/// One connection's place, given back when this is dropped.
pub(super) struct Place(Arc<Count>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection to an endpoint with its place: the place is taken until the bytes' last owner lets go, which for an
/// upgraded connection is long after HTTP did.
pub(crate) struct Counted {
    io: Io,
    _place: Place,
}

impl Counted {
    pub(super) fn new(io: Io, place: Place) -> Counted {
        Counted { io, _place: place }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
    use super::*;

    #[test]
    fn there_are_never_more_than_the_bound_and_a_place_comes_back() {
        let open = Open::new(2);
        let (first, _second) = (open.take().unwrap(), open.take().unwrap());

        assert_eq!(open.take().err(), Some(Cause::Overloaded));
        assert_eq!(open.take().err(), Some(Cause::Overloaded), "a refusal takes nothing");

        drop(first);
        assert!(open.take().is_ok());
    }
}
