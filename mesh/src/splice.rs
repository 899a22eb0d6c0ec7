//! Two connections joined: what one side sends, the other gets.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::observe::{Event, Name, Side};
use crate::plane::DataPlane;

/// A direction starts with a small buffer and gets a large one once it moves in bulk: most connections rest.
const SMALL_BYTES: usize = 4 * 1024;
const LARGE_BYTES: usize = 64 * 1024;

/// What went over a joined connection.
#[derive(Clone, Copy, Debug)]
struct Ended {
    /// Bytes from the caller.
    sent: u64,
    /// Bytes to the caller.
    received: u64,
    /// How long it lived.
    duration: Duration,
}

impl Ended {
    fn event(self, side: Side, destination: Name) -> Event {
        let Ended { sent, received, duration } = self;
        Event::ConnectionEnded { side, destination, sent, received, duration }
    }
}

/// How two connections are joined.
pub(crate) struct Joint {
    /// Who joins them.
    pub(crate) side: Side,
    /// The called service.
    pub(crate) destination: Name,
    /// Longest silence of both directions.
    pub(crate) idle: Duration,
    /// Longest life.
    pub(crate) life: Duration,
    /// Ends it.
    pub(crate) cut: Option<CancellationToken>,
}

impl Joint {
    /// Copies until the end, and tells of it.
    pub(crate) async fn carry(
        &self,
        plane: &DataPlane,
        caller: impl AsyncRead + AsyncWrite,
        callee: impl AsyncRead + AsyncWrite,
    ) {
        let ended = splice(caller, callee, self.idle, self.life, self.cut.as_ref()).await;
        plane.0.observe(&ended.event(self.side, self.destination.clone()));
    }
}

impl DataPlane {
    /// Joins two connections when both have left HTTP, in a task that a stop waits for. `held` is let go at the end.
    pub(crate) fn join<A, B, E, F>(
        &self,
        joint: Joint,
        caller: impl Future<Output = Result<A, E>> + Send + 'static,
        callee: impl Future<Output = Result<B, F>> + Send + 'static,
        held: impl Send + 'static,
    ) where
        A: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
        B: AsyncRead + AsyncWrite + Send + 'static,
        E: Send,
        F: Send,
    {
        let plane = self.clone();
        self.0.joined.spawn(async move {
            if let (Ok(caller), Ok(callee)) = tokio::join!(caller, callee) {
                joint.carry(&plane, hyper_util::rt::TokioIo::new(caller), callee).await;
            }
            drop(held);
        });
    }
}

/// Copies bytes both ways until both sides ended, nothing moved for `idle`, `life` is over, or it is `cut`.
async fn splice(
    caller: impl AsyncRead + AsyncWrite,
    callee: impl AsyncRead + AsyncWrite,
    idle: Duration,
    life: Duration,
    cut: Option<&CancellationToken>,
) -> Ended {
    let started = Instant::now();
    let (from_caller, to_caller) = tokio::io::split(caller);
    let (from_callee, to_callee) = tokio::io::split(callee);
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    // one clock over both directions: a socket that only sends is not idle
    let moved = || sent.load(Ordering::Relaxed).wrapping_add(received.load(Ordering::Relaxed));
    {
        let copied = async {
            tokio::try_join!(copy(from_caller, to_callee, &sent), copy(from_callee, to_caller, &received))
        };
        tokio::select! {
            _ = copied => {}
            () = quiet(idle, moved) => {}
            () = tokio::time::sleep(life) => {}
            () = cancelled(cut) => {}
        }
    }
    Ended { sent: sent.into_inner(), received: received.into_inner(), duration: started.elapsed() }
}

/// Copies until the end, then ends the other side's direction too. A connection that breaks, or was cut, does so in
/// both directions: an error ends everything.
async fn copy(from: impl AsyncRead, to: impl AsyncWrite, moved: &AtomicU64) -> std::io::Result<()> {
    let (mut from, mut to) = (std::pin::pin!(from), std::pin::pin!(to));
    let mut buffer = vec![0; SMALL_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        moved.fetch_add(count as u64, Ordering::Relaxed);
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
        if count == SMALL_BYTES {
            buffer.resize(LARGE_BYTES, 0);
        }
    }
}

async fn cancelled(cut: Option<&CancellationToken>) {
    match cut {
        Some(cut) => cut.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Resolves when `moved` stays the same for `idle`, at the latest after twice that time.
async fn quiet(idle: Duration, moved: impl Fn() -> u64) {
    let mut before = None;
    loop {
        let now = Some(moved());
        if now == before {
            return;
        }
        before = now;
        tokio::time::sleep(idle).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn each_direction_ends_by_itself() {
        let (mut caller, ours) = tokio::io::duplex(1 << 20);
        let (theirs, mut callee) = tokio::io::duplex(1 << 20);
        let joined = tokio::spawn(splice(ours, theirs, LONG, LONG, None));

        caller.write_all(&[1; 100_000]).await.unwrap();
        caller.shutdown().await.unwrap();
        let mut request = Vec::new();
        callee.read_to_end(&mut request).await.unwrap();
        callee.write_all(b"answer").await.unwrap();
        drop(callee);
        let mut answer = Vec::new();
        caller.read_to_end(&mut answer).await.unwrap();

        let ended = joined.await.unwrap();
        assert_eq!((request.len(), answer.as_slice()), (100_000, &b"answer"[..]));
        assert_eq!((ended.sent, ended.received), (100_000, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_ends_it() {
        let (_caller, ours) = tokio::io::duplex(64);
        let (theirs, _callee) = tokio::io::duplex(64);
        let cut = CancellationToken::new();

        let ((), ended) = tokio::join!(async { cut.cancel() }, splice(ours, theirs, LONG, LONG, Some(&cut)));

        assert!(ended.duration < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_age_end_it() {
        for (idle, life) in [(Duration::from_secs(1), LONG), (LONG, Duration::from_secs(1))] {
            let (_caller, ours) = tokio::io::duplex(64);
            let (theirs, _callee) = tokio::io::duplex(64);

            let ended = splice(ours, theirs, idle, life, None).await;

            assert!(ended.duration <= Duration::from_secs(2), "{idle:?} {life:?}");
        }
    }
}
