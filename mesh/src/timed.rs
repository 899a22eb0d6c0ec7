//! Bodies with a clock: a moment by which the last byte must have come, or a longest pause between two.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// Why a timed body broke off.
#[derive(Debug)]
pub(crate) struct TooSlow;

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body did not come in time")
    }
}

impl std::error::Error for TooSlow {}

/// A body that fails with [`TooSlow`] instead of waiting for ever.
struct Timed {
    body: Body,
    sleep: Pin<Box<Sleep>>,
    /// Set if each wait for a frame starts the clock anew.
    idle: Option<Duration>,
    /// Whether somebody was told to wait for the next frame.
    waiting: bool,
    /// Fires when the body ended or was dropped.
    ended: Option<oneshot::Sender<()>>,
}

/// `body`, to end by `deadline`.
pub(crate) fn until(body: Body, deadline: Instant) -> Body {
    wrap(body, deadline, None, None)
}

/// `body`, with no pause longer than `idle` while somebody waits for its next byte. A reader may take its time: only
/// the producer is on the clock.
pub(crate) fn with_idle(body: Body, idle: Duration) -> Body {
    wrap(body, Instant::now() + idle, Some(idle), None)
}

/// As [`with_idle`]; the receiver resolves when the body has ended.
pub(crate) fn with_idle_and_end(body: Body, idle: Duration) -> (Body, oneshot::Receiver<()>) {
    let (ended, end) = oneshot::channel();
    (wrap(body, Instant::now() + idle, Some(idle), Some(ended)), end)
}

fn wrap(body: Body, deadline: Instant, idle: Option<Duration>, ended: Option<oneshot::Sender<()>>) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Timed {
        body,
        sleep: Box::pin(tokio::time::sleep_until(deadline)),
        idle,
        waiting: false,
        ended,
    })
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = base::error::Source;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.waiting = false;
                if frame.is_none() || self.body.is_end_stream() {
                    self.ended.take();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                if let Some(idle) = self.idle.filter(|_| !self.waiting) {
                    self.sleep.as_mut().reset(Instant::now() + idle);
                }
                self.waiting = true;
                ready!(self.sleep.as_mut().poll(cx));
                Poll::Ready(Some(Err(TooSlow.into())))
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
            let mut body = with_idle(frames(pause), IDLE);
            for _ in 0..3 {
                sleep(IDLE * 3).await;
                body.frame().await.unwrap().unwrap();
            }
            sleep(IDLE * 3).await;
            assert!(body.frame().await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_producer_that_stalls_is_cut_off() {
        let started = Instant::now();

        let cut = with_idle(frames(IDLE * 2), IDLE).frame().await.unwrap();

        assert!(cut.is_err());
        assert!(started.elapsed() < IDLE * 2);
    }
}
