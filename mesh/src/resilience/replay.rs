//! A request's body that can be sent again.
//!
//! Nothing is read ahead: what the first attempt reads is kept, by reference, up to a limit. A further attempt gets
//! what was kept and then the rest of the original. Over the limit the body goes on, but not twice.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use base::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

/// The most pieces that are kept: many tiny ones cost more than their bytes.
const MAX_PIECES: usize = 1024;

/// Gives a body to further attempts.
#[derive(Debug)]
pub(crate) struct Replay(Source);

#[derive(Debug)]
enum Source {
    /// There is nothing to send.
    Empty,
    /// It is surely too long.
    TooLong,
    Kept(Arc<Mutex<Kept>>),
}

#[derive(Debug)]
struct Kept {
    pieces: Vec<Bytes>,
    bytes: usize,
    limit: usize,
    /// What was not read yet; `None` when all was.
    rest: Option<Body>,
    /// Whether the pieces are the body so far: not if it was too long, had trailers, or broke off.
    replayable: bool,
    /// The attempt that may read the rest: the latest.
    attempt: u32,
    /// Who waits for the rest.
    waiting: Option<Waker>,
}

/// An attempt's body came to where it would read on, but a later attempt does that now.
#[derive(Debug)]
pub(crate) struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another attempt took over the body")
    }
}

impl std::error::Error for CutOff {}

impl Replay {
    /// The body for the first attempt, and what gives it to more. At most `limit` bytes are kept.
    ///
    /// An empty body costs nothing, and neither does one that says that it is over the limit.
    pub(crate) fn new(body: Body, limit: usize) -> (Body, Replay) {
        if body.is_end_stream() {
            return (body, Replay(Source::Empty));
        }
        if body.size_hint().lower() > limit as u64 {
            return (body, Replay(Source::TooLong));
        }
        let kept = Arc::new(Mutex::new(Kept {
            pieces: Vec::new(),
            bytes: 0,
            limit,
            rest: Some(body),
            replayable: true,
            attempt: 0,
            waiting: None,
        }));
        (Body::new(Attempt { kept: kept.clone(), number: 0, next: 0 }), Replay(Source::Kept(kept)))
    }

    /// The whole body once more. `None` if it cannot be had: too long, broken off, or with trailers.
    ///
    /// The attempt before may still be alive. It is cut off: it fails with [`CutOff`] as soon as it would read what
    /// nobody has read yet. Two attempts beside each other need [`Replay::is_complete`] first.
    pub(crate) fn again(&self) -> Option<Body> {
        let kept = match &self.0 {
            Source::Empty => return Some(Body::empty()),
            Source::TooLong => return None,
            Source::Kept(kept) => kept,
        };
        let mut state = lock(kept);
        if !state.replayable {
            return None;
        }
        state.attempt += 1;
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
        Some(Body::new(Attempt { kept: kept.clone(), number: state.attempt, next: 0 }))
    }

    /// Whether [`Replay::again`] would give a body now.
    #[cfg(test)]
    pub(crate) fn is_replayable(&self) -> bool {
        match &self.0 {
            Source::Empty => true,
            Source::TooLong => false,
            Source::Kept(kept) => lock(kept).replayable,
        }
    }

    /// Whether all of the body is kept, so that several attempts may read it at once.
    pub(crate) fn is_complete(&self) -> bool {
        match &self.0 {
            Source::Empty => true,
            Source::TooLong => false,
            Source::Kept(kept) => lock(kept).is_complete(),
        }
    }
}

/// A body that panics while it is read poisons the lock; what was kept before is still right.
fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn is_complete(&self) -> bool {
        self.replayable && self.rest.is_none()
    }

    fn give_up(&mut self) {
        self.replayable = false;
        self.pieces = Vec::new();
    }

    /// The next frame of the rest, kept if it can be.
    fn read_on(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, base::error::Source>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(&mut *rest).poll_frame(cx) else {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.waiting = None;
        match &frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => self.keep(data.clone()),
                None => self.give_up(),
            },
            Some(Err(_)) => self.give_up(),
            None => {}
        }
        if frame.is_none() || self.rest.as_ref().is_some_and(|rest| rest.is_end_stream()) {
            self.rest = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn keep(&mut self, data: Bytes) {
        if !self.replayable || data.is_empty() {
            return;
        }
        self.bytes += data.len();
        if self.bytes > self.limit || self.pieces.len() == MAX_PIECES {
            self.give_up();
        } else {
            self.pieces.push(data);
        }
    }
}

