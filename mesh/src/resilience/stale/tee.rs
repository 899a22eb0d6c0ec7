//! A body on its way to the caller, of which a copy is handed over when it has ended properly.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};

/// A body on its way whose bytes are kept.
pub(super) struct Keeping {
    body: Body,
    pieces: Vec<Bytes>,
    bytes: usize,
    limit: usize,
    /// Where the answer goes once it is whole; `None` if it is settled or was given up.
    pending: Option<Pending>,
}

/// Takes an answer with this body once it is whole.
type Pending = Box<dyn FnOnce(Bytes) + Send>;

impl Keeping {
    /// `body`, handed to `pending` as well when it ends properly, without trailers and with at most `limit` bytes.
    pub(super) fn body(body: Body, limit: usize, pending: impl FnOnce(Bytes) + Send + 'static) -> Body {
        let mut keeping =
            Keeping { body, pieces: Vec::new(), bytes: 0, limit, pending: Some(Box::new(pending)) };
        keeping.settle_if_ended();
        Body::new(keeping)
    }

    fn give_up(&mut self) {
        self.pending = None;
        self.pieces = Vec::new();
    }

    fn see(&mut self, frame: &Option<Result<Frame<Bytes>, axum::Error>>) {
        match frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) if self.pending.is_some() && self.bytes + data.len() <= self.limit => {
                    self.bytes += data.len();
                    self.pieces.push(data.clone());
                    self.settle_if_ended();
                }
                _ => self.give_up(),
            },
            Some(Err(_)) => self.give_up(),
            None => self.settle(),
        }
    }

    /// Whoever reads may stop where the body says that it has ended, without asking for what comes after.
    fn settle_if_ended(&mut self) {
        if self.body.is_end_stream() {
            self.settle();
        }
    }

    /// Hands the bytes over, copied: a piece may hold on to a much larger buffer.
    fn settle(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let mut body = BytesMut::with_capacity(self.bytes);
        std::mem::take(&mut self.pieces).iter().for_each(|piece| body.extend_from_slice(piece));
        pending(body.freeze());
    }
}

impl http_body::Body for Keeping {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.see(&frame);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
