//! Bodies that are watched: by a clock, by whoever holds a place for them, and by the record of their exchange.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base::Body;
use base::error::Source;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::record::Record;
use crate::{Cause, hop};

/// How long a body may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Its last byte must have come by then.
    Until(Instant),
    /// No pause may be longer while somebody waits for its next byte. A reader may take its time: only the producer is
    /// on the clock.
    Idle(Duration),
    /// As long as it likes.
    Free,
}

/// A clock over the waits of one body.
struct Pacer {
    pace: Pace,
    /// Made at the first wait: most small bodies never wait.
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Pacer {
    fn new(pace: Pace) -> Pacer {
        Pacer { pace, sleep: None, waiting: false }
    }

    /// A frame came.
    fn moved(&mut self) {
        self.waiting = false;
    }

    /// None came: resolves when that has lasted too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = match self.pace {
            Pace::Free => return Poll::Pending,
            Pace::Until(until) => until,
            Pace::Idle(idle) => match &self.sleep {
                Some(sleep) if self.waiting => sleep.deadline(),
                _ => Instant::now() + idle,
            },
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        self.waiting = true;
        sleep.as_mut().poll(cx)
    }
}

/// How far a request's body has come.
#[derive(Default)]
pub(crate) struct Progress {
    bytes: AtomicU64,
    broken: AtomicBool,
}

impl Progress {
    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether it broke off or stalled: what follows is not the endpoint's fault.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// A request's body on its way to an endpoint.
struct Outgoing {
    body: Body,
    pacer: Pacer,
    progress: Arc<Progress>,
    /// Cancels when the body has ended or was dropped.
    ended: Option<DropGuard>,
}

/// `body`, paced and watched; the token is cancelled when it has ended. What its trailers must not say is left out.
pub(crate) fn outgoing(body: Body, pace: Pace) -> (Body, Arc<Progress>, CancellationToken) {
    let progress = Arc::<Progress>::default();
    let ended = CancellationToken::new();
    if body.is_end_stream() {
        ended.cancel();
        return (body, progress, ended);
    }
    let guard = Some(ended.clone().drop_guard());
    let outgoing = Outgoing { body, pacer: Pacer::new(pace), progress: progress.clone(), ended: guard };
    (Body::new(outgoing), progress, ended)
}

/// `frame`, if it is trailers without what they must not say.
fn cleaned(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        hop::clean_trailers(trailers);
    }
    frame
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Source;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Source>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.pacer.moved();
                match &frame {
                    Some(Ok(frame)) => {
                        let bytes = frame.data_ref().map_or(0, Bytes::len);
                        self.progress.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                    }
                    Some(Err(_)) => self.progress.broken.store(true, Ordering::Relaxed),
                    None => {}
                }
                if frame.is_none() || self.body.is_end_stream() {
                    self.ended.take();
                }
                Poll::Ready(frame.map(|frame| frame.map(cleaned).map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.pacer.poll_late(cx));
                self.progress.broken.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(Cause::RequestBody.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body on its way to the caller. `G` is what the exchange holds as long as it lasts.
struct Incoming<G> {
    body: Body,
    pacer: Pacer,
    record: Record,
    cut: Option<BoxFuture<'static, ()>>,
    _held: G,
}

/// `body`, paced, with its end told to `record`; `held` is let go when the body has ended or is dropped. If `cut`
/// resolves before, the body breaks off.
pub(crate) fn incoming<G: Send + Unpin + 'static>(
    body: Body,
    pace: Pace,
    record: Record,
    cut: Option<BoxFuture<'static, ()>>,
    held: G,
) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Incoming { body, pacer: Pacer::new(pace), record, cut, _held: held })
}

impl<G: Send + Unpin + 'static> http_body::Body for Incoming<G> {
    type Data = Bytes;
    type Error = Source;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Source>>> {
        if let Some(cut) = &mut self.cut
            && cut.as_mut().poll(cx).is_ready()
        {
            self.record.broke_off(Cause::Cut);
            return Poll::Ready(Some(Err(Cause::Cut.into())));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.pacer.moved();
                match &frame {
                    Some(Ok(frame)) => self.record.frame(frame),
                    Some(Err(_)) => self.record.broke_off(Cause::Reset),
                    None => {}
                }
                Poll::Ready(frame.map(|frame| frame.map(cleaned).map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.pacer.poll_late(cx));
                let cause = match self.pacer.pace {
                    Pace::Until(_) => Cause::Deadline,
                    _ => Cause::ResponseTimeout,
                };
                self.record.broke_off(cause);
                Poll::Ready(Some(Err(cause.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::BodyExt;
    use tokio::time::sleep;

    use super::*;

    const IDLE: Duration = Duration::from_secs(1);

    /// Three frames, each `pause` after it was asked for.
    fn frames(pause: Duration) -> Body {
        Body::from_stream(stream::unfold(0, move |n| async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            (n < 3).then_some((Ok::<_, Infallible>(Bytes::from_static(b".")), n + 1))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_pauses_is_not_cut_off() {
        for pause in [Duration::ZERO, IDLE / 2] {
            let (mut body, progress, ended) = outgoing(frames(pause), Pace::Idle(IDLE));
            for _ in 0..3 {
                sleep(IDLE * 3).await;
                body.frame().await.unwrap().unwrap();
            }
            sleep(IDLE * 3).await;
            assert!(body.frame().await.is_none());
            assert_eq!(progress.bytes(), 3);
            assert!(ended.is_cancelled());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_producer_that_stalls_is_cut_off() {
        let started = Instant::now();

        let cut = outgoing(frames(IDLE * 2), Pace::Idle(IDLE)).0.frame().await.unwrap();

        assert!(cut.is_err());
        assert!(started.elapsed() < IDLE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_does_not_move_with_the_frames() {
        let (mut body, ..) = outgoing(frames(IDLE / 2), Pace::Until(Instant::now() + IDLE + IDLE / 4));

        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
    }
}