/// The body of one attempt.
struct Attempt {
    kept: Arc<Mutex<Kept>>,
    number: u32,
    /// The piece that comes next.
    next: usize,
}

impl http_body::Body for Attempt {
    type Data = Bytes;
    type Error = base::error::Source;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let kept = self.kept.clone();
        let mut kept = lock(&kept);
        if let Some(piece) = kept.pieces.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        let is_latest = kept.attempt == self.number;
        if !is_latest && !kept.is_complete() {
            return Poll::Ready(Some(Err(CutOff.into())));
        }
        let frame = ready!(kept.read_on(cx));
        self.next = kept.pieces.len();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let kept = lock(&self.kept);
        let is_latest = kept.attempt == self.number;
        self.next >= kept.pieces.len() && kept.rest.is_none() && (is_latest || kept.replayable)
    }

    fn size_hint(&self) -> SizeHint {
        let kept = lock(&self.kept);
        let mut hint = kept.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), |rest| rest.size_hint());
        let pieces = kept.pieces.iter().skip(self.next).map(|piece| piece.len() as u64).sum::<u64>();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(pieces));
        }
        hint.set_lower(hint.lower().saturating_add(pieces));
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};
    use proptest::prelude::*;

    use super::*;

    fn body(pieces: &[&'static str]) -> Body {
        let frames: Vec<_> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        streamed(frames)
    }

    fn streamed(frames: Vec<Result<Frame<Bytes>, std::io::Error>>) -> Body {
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    async fn read(body: Body) -> Result<Bytes, axum::Error> {
        body.collect().await.map(http_body_util::Collected::to_bytes)
    }

    async fn piece(body: &mut Body) -> Result<Bytes, axum::Error> {
        body.frame().await.unwrap().map(|frame| frame.into_data().unwrap())
    }

    fn is_cut_off(error: &axum::Error) -> bool {
        let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        causes.any(|cause| cause.is::<CutOff>())
    }

    #[tokio::test]
    async fn a_further_attempt_gets_what_was_read_and_the_rest() {
        let (mut first, replay) = Replay::new(body(&["ab", "cd", "ef"]), 64);
        assert_eq!(piece(&mut first).await.unwrap(), "ab");
        drop(first);

        let mut second = replay.again().unwrap();
        assert_eq!(piece(&mut second).await.unwrap(), "ab");
        assert_eq!(piece(&mut second).await.unwrap(), "cd");
        drop(second);

        assert_eq!(read(replay.again().unwrap()).await.unwrap(), "abcdef");
        assert_eq!(read(replay.again().unwrap()).await.unwrap(), "abcdef");
    }

    #[tokio::test]
    async fn pieces_are_shared_not_copied() {
        let bytes = Bytes::from(vec![7; 100]);
        let (first, replay) = Replay::new(Body::from(bytes.clone()), 100);
        assert_eq!(read(first).await.unwrap().as_ptr(), bytes.as_ptr());

        let mut second = replay.again().unwrap();

        assert_eq!(piece(&mut second).await.unwrap().as_ptr(), bytes.as_ptr());
    }

    #[tokio::test]
    async fn over_the_limit_the_body_goes_on_but_not_twice() {
        let (mut first, replay) = Replay::new(body(&["abc", "def", "g"]), 6);
        piece(&mut first).await.unwrap();
        piece(&mut first).await.unwrap();
        assert!(replay.is_replayable(), "exactly at the limit");
        let mut second = replay.again().unwrap();
        piece(&mut second).await.unwrap();

        assert_eq!(read(second).await.unwrap(), "defg");

        assert!(!replay.is_replayable() && !replay.is_complete());
        assert!(replay.again().is_none());
    }

    #[tokio::test]
    async fn a_body_known_to_be_too_long_is_left_alone() {
        let (first, replay) = Replay::new(Body::from("abc"), 2);

        assert!(!replay.is_replayable());
        assert!(replay.again().is_none());
        assert_eq!(read(first).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn many_tiny_pieces_are_too_much_as_well() {
        let (first, replay) = Replay::new(body(&["."; MAX_PIECES]), MAX_PIECES * 2);
        read(first).await.unwrap();
        assert!(replay.is_complete());

        let (first, replay) = Replay::new(body(&["."; MAX_PIECES + 1]), MAX_PIECES * 2);
        assert_eq!(read(first).await.unwrap().len(), MAX_PIECES + 1);
        assert!(replay.again().is_none());
    }

    #[tokio::test]
    async fn a_body_with_trailers_is_sent_once_with_them() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let frames = vec![Ok(Frame::data(Bytes::from_static(b"a"))), Ok(Frame::trailers(trailers.clone()))];

        let (first, replay) = Replay::new(streamed(frames), 64);

        assert_eq!(first.collect().await.unwrap().trailers(), Some(&trailers));
        assert!(replay.again().is_none() && !replay.is_complete());
    }

    #[tokio::test]
    async fn a_body_that_broke_off_is_not_sent_again() {
        let frames = vec![Ok(Frame::data(Bytes::from_static(b"a"))), Err(std::io::Error::other("reset"))];

        let (first, replay) = Replay::new(streamed(frames), 64);

        assert!(read(first).await.is_err());
        assert!(replay.again().is_none() && !replay.is_replayable() && !replay.is_complete());
    }

    #[tokio::test]
    async fn two_attempts_read_a_complete_body_beside_each_other() {
        let (first, replay) = Replay::new(Body::from("abc"), 64);
        assert!(!replay.is_complete());
        read(first).await.unwrap();
        assert!(replay.is_complete());
        let (mut one, mut other) = (replay.again().unwrap(), replay.again().unwrap());

        assert_eq!(piece(&mut other).await.unwrap(), "abc");
        assert!(other.is_end_stream() && !one.is_end_stream());
        assert_eq!(piece(&mut one).await.unwrap(), "abc");
        assert!(one.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_attempt_that_lives_on_is_cut_off_and_takes_nothing() {
        let (mut first, replay) = Replay::new(body(&["ab", "cd"]), 64);
        piece(&mut first).await.unwrap();

        let second = replay.again().unwrap();

        assert!(is_cut_off(&piece(&mut first).await.unwrap_err()));
        assert_eq!(read(second).await.unwrap(), "abcd");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_waits_is_told_that_it_is_cut_off() {
        let silent = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"a")) })
            .chain(stream::pending());
        let (mut first, replay) = Replay::new(Body::from_stream(silent), 64);
        piece(&mut first).await.unwrap();
        let waiting = tokio::spawn(async move { piece(&mut first).await });
        tokio::task::yield_now().await;

        let _second = replay.again().unwrap();

        let told = tokio::time::timeout(std::time::Duration::from_secs(1), waiting).await.unwrap();
        assert!(is_cut_off(&told.unwrap().unwrap_err()));
    }

    #[tokio::test]
    async fn an_empty_body_is_always_replayable() {
        let (first, replay) = Replay::new(Body::empty(), 0);

        assert!(first.is_end_stream());
        assert!(replay.is_replayable() && replay.is_complete());
        assert!(replay.again().unwrap().is_end_stream());
    }

    #[tokio::test]
    async fn the_length_stays_exact_for_every_attempt() {
        let exact = |body: &Body| body.size_hint().exact();
        let (mut first, replay) = Replay::new(Body::from("abc"), 64);
        assert_eq!(exact(&first), Some(3));
        piece(&mut first).await.unwrap();
        assert_eq!((exact(&first), first.is_end_stream()), (Some(0), true));

        let mut second = replay.again().unwrap();
        assert_eq!(exact(&second), Some(3));
        piece(&mut second).await.unwrap();
        assert_eq!((exact(&second), second.is_end_stream()), (Some(0), true));
    }

    proptest! {
        #[test]
        fn every_attempt_begins_with_the_same_bytes(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..12),
            reads in prop::collection::vec(0_usize..14, 1..5),
            limit in 0_usize..40,
        ) {
            let whole = pieces.concat();
            let frames = pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from(piece)))).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (mut attempt, replay) = Replay::new(streamed(frames), limit);
            for (n, count) in reads.into_iter().enumerate() {
                let mut seen = Vec::new();
                for _ in 0..count {
                    let Some(frame) = runtime.block_on(attempt.frame()) else { break };
                    seen.extend(frame.unwrap().into_data().unwrap());
                }
                prop_assert!(whole.starts_with(&seen), "attempt {n}");
                prop_assert!(seen.len() <= limit || !replay.is_replayable());
                let Some(next) = replay.again() else { return Ok(()) };
                attempt = next;
            }
            let all = runtime.block_on(read(attempt)).unwrap();
            prop_assert_eq!(&all[..], &whole[..]);
            prop_assert_eq!(replay.is_replayable(), whole.len() <= limit);
        }
    }
}
